"""Packages that only some users need, imported when they are, with a word on how to get them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cortexres.errors import CortexresError


def optional_package(name: str, *, purpose: str) -> Any:
    """Return the module `name`, imported now.

    Raises
    ------
    CortexresError
        Where it is not installed or does not import.
    """
    try:
        return import_module(name)
    except ImportError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CortexresError(
            f"{purpose} needs the package {name} ({reason}); install it with: pip install 'cortexres[interop]'"
        ) from error
