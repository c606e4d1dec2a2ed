"""Compile the fused kernels for a GPU that need not be there; run in a process of its own, without the interpreter.

Usage: python fused_compiled.py FILE_OF_KERNELS CAPABILITY TYPE UNITS SAMPLES WHOLE WARPS
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TYPES = {"fp16": tl.float16, "bf16": tl.bfloat16, "fp32": tl.float32, "fp64": tl.float64}
SHARES, COUNTS = ("carried", "added"), ("batch", "steps", "read", "drive_b", "drive_t", "given_b", "given_t")


def compiled(kernel: Any, capability: int, type_: str, constants: dict[str, Any], warps: int) -> str:
    """Return the PTX of a kernel."""
    sums = "fp64" if type_ == "fp64" else "fp32"
    signature = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name in COUNTS:
            signature[name] = "i64"
        else:
            signature[name] = f"*{sums if name in SHARES else type_}"
    place = {name: (k,) for k, name in enumerate(kernel.arg_names)}
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={place[name]: value for name, value in constants.items()},
        attrs={place[name]: [["tt.divisibility", 16]] for name, kind in signature.items() if kind.startswith("*")},
    )
    stages = 1 if constants["WHOLE"] else 2
    made = triton.compile(
        source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps, "num_stages": stages}
    )
    assert made.metadata.shared <= {80: 163, 90: 227}[capability] * 1024, "more shared memory than there is"
    return made.asm["ptx"]


def main(path: str, capability: str, type_: str, units: str, samples: str, whole: str, warps: str) -> None:
    """Compile both kernels and print their PTX."""
    spec = importlib.util.spec_from_file_location("fused_kernels", path)
    assert spec is not None
    assert spec.loader is not None
    kernels = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kernels)
    assert not kernels.INTERPRETED
    both = {
        "N": int(units),
        "PADDED": max(16, triton.next_power_of_2(int(units))),
        "SAMPLES": int(samples),
        "ROWS": 16,
        "WHOLE": whole == "True",
        "FACTOR": TYPES[type_],
        "SUM": tl.float64 if type_ == "fp64" else tl.float32,
        "FUNCTION": "tanh",
        "RECTIFIED": True,
        "CARRIES": True,
    }
    forward = {"BIAS": True, "DRIVE": 3, "KEEP": True, "KEEP_RATES": True, "PICK": True}
    print(compiled(kernels.forward, int(capability), type_, both | forward, int(warps)))
    print(compiled(kernels.backward, int(capability), type_, both | {"GIVEN": 3}, int(warps)))


if __name__ == "__main__":
    main(*sys.argv[1:])
