"""Warnings as notes of a report: what a user was told while it ran, a reader is told too."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noted_warnings(notes: list[str]) -> Iterator[None]:
    """Collect warnings in `notes`, each once, and show them as well."""
    show = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], *args: object, **kwargs: object) -> None:
        if issubclass(category, UserWarning) and str(message) not in notes:
            notes.append(str(message))
        show(message, category, *args, **kwargs)  # type: ignore[arg-type]

    with warnings.catch_warnings():
        warnings.showwarning = note
        yield
