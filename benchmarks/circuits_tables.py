"""The figures of `circuits.py` as Markdown tables, and what they say about the targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from circuits_cost import Cost, extrapolated, mean

WAYS = ("rebuild", "runtime", "restore", "run_args")  # of the plain script
RUN_s = 0.45  # simulated per run of the demo: 150 ms of settling and 300 ms with the stimulus
IDLE = 0.1  # cores that others may keep busy while one core is compared with two
SAME_RATE = 0.15  # largest relative difference of a population's rate in two draws of the same network, 2 s each
Rates = dict[str, float]


class Verdict(NamedTuple):
    """One target: what was measured, the limit, and which side of it is good."""

    name: str
    value: float
    limit: float
    at_most: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        """True where the value meets the limit; nan meets none."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def verdicts(judged: Sequence[Verdict]) -> str:
    """All targets as one table."""
    rows = [
        [v.name, f"{'<=' if v.at_most else '>='} {v.limit:g}", f"{v.value:.2f}", "met" if v.met else "MISSED", v.note]
        for v in judged
    ]
    return table(["target", "limit", "measured", "", "note"], rows)


def demo(facts: dict[str, Any]) -> tuple[str, list[Verdict]]:
    """The demo circuit: costs of all runs, one core against two, rates; and what is judged."""
    n, ours = facts["stimuli"] * facts["trials"], facts["cortexres"]
    total = Cost(**ours["build"]) + Cost(**ours["runs"])
    all_of = {way: _all_runs(facts[way], n) for way in WAYS}
    cores = {jobs: Cost(**cost) for jobs, cost in ours["cores"].items()}
    speedup, others = cores["1"].wall_s / cores["2"].wall_s, ours["others"]
    text = [
        f"Demo circuit: {facts['stimuli']} stimuli x {facts['trials']} trials x 300 ms (and 150 ms of settling)",
        "",
        _demo_costs(facts, total, all_of, n),
        "",
        _demo_parts(facts, n),
        "",
        f"One job {cores['1'].wall_s:.1f} s, two jobs {cores['2'].wall_s:.1f} s for {ours['cores_runs']} runs: "
        f"{speedup:.2f}x; other processes kept {others:.2f} cores busy meanwhile.",
        "",
        _demo_rates(facts),
    ]
    busy = "" if others <= IDLE else f"machine not idle: others used {others:.2f} cores"
    a, b = all_of["rebuild"], all_of["runtime"]
    judged = [
        Verdict("demo: CPU time of (a) / cortexres", a.cpu_s / total.cpu_s, 10.0),
        Verdict("demo: wall time of (a) / cortexres", a.wall_s / total.wall_s, 10.0),
        Verdict("demo: CPU time of (b) / cortexres", b.cpu_s / total.cpu_s, 2.0),
        Verdict("demo: wall time of (b) / cortexres", b.wall_s / total.wall_s, 2.0),
        Verdict("demo: wall time of 1 job / 2 jobs", speedup, 1.7, note=busy),
        Verdict("demo: largest difference of rates, standard errors", _largest_difference(facts), 4.0, at_most=True),
    ]
    return "\n".join(text), judged


def pd14(facts: dict[str, Any]) -> tuple[str, list[Verdict]]:
    """The microcircuit: costs of the phases and rates; and what is judged."""
    ours, nest, seconds = facts["cortexres"], facts["nest"], facts["duration_ms"] * 1e-3
    title = f"Potjans-Diesmann microcircuit at scale 0.1, {seconds:g} s after 0.5 s of settling, one thread"
    if nest is None:
        text = f"{title}\n\nNEST is not installed: pip install 'cortexres[benchmark]'"
        return text, [Verdict("pd14: CPU time of cortexres / NEST", math.nan, 1.0, at_most=True, note="no NEST")]
    a, b = _phases(ours), _phases(nest)
    rest = {"cortexres": a["rest"], "NEST": b["create"] + b["connect"] + b["settle"]}
    phases = [
        ("compile, once for a structure", a["build"], Cost()),
        ("create, connect and settle", rest["cortexres"], rest["NEST"]),
        ("simulate", a["simulate"], b["simulate"]),
        ("all but compiling", rest["cortexres"] + a["simulate"], rest["NEST"] + b["simulate"]),
    ]
    warm = phases[-1]
    phases.append(("all, the first time", a["build"] + warm[1], warm[2]))
    rows = [[name, f"{x.cpu_s:.2f}", f"{y.cpu_s:.2f}", f"{x.wall_s:.2f}", f"{y.wall_s:.2f}"] for name, x, y in phases]
    per_second = [c.cpu_s / seconds for c in (a["simulate"], b["simulate"])]
    rows.append(["simulate, CPU-s per simulated s", *(f"{x:.2f}" for x in per_second), "", ""])
    memory = [f"{x['memory_GB']:.2f}" for x in (ours, nest)]
    rows.append(["peak memory, GB", *memory, "", ""])
    head = ["", "cortexres CPU-s", f"NEST {nest['version']} CPU-s", "cortexres wall s", "NEST wall s"]
    names = list(nest["Hz"])
    rates = [
        [who, *(f"{of['Hz'][name]:.3f}" for name in names)] for who, of in (("cortexres", ours), ("NEST", nest))
    ]
    lines = [
        title,
        f"{ours['cells']} cells with cortexres; {nest['cells']} cells and {nest['synapses']} synapses with NEST",
        "",
        table(head, rows),
        "",
        f"NEST: create {_say(b['create'])}, connect {_say(b['connect'])}, settle {_say(b['settle'])}.",
        "",
        table(["rate, Hz", *names], rates),
    ]
    judged = [
        ("pd14: simulate, CPU time of cortexres / NEST", per_second[0] / per_second[1], 1.0),
        ("pd14: all but compiling, CPU time of cortexres / NEST", warm[1].cpu_s / warm[2].cpu_s, 1.0),
        ("pd14: largest relative difference of rates", _relative(ours["Hz"], nest["Hz"]), SAME_RATE),
    ]
    return "\n".join(lines), [Verdict(*row, at_most=True) for row in judged]


