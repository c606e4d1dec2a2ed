"""The figures of `loops.py` as Markdown tables, and what they say about the targets."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from circuits_tables import Verdict, table
from loops_contenders import COMPILERS, DEFAULT, PLAIN, SOLVER

Facts = dict[str, Any]  # of one case, as `loops.measured` returns them

NEVER_SLOWER = 1.05
FASTER = {64: 1.4, 256: 1.2}  # units -> times, in training, batch 64, 100 steps
CHECKPOINTED, LESS_MEMORY = "Checkpointed", 0.1
SMALL_BATCH = 64  # "small" of the targets on a GPU
IN_THE_LIMIT = ("FixedPoint",)  # equals the plain loop after so many steps that more change nothing
_NUMBERS = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def costs_table(found: Iterable[Facts]) -> str:
    """Return a row per case and contender; on a GPU with the floor and how far above it a training step is."""
    found = list(found)
    with_floor = any(facts["floor"]["device"] == "cuda" for facts in found)
    head = ["", "", "forward, ms", "x", "training step, ms", "x", "saved for backward, MB"]
    head += ["floor, ms", "set by", "step / floor", "a kernel per step, ms"] if with_floor else []
    rows = []
    for facts in found:
        for name, cost in facts["costs"].items():
            shown = f"{name} ({facts['chosen']})" if name == DEFAULT else name
            row = [facts["name"], shown, f"{cost['forward_ms']:.3g}", f"{cost['forward_ratio']:.2f}"]
            # a scan keeps its states where torch's hooks on saved tensors do not see them
            saved = "" if "scan" in name else f"{cost['saved_MB']:.3g}"
            row += [f"{cost['step_ms']:.3g}", f"{cost['step_ratio']:.2f}", saved]
            if with_floor:
                floor = facts["floor"]
                # those who do not go back through the steps have no such floor
                above = "" if name in (*IN_THE_LIMIT, SOLVER) else f"{cost['step_ms'] / floor['step_ms']:.1f}"
                row += [f"{floor['step_ms']:.3g}", floor["step_bound"], above, f"{floor['step_kernels_ms']:.3g}"]
            rows.append(row)
    return table(head, rows)


def summary(found: Iterable[Facts]) -> str:
    """Return a row per case: the plain loop's times, and what each contender takes of them, forward / training."""
    found = list(found)
    names = list(dict.fromkeys(name for facts in found for name in facts["costs"] if name != PLAIN))
    rows = []
    for facts in found:
        plain = facts["costs"][PLAIN]
        row = [facts["name"], f"{plain['forward_ms']:.3g} / {plain['step_ms']:.3g}"]
        for name in names:
            own = facts["costs"].get(name)
            row.append(f"{own['forward_ratio']:.2f} / {own['step_ratio']:.2f}" if own else "")
            if own and name == DEFAULT:
                row[-1] += f" {facts['chosen']}"
        rows.append(row)
    return table(["forward / training step", f"{PLAIN}, ms", *names], rows) if rows else ""


def left_out(found: Iterable[Facts]) -> str:
    """Return who was not timed, and why: a line per contender and reason, whatever its numbers, with how many cases."""
    cases: dict[tuple[str, str], int] = {}
    for facts in found:
        for name, why in facts["left_out"].items():
            kind = name, _NUMBERS.sub("...", why)
            cases[kind] = cases.get(kind, 0) + 1
    lines = [f"- {name}: {why} ({count} cases)" for (name, why), count in sorted(cases.items())]
    return "\n".join(["Not timed:", *lines]) if lines else ""


def judged(found: Iterable[Facts], device: str) -> list[Verdict]:
    """Return the targets that the cases which were run say something about."""
    found = list(found)
    wrong = [
        f"{name} on {facts['name']}"
        for facts in found
        for name in facts["ours"]
        if name not in IN_THE_LIMIT and facts["left_out"].get(name, "").startswith(_wrong(name))
    ]
    note = "; ".join(wrong)
    differing = Verdict("loops of ours that differ from the plain one", len(wrong), 0, at_most=True, note=note)
    return [differing, *(_on_gpu(found) if device == "cuda" else _on_cpu(found))]


def _wrong(name: str) -> tuple[str, ...]:
    """Return how reasons begin for which a loop must not be left out; the default loop refuses nothing."""
    return ("differs", "failed", *(["refused"] if name == DEFAULT else []))


def _on_cpu(found: list[Facts]) -> list[Verdict]:
    verdicts = []
    listed = [facts for facts in found if facts["target"]]
    for what, key in (("forward", "forward_ratio"), ("training", "step_ratio")):
        ratios = {facts["name"]: facts["costs"][DEFAULT][key] for facts in listed if DEFAULT in facts["costs"]}
        if ratios:
            worst = max(ratios, key=lambda name: ratios[name])
            name = f"{what}: default / plain loop, the worst of {len(ratios)} cases"
            verdicts.append(Verdict(name, ratios[worst], NEVER_SLOWER, at_most=True, note=worst))
    for facts in listed:
        units, batch, steps = facts["units"], facts["batch"], facts["steps"]
        if units in FASTER and (batch, steps) == (64, 100) and DEFAULT in facts["costs"]:
            gain = 1 / facts["costs"][DEFAULT]["step_ratio"]
            verdicts.append(Verdict(f"training: plain / default loop, {facts['name']}", gain, FASTER[units]))
    return verdicts


