"""A summary in plain words: what the scores show, against which nulls, and what they do not show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.verdicts.claims import open_questions
from cortexres.compare.verdicts.findings import Finding, findings
from cortexres.errors import ArgumentError

# Parts of other scores, not scores of their own.
PARTS = re.compile(r".*_(low|high|null.*|p|p_.*|ceiling|ratio|denoised)|null_.*|t_ms.*|path_.*|p")
PARTS_SHOWN = 6


@dataclass(frozen=True)
class Verdict:
    """What scores show and do not show; its text is the summary.

    Parameters
    ----------
    shown : tuple of str
        One sentence per score and null that was rejected.
    not_shown : tuple of str
        Scores whose null was not rejected or that have none, and questions for which no null was tried.
    against : tuple of str
        The nulls that were tried.
    warnings : tuple of str
        What limits all of it.
    """

    shown: tuple[str, ...]
    not_shown: tuple[str, ...]
    against: tuple[str, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        """Return the summary, one statement a line."""
        parts = (
            ("Shown", self.shown),
            ("Not shown", self.not_shown),
            ("Against", (", ".join(self.against),) if self.against else ()),
            ("Beware", self.warnings),
        )
        return "\n".join(
            line for title, lines in parts for line in (f"{title}:", *(f"- {text}" for text in lines or ("nothing",)))
        )


def verdict(*scores: xr.Dataset, level: float = 0.05) -> Verdict:
    """Return what one or more Datasets of scores show, in plain words.

    A score is shown to be more than its null where the p-value, corrected for the cells of its map and by Holm for
    all the tests handed in, is at or below `level`; or, for a null with one value only, where the 95 % interval of the
    difference over stimuli lies above zero. What that shows is what the null says, and no more. A p-value above the
    level shows nothing: the effect may be absent, or the data too few (see `power`).

    Parameters
    ----------
    *scores : xarray.Dataset
        What `compare`, `align`, `null_scores`, `update_scores`, `latency_depth` and the others return; all that was
        tried, as the correction cannot know of what was left out.
    level : float
        Significance level, in (0, 1).

    Raises
    ------
    ArgumentError
        If there are no scores, or the level is no probability.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6:65.
    """
    if not scores or not 0 < level < 1:
        raise ArgumentError(
            f"got {len(scores)} Datasets and level={level:g}, expected at least one and a level in (0, 1)"
        )
    found = [findings(each) for each in scores]
    tests = [test for each in found for test in each]
    adjusted = holm([test.p for test in tests])
    count = sum(not np.isnan(test.p) for test in tests)
    models = len({str(each.attrs.get("model", "")) for each in scores}) > 1
    shown, not_shown = [], []
    for test, p in zip(tests, adjusted, strict=True):
        text = f"{_named(test, models)}{_evidence(test, p, count)}"
        if p <= level or test.difference[0] > 0:
            shown.append(f"{text}: {test.claim}")
        else:
            not_shown.append(f"{text}; not shown that {test.claim}")
    not_shown += [text for each, tested in zip(scores, found, strict=True) if (text := _untested(each, tested))]
    nulls = {test.null for test in tests}
    not_shown += open_questions(nulls)
    warnings = [text for each in scores for text in _warnings(each)] + _of_all(tests, count, level, scores)
    return Verdict(tuple(shown), tuple(not_shown), tuple(sorted(nulls)), tuple(dict.fromkeys(warnings)))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's method; NaN counts as no test."""
    values = np.asarray(p, dtype=float)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    adjusted = np.full(values.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(order.size, 0, -1)))
    return [float(value) for value in adjusted]


def _named(test: Finding, models: bool) -> str:
    return f"{test.model}: {test.score}" if models and test.model else test.score


def _evidence(test: Finding, adjusted: float, count: int) -> str:
    """Return value, place, ceiling and p-value of a test in words."""
    ceiling = f" (ceiling {test.ceiling:.3g})" if np.isfinite(test.ceiling) else ""
    start = f" = {test.value:.3g}{test.where}{ceiling} against {test.null}"
    if np.isnan(test.p):
        if np.isnan(test.difference[0]):
            return f"{start}, which has one value only and no interval"
        return f"{start}, more by {test.difference[0]:.3g} to {test.difference[1]:.3g} (95 % interval over stimuli)"
    corrected = f", {test.corrected}" if test.corrected else ""
    together = f"; {adjusted:.2g} for all {count} tests" if count > 1 else ""
    return f"{start}, p = {test.p:.2g}{corrected}{together}"


def _untested(scores: xr.Dataset, tested: Sequence[Finding]) -> str:
    """Return that scores without any null show nothing by themselves; nothing where there is a test."""
    if tested:
        return ""
    names = [str(name) for name in scores.data_vars if not PARTS.fullmatch(str(name))]
    more = ", ..." if len(names) > PARTS_SHOWN else ""
    return f"{', '.join(names[:PARTS_SHOWN])}{more}: no null was computed, and a value alone shows nothing"


def _warnings(scores: xr.Dataset) -> list[str]:
    """Return what a Dataset itself warns of, and its ceilings that are not above zero."""
    texts = [str(scores.attrs.get("warnings", ""))]
    for name, values in scores.data_vars.items():
        if not str(name).endswith("ceiling"):
            continue
        p = float(values.attrs.get("p", np.nan))
        known = values.values[~np.isnan(values.values)]
        if p > 0.05 or (known.size and not (known > 0).any()):
            said = f" (p = {p:.2g})" if np.isfinite(p) else ""
            texts.append(f"{name} is not above zero{said}: on these data no model can be told from another")
    return [text for text in texts if text]


def _of_all(tests: Sequence[Finding], count: int, level: float, scores: Sequence[xr.Dataset]) -> list[str]:
    """Return warnings that need all tests at once."""
    texts = [
        f"{test.score} against {test.null}: every draw reaches the best cell, as a null that only moves times or blocks"
        " does by construction; use it with a score along a map of times (align)"
        for test in tests
        if test.where and test.p >= 1
    ]
    draws = [int(each.attrs.get("permutations", each.attrs.get("draws", 0))) for each in scores]
    few = [k for k in draws if k > 0 and count / (k + 1) > level]
    if few:
        texts.append(
            f"{min(few)} draws of a null cannot give p <= {level:g} for the first of {count} tests; use at least"
            f" {int(np.ceil(count / level - 1e-9)) - 1}"
        )
    intervals = sum(bool(np.isfinite(test.difference[0])) for test in tests)
    if intervals > 1:
        texts.append(f"{intervals} intervals of differences hold for each alone, at 95 %, and not for all of them")
    if len({test.score for test in tests}) == 1:
        texts.append("one measure only: measures of other kinds can disagree, so put at least one beside it")
    return texts
