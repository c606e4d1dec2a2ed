"""A circuit as one JSON text and back: what a result writes into its provenance."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from cortexres.definitions.circuit import Circuit
from cortexres.definitions.drive import Drive, FrontEnd
from cortexres.definitions.population import Population, Start
from cortexres.definitions.projection import Background, Profile, Projection, Synapse
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
            "populations": tuple(_population(p) for p in table.pop("populations")),
            "synapses": tuple(Synapse(**s) for s in table.pop("synapses")),
            "projections": tuple(_projection(p) for p in table.pop("projections")),
            "backgrounds": tuple(Background(**b) for b in table.pop("backgrounds", ())),
            "drive": None if drive is None else _drive(drive),
        }
        return Circuit(**table, **parts)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DefinitionError(
            f"the text is not a circuit written by to_json ({type(error).__name__}: {error}); write it again"
        ) from error


def _population(table: Mapping[str, Any]) -> Population:
    areas = tuple(table.get("assembly_areas", ()))
    return Population(**{**table, "assembly_areas": areas, "start": Start(**table.get("start", {}))})


def _projection(table: Mapping[str, Any]) -> Projection:
    matrices = {k: tuple(tuple(row) for row in table.get(k, ())) for k in ("matrix", "delay_matrix_ms")}
    return Projection(**{**table, **matrices, "profile": Profile(**table["profile"])})


def _drive(table: Mapping[str, Any]) -> Drive:
    front_end = table.get("front_end")
    if "target" in table:  # written before several populations could be driven
        table = {"targets": (table["target"],)}
    return Drive(
        targets=tuple(table["targets"]),
        onto=table.get("onto", "mean_input"),
        front_end=None if front_end is None else FrontEnd(**front_end),
    )
