"""From the samples of a claim to its outcome: each figure beside the published one, and whether the claim holds."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cortexres.claims.claim import Check, Claim, Sample
from cortexres.errors import ArgumentError, DataFileError

FILE, FIGURE = "outcome.json", "figure.png"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One figure: measured, beside what is published, wanted, and measured where the effect is removed.

    Parameters
    ----------
    figure : str
        Its name.
    values : tuple of float
        One per seed.
    published, wanted : str
        What the source says, and the range in which the check is met; empty where there is none.
    control : str
        Name of the control, empty where there is none.
    control_values : tuple of float
        The figure of the control, one per seed.
    met, control_fails : bool or None
        Whether the check is met, and whether it fails for the control; None where there is no check or no control.
    """

    figure: str
    values: tuple[float, ...]
    published: str = ""
    wanted: str = ""
    control: str = ""
    control_values: tuple[float, ...] = ()
    met: bool | None = None
    control_fails: bool | None = None

    @property
    def holds(self) -> bool:
        """Whether the check is met and its control fails; a figure without a check always holds."""
        return self.met is not False and self.control_fails is not False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What running a claim gave; it `holds` where every check is met and fails for its control.

    Parameters
    ----------
    name, title, source, statement, published, remarks : str
        Those of the claim.
    lines : tuple of Line
        The checks first, then the other figures.
    seeds : int
        How many were run.
    minutes : float
        Wall time.
    setting : str
        ``"quick"`` or ``"large"``.
    script : str
        Digest of the script that was run, see `digest`; empty where it is not known.
    """

    name: str
    title: str
    source: str
    statement: str
    published: str
    remarks: str
    lines: tuple[Line, ...]
    seeds: int
    minutes: float
    setting: str = "quick"
    script: str = ""

    @property
    def holds(self) -> bool:
        """Whether every line holds."""
        return all(line.holds for line in self.lines)

    def to_json(self) -> str:
        """Return the outcome as JSON text; `from_json` reads it."""
        return json.dumps({"holds": self.holds, **asdict(self)}, indent=1)


def from_json(text: str) -> Outcome:
    """Return the outcome that `to_json` wrote.

    Raises
    ------
    DataFileError
        If the text is not one.
    """
    try:
        found = json.loads(text)
        found.pop("holds")
        lines = found.pop("lines")
        return Outcome(lines=tuple(Line(**_tuples(line)) for line in lines), **found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataFileError(f"got a text that is no outcome of a claim ({error}), expected outcome.json") from error


def _tuples(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in line.items()}


def digest(script: Path) -> str:
    """Return what tells a script from another that computes or says something else: comments and layout do not count.

    An outcome is that of the script as it stands where the digests agree.
    """
    return hashlib.sha256(ast.dump(ast.parse(script.read_bytes())).encode()).hexdigest()[:16]


def judge(
    claim: Claim, samples: Sequence[Sample], *, minutes: float, setting: str = "quick", script: str = ""
) -> Outcome:
    """Return the outcome of a claim from its samples, one per seed; the other arguments as in `Outcome`.

    Raises
    ------
    ArgumentError
        If a sample lacks a figure of a check, or a control that a check names.
    """
    lines = [_checked(check, samples) for check in claim.checks]
    named = {check.figure for check in claim.checks}
    others = [name for name in samples[0].figures if name not in named]
    lines += [_unchecked(name, samples) for name in others]
    return Outcome(
        name=claim.name,
        title=claim.title,
        source=claim.source,
        statement=claim.statement,
        published=str(claim.published),
        remarks=claim.remarks,
        lines=tuple(lines),
        seeds=len(samples),
        minutes=minutes,
        setting=setting,
        script=script,
    )


def _checked(check: Check, samples: Sequence[Sample]) -> Line:
    values = _values(check.figure, [sample.figures for sample in samples])
    published = "" if check.published is None else str(check.published)
    met = check.met(values)
    if check.control is None:
        return Line(figure=check.figure, values=values, published=published, wanted=check.wanted(), met=met)
    others = _values(check.figure, [_control(check.control, sample) for sample in samples])
    return Line(
        figure=check.figure,
        values=values,
        published=published,
        wanted=check.wanted(),
        control=check.control,
        control_values=others,
        met=met,
        control_fails=check.fails_without(others, values),
    )


def _unchecked(name: str, samples: Sequence[Sample]) -> Line:
    """A figure that no check looks at, with that of the one control that has it, where one has."""
    values = _values(name, [sample.figures for sample in samples])
    for control, figures in samples[0].controls.items():
        if name in figures:
            others = _values(name, [sample.controls[control] for sample in samples])
            return Line(figure=name, values=values, control=control, control_values=others)
    return Line(figure=name, values=values)


def _values(name: str, figures: Sequence[Mapping[str, float]]) -> tuple[float, ...]:
    for found in figures:
        if name not in found:
            raise ArgumentError(f"got figures {sorted(found)}, expected {name!r} among them at every seed")
    return tuple(float(found[name]) for found in figures)


def _control(name: str, sample: Sample) -> Mapping[str, float]:
    if name not in sample.controls:
        raise ArgumentError(f"got controls {sorted(sample.controls)}, expected {name!r} among them: a check names it")
    return sample.controls[name]


def spread(values: Sequence[float]) -> str:
    """Return the mean and the range of values as people write them: ``1.44 (1.0 to 2.0)``."""
    found = np.asarray(values, dtype=float)
    if not found.size:
        return ""
    known = found[~np.isnan(found)]
    if known.size < found.size:
        undefined = f"undefined at {found.size - known.size} of {found.size} seeds"
        return f"{spread(known)}, {undefined}" if known.size else undefined
    mean, low, high = (f"{value:.3g}" for value in (found.mean(), found.min(), found.max()))
    return mean if low == high else f"{mean} ({low} to {high})"