def _phases(facts: dict[str, Any]) -> dict[str, Cost]:
    return {name: Cost(**cost) for name, cost in facts["costs"].items()}


def _costs(plain: dict[str, Any]) -> list[Cost]:
    return [Cost(**cost) for cost in plain["runs"]]


def _all_runs(plain: dict[str, Any], n: int) -> Cost:
    return Cost(**plain["once"]) + extrapolated(_costs(plain), n)


def _demo_costs(facts: dict[str, Any], total: Cost, all_of: dict[str, Cost], n: int) -> str:
    """The table of all runs, builds included: cortexres, and each plain script with its ratio to it."""
    rebuilds, warm = len(facts["rebuild"]["runs"]), len(facts["runtime"]["runs"]) - 1
    labels = {
        "rebuild": f"(a) plain Brian2, cpp_standalone, rebuilt for every run; {rebuilds} timed, extrapolated to {n}",
        "runtime": f"(b) plain Brian2, runtime cython; {warm} timed warm, extrapolated to {n}",
        "restore": f"like (b), one network restored before each run; {warm} timed warm, extrapolated to {n}",
        "run_args": f"like (a), built once by hand, run_args; {warm} timed after the first, extrapolated to {n}",
    }
    rows = [_cost_row(f"cortexres, {n} runs on all cores, measured", total, total, n)]
    rows += [_cost_row(labels[way], cost, total, n) for way, cost in all_of.items()]
    return table(["", "CPU-s per simulated s", "CPU-s", "wall min", "x CPU", "x wall"], rows)


def _demo_parts(facts: dict[str, Any], n: int) -> str:
    """What a build and what a run costs each of them."""
    build, runs = Cost(**facts["cortexres"]["build"]), Cost(**facts["cortexres"]["runs"])
    each = {way: mean(_costs(facts[way])[1:]) for way in WAYS}
    cold = _costs(facts["runtime"])[0] - each["runtime"]
    rows = [
        ["cortexres (finds the input components too)", _say(1 / n * runs), _say(build), "once"],
        ["(a) rebuild", _say(each["rebuild"]), "included", "every run"],
        ["(b) runtime", _say(each["runtime"]), _say(cold), "cold: once"],
        ["restore", _say(each["restore"]), _say(_costs(facts["restore"])[0] - each["restore"]), "cold: once"],
        ["run_args", _say(each["run_args"]), _say(_costs(facts["run_args"])[0] - each["run_args"]), "once"],
    ]
    return table(["", "a run", "compiling", "how often"], rows)


def _cost_row(name: str, cost: Cost, ours: Cost, n: int) -> list[str]:
    ratios = [f"{cost.cpu_s / ours.cpu_s:.1f}", f"{cost.wall_s / ours.wall_s:.1f}"]
    return [name, f"{cost.cpu_s / (n * RUN_s):.2f}", f"{cost.cpu_s:.0f}", f"{cost.wall_s / 60:.1f}", *ratios]


def _demo_rates(facts: dict[str, Any]) -> str:
    rows = []
    for way in WAYS:
        theirs = facts[way]["Hz"]
        row = [way, str(len(theirs))]
        for name in ("E", "I"):
            ours = np.array(facts["cortexres"]["Hz"][name])[: len(theirs)].mean()
            row += [f"{np.mean([r[name] for r in theirs]):.2f}", f"{ours:.2f}"]
        rows.append(row)
    head = ["mean rates, Hz, on the same stimuli", "stimuli", "E, plain", "E, cortexres", "I, plain", "I, cortexres"]
    return table(head, rows)


def _largest_difference(facts: dict[str, Any]) -> float:
    """Between the mean rates of a plain script and of cortexres, in standard errors from cortexres' trials."""
    found = []
    for way in WAYS:
        for name in ("E", "I"):
            theirs = np.array([r[name] for r in facts[way]["Hz"]])
            ours = np.array(facts["cortexres"]["Hz"][name])[: len(theirs)]
            variance = ours.var(axis=1, ddof=1).mean()
            error = math.sqrt(variance * (1 + 1 / ours.shape[1]) / len(theirs))
            found.append(abs(theirs.mean() - ours.mean()) / error)
    return float(max(found))


def _relative(ours: Rates, theirs: Rates) -> float:
    return max(abs(ours[name] - rate) / rate for name, rate in theirs.items())


def _say(cost: Cost) -> str:
    return f"{cost.cpu_s:.2f} CPU-s ({cost.wall_s:.2f} s)"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
