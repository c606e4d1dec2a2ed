"""What circuits are, and the TOML files in `models/` that define them: no simulator is imported here."""

from cortexres.definitions.assemblies import assembly_profile, unit_coordinates
from cortexres.definitions.catalogue import ModelInfo, list_models, load_circuit
from cortexres.definitions.circuit import (
    Circuit,
    Drive,
    FrontEnd,
    Population,
    Profile,
    Projection,
    Synapse,
)
from cortexres.definitions.parse import circuit_from_toml
from cortexres.definitions.serialise import from_json, to_json

__all__ = [
    "Circuit",
    "Drive",
    "FrontEnd",
    "ModelInfo",
    "Population",
    "Profile",
    "Projection",
    "Synapse",
    "assembly_profile",
    "circuit_from_toml",
    "from_json",
    "list_models",
    "load_circuit",
    "to_json",
    "unit_coordinates",
]
