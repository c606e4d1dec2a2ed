"""Find, list and load the networks of `models/networks/`: every variant of a family is a network with its own name."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from cortexres.definitions.catalogue import list_models, read_definition, split_variant
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.network import Network, Published
from cortexres.definitions.parse_network import network_from_toml, network_names
from cortexres.errors import DefinitionError


class NetworkInfo(NamedTuple):
    """One line of the catalogue."""

    name: str
    title: str
    source: str
    parameters: int
    published: Published
    path: Path


def list_networks(pattern: str | None = None) -> list[NetworkInfo]:
    """Return the networks that can be created by name, sorted by family and then as their file has them.

    Parameters
    ----------
    pattern : str, optional
        What their names must match, with ``*`` and ``?``: ``"resnet*_tied"``.
    """
    rows = []
    for family in list_models("networks"):
        text = read_definition(family.path)
        for name in network_names(text, where=str(family.path)):
            if pattern is None or fnmatchcase(name, pattern):
                network = network_from_toml(text, where=str(family.path), variant=name)
                row = (name, network.title, network.source, network.parameters, network.published, family.path)
                rows.append(NetworkInfo(*row))
    return rows


def load_network(name: str | Path) -> Network:
    """Return the network of a name in `models/networks/`, or of the path of a TOML file.

    Parameters
    ----------
    name : str or Path
        ``"resnet20_tied"``, ``"mine.toml"`` or, for one of its variants, ``"mine.toml:variant"``.

    Raises
    ------
    DefinitionError
        If no network has that name (the near names are given), or the file does not define one.
    DataFileError
        If the file cannot be read.
    """
    text, variant = split_variant(name)
    if Path(text).suffix == ".toml":
        path = Path(text)
    else:
        known = {network: family.path for family in list_models("networks") for network in family.variants}
        if str(name) not in known:
            raise DefinitionError(
                f"no network is named {str(name)!r}{did_you_mean(str(name), known)}; "
                "give one of these names or the path of a .toml file"
            )
        path, variant = known[str(name)], str(name)
    return network_from_toml(read_definition(path), where=str(path), variant=variant)
