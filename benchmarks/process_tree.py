"""A command with all that it starts: how long it takes, its CPU time, and the most memory that they hold together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from circuits_cost import now

EVERY_s = 0.05
PROC = Path("/proc")


class Ran(NamedTuple):
    """Wall and CPU seconds, the peak of the memory in use at one moment (None where Linux does not say), the output."""

    wall_s: float
    cpu_s: float
    peak_MB: float | None
    output: str

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, as JSON takes them."""
        return {"wall_s": self.wall_s, "cpu_s": self.cpu_s, "peak_MB": self.peak_MB}


def ran(command: Sequence[str], environment: Mapping[str, str]) -> Ran:
    """Return what a command took.

    Memory is what the processes of the tree do not share, and their parts of what they share (proportional set size),
    added up every 50 ms.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails; what it wrote to stderr is shown then.
    """
    start = now()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    watch = _Watch(process.pid)
    watch.start()
    output, errors = process.communicate()
    watch.done.set()
    watch.join()
    spent = now() - start
    if process.returncode:
        print(errors, file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)
    return Ran(spent.wall_s, spent.cpu_s, watch.peak_bytes / 1e6 if watch.peak_bytes else None, output)


class _Watch(threading.Thread):
    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.done, self.peak_bytes = root, threading.Event(), 0

    def run(self) -> None:
        while not self.done.wait(EVERY_s):
            self.peak_bytes = max(self.peak_bytes, sum(map(_held_bytes, tree(self.root))))


def tree(root: int) -> list[int]:
    """Return a process and its descendants, as Linux lists them."""
    found, left = [], [root]
    while left:
        process = left.pop()
        found.append(process)
        for children in PROC.glob(f"{process}/task/*/children"):
            try:
                left += map(int, children.read_text().split())
            except OSError:  # it has ended
                continue
    return found


def _held_bytes(process: int) -> int:
    try:
        lines = (PROC / str(process) / "smaps_rollup").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):  # it has ended, or this is not Linux
        return 0
