"""What a benchmark ran on: printed above its tables and kept beside its figures."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from circuits_cost import load


def processor() -> str:
    """Return the processor's name where Linux says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def described() -> dict[str, Any]:
    """Return processor, cores that this process may use, Python, and the load before the benchmark."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": processor(), "cores": usable, "python": platform.python_version(), "load_before": load()}


def with_torch(device: Any, *, threads: int) -> dict[str, Any]:
    """Return `described`, and torch, its threads, and the GPU where `device` is one."""
    import torch

    facts = {**described(), "torch": torch.__version__, "threads": threads, "device": str(device)}
    if torch.device(device).type == "cuda":
        found = torch.cuda.get_device_properties(device)
        facts |= {"gpu": found.name, "gpu_memory_GB": round(found.total_memory / 1e9, 1), "cuda": torch.version.cuda}
    return facts


def line(facts: dict[str, Any]) -> str:
    """Return a description as one line."""
    cores = "1 core" if facts["cores"] == 1 else f"{facts['cores']} cores"
    parts = [f"{facts['processor']} ({cores}, load {', '.join(f'{x:g}' for x in facts['load_before'])})"]
    if "gpu" in facts:
        parts.append(f"{facts['gpu']}, CUDA {facts['cuda']}")
    if "torch" in facts:
        parts.append(f"torch {facts['torch']}, {facts['threads']} thread" + ("s" if facts["threads"] > 1 else ""))
    return "; ".join([*parts, f"Python {facts['python']}"])
