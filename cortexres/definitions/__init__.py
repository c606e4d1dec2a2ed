"""What circuits are, and the TOML files in `models/` that define them: no simulator is imported here."""

from cortexres.definitions.assemblies import (
    assembly_profile,
    driven_units,
    first_units,
    ring_weight,
    unit_coordinates,
    unit_drive,
)
from cortexres.definitions.catalogue import ModelInfo, list_models, load_circuit, load_verification
from cortexres.definitions.circuit import Circuit
from cortexres.definitions.drive import Drive, FrontEnd
from cortexres.definitions.multi_area import AreaData, area_data, load_area_data, with_areas
from cortexres.definitions.network import Network, Published
from cortexres.definitions.network_catalogue import NetworkInfo, list_networks, load_network
from cortexres.definitions.network_parts import Part
from cortexres.definitions.parse import circuit_from_toml
from cortexres.definitions.parse_network import network_from_toml, network_with
from cortexres.definitions.parse_targets import verification_from_toml
from cortexres.definitions.paths import parameter_paths, parameter_values, with_values
from cortexres.definitions.population import Population, Start
from cortexres.definitions.projection import Background, Profile, Projection, Synapse
from cortexres.definitions.scaling import downscaled, with_dc_background
from cortexres.definitions.serialise import from_json, to_json
from cortexres.definitions.targets import Protocol, Target, Verification

__all__ = [
    "AreaData",
    "Background",
    "Circuit",
    "Drive",
    "FrontEnd",
    "ModelInfo",
    "Network",
    "NetworkInfo",
    "Part",
    "Population",
    "Profile",
    "Projection",
    "Protocol",
    "Published",
    "Start",
    "Synapse",
    "Target",
    "Verification",
    "area_data",
    "assembly_profile",
    "circuit_from_toml",
    "downscaled",
    "driven_units",
    "first_units",
    "from_json",
    "list_models",
    "list_networks",
    "load_area_data",
    "load_circuit",
    "load_network",
    "load_verification",
    "network_from_toml",
    "network_with",
    "parameter_paths",
    "parameter_values",
    "ring_weight",
    "to_json",
    "unit_coordinates",
    "unit_drive",
    "verification_from_toml",
    "with_areas",
    "with_dc_background",
    "with_values",
]
