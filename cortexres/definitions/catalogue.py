"""Find, list and load the definitions of `models/`: in a checkout, and in an installed wheel as `cortexres/_models`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

from cortexres.definitions.circuit import Circuit
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.parse import circuit_from_toml
from cortexres.errors import DataFileError, DefinitionError

_MAX_BYTES = 1_000_000  # a definition is a page of text; more is a mistake or an attack


class ModelInfo(NamedTuple):
    """One line of the catalogue."""

    name: str
    title: str
    source: str
    kind: str
    path: Path


def list_models(kind: str = "circuits") -> list[ModelInfo]:
    """The definitions of one kind (``"circuits"`` or ``"networks"``), sorted by name."""
    models = []
    for path in sorted((_models_folder() / kind).glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        models.append(ModelInfo(path.stem, table["title"], table["source"], kind, path))
    return models


def load_circuit(name: str | Path) -> Circuit:
    """The circuit of a name in `models/circuits/`, or of the path of a TOML file.

    Raises
    ------
    DefinitionError
        If no circuit has that name (the near names are given), or the file does not define one.
    DataFileError
        If the file cannot be read.
    """
    path = Path(name)
    if path.suffix != ".toml":
        known = {model.name: model.path for model in list_models("circuits")}
        if str(name) not in known:
            raise DefinitionError(
                f"no circuit is named {str(name)!r}{did_you_mean(str(name), known)}; "
                "give one of these names or the path of a .toml file"
            )
        path = known[str(name)]
    return circuit_from_toml(_read(path), where=str(path))


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DefinitionError(
                f"{path} has {path.stat().st_size} bytes, expected at most {_MAX_BYTES} for a definition"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataFileError(f"cannot read {path}: {reason}; check the path") from error


def _models_folder() -> Path:
    package = Path(__file__).resolve().parent.parent
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"
