"""The benchmarks of loops, of growth and of the demo: what they count, whom they leave out, and that they run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not installed with the package", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import compare_growth  # noqa: E402
import compare_growth_map  # noqa: E402
import demo  # noqa: E402
import loops as loops_benchmark  # noqa: E402
import loops_contenders  # noqa: E402
import loops_floor  # noqa: E402
import loops_tables  # noqa: E402
from circuits_tables import Verdict  # noqa: E402
from loops_cases import DENSE, MAPS, MOVIES, Case, made  # noqa: E402
from loops_grid import MEMORY, grid, is_target, slow_in  # noqa: E402
from loops_memory import peak_bytes  # noqa: E402
from process_tree import ran  # noqa: E402

from cortexres.nn import loops  # noqa: E402

CPU = torch.device("cpu")
SMALL = [
    *(Case(kind, 8, 3, 4) for kind in DENSE),
    *(Case(kind, 8, 3, 5, readout=2) for kind in DENSE if kind != "fixed point"),
    *(Case(kind, 8, 3, 4, input_only=True) for kind in ("leaky", "Elman")),
    *(Case(kind, 4, 2, 3, side=5) for kind in MAPS),
]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_counted_operations_are_those_that_torch_counts(case: Case) -> None:
    own = made(case, CPU)
    with FlopCounterMode(display=False) as counted:
        output = own.network(case, loops.Plain())(own.x)[0]
    forward = counted.get_total_flops()
    assert loops_floor.operations(case, training=False) == forward
    with FlopCounterMode(display=False) as counted:
        torch.autograd.grad(output.square().mean(), own.parameters)
    missing = loops_floor.operations(case, training=True) - forward - counted.get_total_flops()
    # the first state needs no gradient, so one product of one step is spared
    assert 0 <= missing <= forward / case.steps


def test_bytes_are_those_of_states_that_enter_are_kept_and_leave() -> None:
    state, matrix = 4 * 2 * 8, 4 * 8 * 8
    movie = Case("leaky movie", 8, 2, 5)
    assert loops_floor.least_bytes(movie, training=False) == matrix + 10 * state
    assert loops_floor.least_bytes(movie, training=True) == 3 * matrix + 20 * state
    read = movie._replace(readout=2)
    assert loops_floor.least_bytes(read, training=False) == matrix + 6 * state
    assert loops_floor.least_bytes(read, training=True) == 3 * matrix + 10 * state
    # no gradient of the weight is written, but one of each frame that counts
    assert loops_floor.least_bytes(read._replace(input_only=True), training=True) == 2 * matrix + 12 * state


def test_floor_is_the_largest_of_what_binds() -> None:
    case = Case("leaky", 64, 2, 10)
    limits = loops_floor.Ceilings(operations_per_s=2.0 * 2 * 64**2 * 10, bytes_per_s=1e12, kernel_s=1e-6)
    assert loops_floor.floor(case, limits, training=False) == (1.0, "arithmetic")
    assert loops_floor.floor(case, limits, training=True) == (3.0, "arithmetic")
    slow_memory = limits._replace(bytes_per_s=1.0)
    least = 4 * (64**2 + 2 * 2 * 64)
    assert loops_floor.floor(case, slow_memory, training=False) == (least, "bytes")
    per_kernel = limits._replace(kernel_s=1.0)
    # programs that start a kernel per step are held back by that, others are not: it is no part of the floor
    assert loops_floor.floor(case, per_kernel, training=True) == (3.0, "arithmetic")
    assert loops_floor.a_kernel_per_step(case, per_kernel, training=True) == 20.0
    assert loops_floor.a_kernel_per_step(case._replace(readout=4), per_kernel, training=True) == 14.0
    assert loops_floor.floor(case, limits._replace(bytes_per_s=None), training=False).bound == "arithmetic"
    assert loops_floor.ceilings(case, CPU).operations_per_s > 1e8


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_everyone_computes_what_the_plain_loop_does(case: Case) -> None:
    own = made(case, CPU)
    found = loops_contenders.field(case, own)
    names = [way.name for way in found.ways]
    assert names[0] == loops_contenders.PLAIN
    assert {loops_contenders.DEFAULT, loops_contenders.BARE} <= set(names), found.left_out
    judged = {name: why for name, why in found.left_out.items() if name not in loops_tables.IN_THE_LIMIT}
    assert not [why for why in judged.values() if why.startswith(("differs", "failed"))]
    assert ("torch.nn.RNN" in names) == (case.kind == "Elman" and not case.input_only)
    frame = own.x[:, 0] if case.kind in MOVIES and case.readout else own.x
    assert found.ways[0].forward().shape == frame.shape


def test_who_differs_or_fails_is_named_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = SMALL[0]
    own = made(case, CPU)

    def others(*_: object) -> Any:
        def fails() -> torch.Tensor:
            raise RuntimeError("out of order\nand more")

        right = own.network(case, loops.Plain())
        frozen = own.network(case, loops.Plain())
        yield loops_contenders.Way("off", lambda: 1.1 * right(own.x)[0], own.parameters)
        yield loops_contenders.Way("fails", fails, own.parameters)
        yield loops_contenders.Way("half", lambda: _half_gradient(frozen(own.x)[0]), own.parameters)

    monkeypatch.setattr(loops_contenders, "_others", others)
    left_out = loops_contenders.field(case, own).left_out
    assert left_out["off"].startswith("differs: its output is 1.0e-01")
    assert left_out["fails"] == "failed: RuntimeError: out of order"
    assert left_out["half"].startswith("differs: its gradient is 5.0e-01")


def _half_gradient(output: torch.Tensor) -> torch.Tensor:
    return 0.5 * output + 0.5 * output.detach()


def test_grid_holds_the_targets_and_no_more_than_the_device_can() -> None:
    cases = list(grid(CPU))
    assert sum(map(is_target, cases)) == 12
    assert len(set(cases)) == len(cases)
    assert any(case.kind == "leaky movie" and not case.readout for case in cases)
    assert any(0 < case.readout < case.steps for case in cases)
    assert any(case.kind == "Elman" for case in MEMORY)
    assert any(case.input_only for case in MEMORY)
    assert all(loops_floor.operations(case, training=True) < 2e11 for case in cases)
    on_gpu = list(grid(torch.device("cuda")))
    assert {case.units for case in on_gpu if case.kind == "leaky"} == {64, 256, 1024, 4096}
    assert {case.dtype for case in on_gpu} == {torch.float32, torch.bfloat16}
    assert slow_in(Case("leaky", 64, 1, 10), CPU) == ()
    assert loops_contenders.COMPILED in slow_in(Case("residual maps", 64, 64, 16, 32), torch.device("cuda"))


def test_peak_is_that_of_what_is_held_at_once() -> None:
    def call() -> None:
        a = torch.ones(1000, dtype=torch.float64)
        b = a + 1
        del a
        torch.sum(b)

    call()
    assert 16000 <= peak_bytes(call, CPU) <= 16200


def _facts(
    case: Case,
    *,
    default: float,
    floor_ms: float = 1.0,
    kernels_ms: float = 0.1,
    device: str = "cpu",
    **others: float,
) -> dict[str, Any]:
    """Return facts of a case in which the plain loop takes 10 ms."""
    times = {loops_contenders.PLAIN: 10.0, loops_contenders.DEFAULT: default, **others}
    cost = {name: dict.fromkeys(("forward_ms", "step_ms"), ms) for name, ms in times.items()}
    for name, ms in times.items():
        cost[name] |= {"forward_ratio": ms / 10.0, "step_ratio": ms / 10.0, "saved_MB": 1.0}
    floor = {"device": device, "forward_ms": floor_ms, "step_ms": floor_ms, "step_bound": "bytes"}
    floor["step_kernels_ms"] = kernels_ms
    return {
        **case._asdict(),
        "name": case.name,
        "target": device == "cpu" and is_target(case),
        "chosen": "Plain",
        "ours": [loops_contenders.DEFAULT, "Fused", "FixedPoint"],
        "costs": cost,
        "left_out": {},
        "floor": floor,
    }


def _missed(verdicts: list[Verdict]) -> list[str]:
    return [verdict.name for verdict in verdicts if not verdict.met]


def test_verdicts_say_what_is_missed() -> None:
    case = Case("leaky", 64, 64, 100)
    assert not _missed(loops_tables.judged([_facts(case, default=5.0)], "cpu"))
    assert len(_missed(loops_tables.judged([_facts(case, default=8.0)], "cpu"))) == 1  # 1.25 times, of 1.4
    assert len(_missed(loops_tables.judged([_facts(case, default=11.0)], "cpu"))) == 3
    wrong = _facts(case, default=5.0)
    wrong["left_out"] = {"Fused": "differs: its output is 1.0e-01 of the largest value off"}
    assert _missed(loops_tables.judged([wrong], "cpu")) == ["loops of ours that differ from the plain one"]
    assert "floor" not in loops_tables.costs_table([wrong])
    del wrong["costs"][loops_contenders.DEFAULT]
    wrong["left_out"] = {loops_contenders.DEFAULT: "refused: got nothing"}
    assert _missed(loops_tables.judged([wrong], "cpu")) == ["loops of ours that differ from the plain one"]


def test_the_default_is_judged_on_a_gpu_whoever_else_is_faster() -> None:
    case = Case("leaky", 64, 64, 100)
    met = _facts(case, default=0.5, floor_ms=0.3, device="cuda", FixedPoint=0.1)
    verdicts = loops_tables.judged([met], "cuda")
    assert not _missed(verdicts)
    assert [verdict.value for verdict in verdicts[1:]] == pytest.approx([20.0, 20.0, 0.5 / 0.3])
    assert not any("FixedPoint" in verdict.note for verdict in verdicts)
    faster = _facts(case, default=9.0, floor_ms=0.3, device="cuda", Fused=0.5, FixedPoint=0.1)
    verdicts = loops_tables.judged([met, faster], "cuda")
    assert len(_missed(verdicts)) == 3  # 1.1 times, of 10 and of 4; 30 times the floor
    assert all("Fused takes 0.06 of the default's time" in verdict.note for verdict in verdicts[1:])
    rows = loops_tables.costs_table([faster]).splitlines()
    assert "a kernel per step, ms" in rows[0]
    ends = {row.split(" | ")[1]: row.split(" | ")[-2:] for row in rows[2:]}
    assert ends["Fused"] == ["1.7", "0.1 |"]
    assert ends["FixedPoint"] == ["", "0.1 |"]  # it does not go back through the steps
    assert loops_tables.fastest(faster) == "Fused"


def test_no_case_is_kept_from_the_floor_by_kernels_per_step() -> None:
    case = Case("leaky", 64, 64, 100)
    both = [
        _facts(case, default=0.5, floor_ms=0.3, device="cuda"),
        _facts(case._replace(batch=1), default=0.7, floor_ms=0.01, kernels_ms=0.2, device="cuda"),
    ]
    below, above = loops_tables.judged(both, "cuda")[-2:]
    assert (below.met, above.met) == (True, False)
    assert above.value == pytest.approx(70.0)
    assert "B=1" in above.note


def test_maps_are_judged_against_the_best_that_was_compiled() -> None:
    case = Case("residual maps", 64, 64, 16, side=32)
    compiled = {loops_contenders.COMPILED: 9.0, loops_contenders.GRAPHED: 6.0, loops_contenders.COMPILED_STEP: 8.0}
    verdict = loops_tables.judged([_facts(case, default=5.0, device="cuda", **compiled)], "cuda")[1]
    assert verdict.value == pytest.approx(1.2)
    assert not verdict.met
    assert "against torch.compile, loop, reduce-overhead" in verdict.note
    verdict = loops_tables.judged([_facts(case, default=5.0, device="cuda")], "cuda")[1]
    assert not verdict.met
    assert "not timed: torch.compile, loop or" in verdict.note
    unknown = _facts(case, default=5.0, device="cuda", **compiled)
    del unknown["costs"][loops_contenders.DEFAULT]
    verdict = loops_tables.judged([_facts(case, default=1.0, device="cuda", **compiled), unknown], "cuda")[1]
    assert not verdict.met
    assert f"not timed: {loops_contenders.DEFAULT}" in verdict.note


def test_memory_of_movies_is_shown_and_not_judged() -> None:
    plain, less = ({"saved_MB": mb, "peak_MB": mb} for mb in (10.0, 0.5))
    held = {"name": "a", "movie": False, "chosen": "Plain", "left_out": {}}
    held["loops"] = {loops_contenders.PLAIN: plain, loops_tables.CHECKPOINTED: less}
    assert [verdict.met for verdict in loops_tables.memory_judged([held])] == [True, True]
    assert not loops_tables.memory_judged([held | {"movie": True}])
    assert _missed(loops_tables.memory_judged([held | {"loops": {loops_contenders.PLAIN: plain}}]))
    assert len(loops_tables.memory_table([held | {"movie": True}]).splitlines()) == 4


def test_long_rounds_are_few() -> None:
    rounds = loops_benchmark._rounds(4.0)
    assert [rounds(each) for each in (0.001, 0.1, 9.0, 11.0)] == [300, 40, 7, 3]


def test_benchmark_of_loops_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    out = tmp_path / "loops.json"
    try:
        code = loops_benchmark.main(["--quick", "--only", "leaky", "memory", "--out", str(out)])
    finally:
        torch.set_num_threads(threads)
    found = json.loads(out.read_text())
    assert code == int(bool(found["missed"]))
    assert {"processor", "cores", "torch", "threads", "load_before", "load_after"} <= found["machine"].keys()
    assert found["cases"][0]["costs"][loops_contenders.DEFAULT]["step_ms"] > 0
    assert loops_contenders.PLAIN in capsys.readouterr().out


def test_tree_of_processes_is_measured_together() -> None:
    holds = "x = bytearray(40_000_000)"
    child = f"import time; {holds}; time.sleep(0.3)"
    script = f"import subprocess, sys; {holds}; print('made'); subprocess.run([sys.executable, '-c', '{child}'])"
    done = ran([sys.executable, "-c", script], {})
    assert done.output == "made\n"
    assert done.wall_s > 0.3
    assert done.peak_MB is None or 80 < done.peak_MB < 160
    with pytest.raises(subprocess.CalledProcessError, match="non-zero exit status 3"):
        ran([sys.executable, "-c", "raise SystemExit(3)"], {})


def test_stages_are_read_from_what_the_demo_prints() -> None:
    printed = "deriving the network ...\n  1.2 s\nsimulating a: 16 images ...\nnote: slow\n  30.0 s\n\nmodel  R2\n"
    assert demo._stages(printed) == {"deriving the network": 1.2, "simulating a": 30.0}


def test_ridge_maps_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((30, 25))
    brain, network = (shared + rng.standard_normal((k, 30, 25)) for k in (3, 2))
    ours = compare_growth_map._ridge(brain, network)
    assert ours.shape == (3, 2)
    np.testing.assert_allclose(ours, compare_growth_map._ridge_of_peer(brain, network), atol=1e-9)


def test_work_that_would_take_too_long_is_foreseen() -> None:
    name = "ridge, left-out predictions"
    before = [{"name": name, "stimuli": 100, "units": 50, "ours": {"cpu_s": 2.0}, "peer": None}]
    assert compare_growth._expected_s("ours", name, 200, 100, before) == pytest.approx(16.0)
    assert compare_growth._expected_s("peer", name, 200, 100, before) == float("inf")
    assert compare_growth._expected_s("ours", "linear CKA, biased", 200, 100, before) == 0.0


@pytest.mark.slow
def test_benchmark_of_growth_runs(tmp_path: Path) -> None:
    out = tmp_path / "growth.json"
    assert compare_growth.main(["--quick", "--only", "ridge", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["maps"][0]["difference"] < 1e-9


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_benchmark_of_the_demo_runs(tmp_path: Path) -> None:
    out = tmp_path / "demo.json"
    code = demo.main(["--quick", "--out", str(out)])
    found = json.loads(out.read_text())
    assert code == int(bool(found["missed"]))
    assert found["demo"]["cold"][0]["wall_s"] > found["demo"]["warm"][0]["wall_s"] > 0
    assert found["growth"][0]["cells"] > 1000