def _on_gpu(found: list[Facts]) -> list[Verdict]:
    dense = [facts for facts in found if facts["kind"] == "leaky"]
    long = [facts for facts in dense if facts["steps"] >= 100]
    small = [facts for facts in long if facts["units"] <= 256 and facts["batch"] <= 512]
    middle = [facts for facts in long if facts["units"] <= 1024 and facts["batch"] <= SMALL_BATCH]
    maps = [facts for facts in found if facts["side"]]
    return [
        *_worst("plain / default loop, N <= 256, B <= 512, T >= 100", small, 10.0, (PLAIN,)),
        *_worst(f"plain / default loop, N <= 1024, B <= {SMALL_BATCH}, T >= 100", middle, 4.0, (PLAIN,)),
        *_worst("best of torch.compile / default loop, maps", maps, 1.3, COMPILERS),
        *_above_floor(found),
    ]


def _worst(name: str, cases: list[Facts], limit: float, rivals: tuple[str, ...]) -> list[Verdict]:
    """Return the verdict on the case in which the default gains least over its fastest rival, in training.

    Where one of them was not timed the gain is nan, which meets no target.
    """
    if not cases:
        return []
    gains = [_step_ms(facts, rivals) / _step_ms(facts, (DEFAULT,)) for facts in cases]
    worst = min(range(len(gains)), key=lambda k: (not math.isnan(gains[k]), gains[k]))
    facts = cases[worst]
    missing = [" or ".join(names) for names in (rivals, (DEFAULT,)) if math.isnan(_step_ms(facts, names))]
    note = f"{facts['name']}: not timed: {'; '.join(missing)}" if missing else _by(facts, rivals)
    return [Verdict(f"{name}, the worst of {len(gains)} cases", gains[worst], limit, note=note)]


def _above_floor(found: list[Facts]) -> list[Verdict]:
    """Return how far the default is from the floor at worst, where a kernel per step takes less, and where more."""
    verdicts = []
    for more in (False, True):
        cases = [f for f in found if (f["floor"]["step_kernels_ms"] > f["floor"]["step_ms"]) == more]
        if not cases:
            continue
        above = [_step_ms(facts, (DEFAULT,)) / facts["floor"]["step_ms"] for facts in cases]
        worst = max(range(len(above)), key=lambda k: (math.isnan(above[k]), above[k]))
        which = "above" if more else "below"
        name = f"default loop / floor, a kernel per step being {which} the floor, the worst of {len(above)} cases"
        facts = cases[worst]
        note = f"{_by(facts)}; floor set by {facts['floor']['step_bound']}"
        verdicts.append(Verdict(name, above[worst], 2.0, at_most=True, note=note))
    return verdicts


def _step_ms(facts: Facts, names: Iterable[str]) -> float:
    """Return the shortest training step of some; nan where none of them was timed."""
    return min((facts["costs"][name]["step_ms"] for name in names if name in facts["costs"]), default=math.nan)


def _by(facts: Facts, rivals: tuple[str, ...] = ()) -> str:
    """Return which loop the default is in a case, the fastest rival, and the loop of ours that is faster, if any."""
    text, best = f"{facts['name']}: {facts['chosen']}", fastest(facts)
    against = [name for name in rivals if name in facts["costs"]]
    if len(rivals) > 1:
        text += f", against {min(against, key=lambda name: _step_ms(facts, (name,)))}"
    if best not in ("", DEFAULT):
        text += f"; {best} takes {_step_ms(facts, (best,)) / _step_ms(facts, (DEFAULT,)):.2f} of the default's time"
    return text


def memory_table(held: Iterable[Facts]) -> str:
    """Return what each loop keeps, and its peak, beside the plain loop's."""
    rows = []
    for facts in held:
        plain = facts["loops"][PLAIN]
        for name, own in facts["loops"].items():
            shown = f"{name} ({facts['chosen']})" if name == DEFAULT else name
            row = [facts["name"], shown]
            for key in ("saved_MB", "peak_MB"):
                row += [f"{own[key]:.3g}", f"{own[key] / plain[key]:.3f}"]
            rows.append(row)
    return table(["", "", "saved for backward, MB", "x", "peak of a training step, MB", "x"], rows)


def memory_judged(held: Iterable[Facts]) -> list[Verdict]:
    """Return whether checkpointing keeps memory low enough; movies aside, themselves as large as what would be kept."""
    verdicts = []
    for facts in held:
        if facts["movie"]:
            continue
        for key, what in (("saved_MB", "saved for backward"), ("peak_MB", "peak")):
            own = facts["loops"].get(CHECKPOINTED, {}).get(key, math.nan)
            name = f"memory of {CHECKPOINTED} / plain loop, {what}, {facts['name']}"
            note = facts["left_out"].get(CHECKPOINTED, "")
            verdicts.append(Verdict(name, own / facts["loops"][PLAIN][key], LESS_MEMORY, at_most=True, note=note))
    return verdicts


def fastest(facts: Facts) -> str:
    """Return the loop of ours with the shortest training step, of those that are always right; "" if none was timed."""
    own = [name for name in facts["ours"] if name in facts["costs"] and name not in IN_THE_LIMIT]
    return min(own, key=lambda name: facts["costs"][name]["step_ms"], default="")


def elsewhere(found: Iterable[Facts]) -> str:
    """Return what the default costs where no target was set."""
    others = [facts for facts in found if not facts["target"] and DEFAULT in facts["costs"]]
    ratios = {facts["name"]: facts["costs"][DEFAULT] for facts in others}
    if not ratios:
        return ""
    parts = []
    for what, key in (("forward", "forward_ratio"), ("training", "step_ratio")):
        worst = max(ratios, key=lambda name: ratios[name][key])
        parts.append(f"{what} {ratios[worst][key]:.2f} ({worst})")
    return f"default / plain loop in the other {len(ratios)} cases, at worst: " + "; ".join(parts)
