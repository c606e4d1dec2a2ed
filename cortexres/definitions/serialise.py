"""A circuit as one JSON text and back: what a result writes into its provenance."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from cortexres.definitions.circuit import Circuit, Drive, FrontEnd, Population, Profile, Projection, Synapse
from cortexres.errors import DefinitionError


def to_json(circuit: Circuit) -> str:
    """The circuit as JSON text; `from_json` gives an equal circuit back."""
    return json.dumps(dataclasses.asdict(circuit), sort_keys=True)


def from_json(text: str) -> Circuit:
    """The circuit of a text that `to_json` wrote.

    Raises
    ------
    DefinitionError
        If the text is not such a JSON text, or the circuit is not a valid one.
    """
    try:
        table = json.loads(text)
        drive = table.pop("drive")
        parts: dict[str, Any] = {
            "populations": tuple(Population(**p) for p in table.pop("populations")),
            "synapses": tuple(Synapse(**s) for s in table.pop("synapses")),
            "projections": tuple(
                Projection(**{**p, "profile": Profile(**p["profile"])}) for p in table.pop("projections")
            ),
            "drive": Drive(target=drive["target"], front_end=FrontEnd(**drive["front_end"])),
        }
        return Circuit(**table, **parts)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DefinitionError(
            f"the text is not a circuit written by to_json ({type(error).__name__}: {error}); write it again"
        ) from error
