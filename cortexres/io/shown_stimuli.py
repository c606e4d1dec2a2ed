"""From the label of every trial to stimuli with equally many trials each: what tables and events of recordings give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.schema_rules import name_first


@dataclass(frozen=True)
class ShownStimuli:
    """Which trials belong to which stimulus.

    Parameters
    ----------
    ids : array of int (`stimulus`,)
        Increasing.
    names : array of str (`stimulus`,) or None
        What the recording calls them, where that is text; None where it is the id.
    rows : array of int (`stimulus`, `trial`)
        Index of the trial in the recording, increasing within a stimulus.
    """

    ids: NDArray[np.int64]
    names: NDArray[np.str_] | None
    rows: NDArray[np.int64]


def shown_stimuli(
    labels: Iterable[object],
    *,
    stimuli: Mapping[Any, int] | None = None,
    rng: int | np.random.Generator | None = None,
) -> ShownStimuli:
    """Return the stimuli that were shown and the trials of each, as many for one as for another.

    Parameters
    ----------
    labels : iterable
        What was shown in each trial. Whole numbers, also as text, are ids; any other label gets an id from 0, in sorted
        order. None, NaN and empty text are no stimulus, and their trials are left out.
    stimuli : mapping of label to int, optional
        Stimuli to take, and the id of each; the rest is left out. All where it is None.
    rng : int or numpy.random.Generator, optional
        Where stimuli were shown unequally often, draws as many trials of each as the rarest has.

    Raises
    ------
    ArgumentError
        Where there is nothing to take, `stimuli` is wrong, or trials are unequal in number and there is no `rng`.
    """
    plain = [_plain(label) for label in labels]
    found = {label for label in plain if label is not None}
    if not found:
        raise ArgumentError(f"got {len(plain)} trials without a stimulus, expected labels; name another column")
    ids = _numbered(found) if stimuli is None else _chosen(stimuli, found)
    order = sorted(ids, key=lambda label: ids[label])
    where = [np.flatnonzero([label == wanted for label in plain]) for wanted in order]
    text = any(isinstance(label, str) for label in order)
    return ShownStimuli(
        ids=np.array([ids[label] for label in order], dtype=np.int64),
        names=np.array([str(label) for label in order]) if text or stimuli is not None else None,
        rows=_balanced(where, rng),
    )


def _plain(label: object) -> int | str | None:
    """Return a label as a whole number or text; None where it is no stimulus."""
    if isinstance(label, bytes):
        label = label.decode()
    if isinstance(label, bool | np.bool_):
        return str(label)
    if isinstance(label, int | np.integer):
        return int(label)
    if isinstance(label, float | np.floating):
        if np.isnan(label):
            return None
        return int(label) if float(label).is_integer() else f"{label:g}"
    text = "" if label is None else str(label).strip()
    return int(text) if text.lstrip("-").isdecimal() and str(int(text)) == text else text or None


def _numbered(found: set[int | str]) -> dict[int | str, int]:
    whole: dict[int | str, int] = {label: label for label in found if isinstance(label, int)}
    if len(whole) == len(found):
        return whole
    return {label: k for k, label in enumerate(sorted(found, key=_rank))}


def _rank(label: int | str) -> tuple[bool, float, str]:
    """Numbers by size, before text by letters."""
    try:
        return (False, float(label), "")
    except ValueError:
        return (True, 0.0, str(label))


def _chosen(stimuli: Mapping[Any, int], found: set[int | str]) -> dict[int | str, int]:
    chosen = {_plain(label): number for label, number in stimuli.items()}
    unknown = [label for label in chosen if label not in found]
    if unknown or not chosen:
        shown = name_first(np.array(sorted(found, key=_rank), dtype=object))
        raise ArgumentError(f"stimuli names {unknown[0] if unknown else 'nothing'!r}, expected some of {shown}")
    numbers = [number for number in chosen.values() if isinstance(number, int | np.integer)]
    if len(set(numbers)) < len(stimuli):
        raise ArgumentError(
            f"stimuli gives the ids {list(stimuli.values())[:5]}, expected another integer for each label; the ids are"
            " those of the Dataset of stimuli that the network is shown"
        )
    return {label: int(number) for label, number in chosen.items() if label is not None}


def _balanced(where: list[NDArray[np.intp]], rng: int | np.random.Generator | None) -> NDArray[np.int64]:
    counts = [rows.size for rows in where]
    least = min(counts)
    if least < max(counts):
        if rng is None:
            raise ArgumentError(
                f"stimuli were shown {least} to {max(counts)} times, expected equally often; give rng to draw {least}"
                " trials of each, or choose some with stimuli"
            )
        rng = np.random.default_rng(rng)
        where = [np.sort(rng.choice(rows, least, replace=False)) for rows in where]
    return np.stack(where).astype(np.int64)
