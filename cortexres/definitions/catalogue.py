"""Find, list and load the definitions of `models/`: in a checkout, and in an installed wheel as `cortexres/_models`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

from cortexres.definitions.circuit import Circuit
from cortexres.definitions.names import did_you_mean
from cortexres.definitions.parse import circuit_from_toml, variants
from cortexres.definitions.parse_targets import verification_from_toml
from cortexres.definitions.targets import Verification
from cortexres.errors import DataFileError, DefinitionError

_MAX_BYTES = 1_000_000  # a definition is a page of text; more is a mistake or an attack


class ModelInfo(NamedTuple):
    """One line of the catalogue."""

    name: str
    title: str
    source: str
    kind: str
    path: Path
    variants: tuple[str, ...] = ()


def list_models(kind: str = "circuits") -> list[ModelInfo]:
    """The definitions of one kind (``"circuits"`` or ``"networks"``), sorted by name."""
    models = []
    for path in sorted((_models_folder() / kind).glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
        models.append(ModelInfo(path.stem, table["title"], table["source"], kind, path, tuple(variants(text))))
    return models


def load_circuit(name: str | Path) -> Circuit:
    """The circuit of a name in `models/circuits/`, or of the path of a TOML file.

    Parameters
    ----------
    name : str or Path
        ``"brunel_2000"``, ``"brunel_2000:B"`` for its variant B, ``"mine.toml"`` or ``"mine.toml:variant"``.

    Raises
    ------
    DefinitionError
        If no circuit has that name (the near names are given), or the file does not define one.
    DataFileError
        If the file cannot be read.
    """
    path, variant = _find(name)
    return circuit_from_toml(read_definition(path), where=str(path), variant=variant)


def load_verification(name: str | Path) -> Verification:
    """The protocols and targets of a definition; `name` and errors as in `load_circuit`."""
    path, _ = _find(name)
    return verification_from_toml(read_definition(path), where=str(path))


def _find(name: str | Path) -> tuple[Path, str]:
    """The file of a name, and the variant that it asks for."""
    text, variant = split_variant(name)
    if Path(text).suffix == ".toml":
        return Path(text), variant
    known = {model.name: model.path for model in list_models("circuits")}
    if text not in known:
        raise DefinitionError(
            f"no circuit is named {text!r}{did_you_mean(text, known)}; "
            "give one of these names or the path of a .toml file"
        )
    return known[text], variant


def split_variant(name: str | Path) -> tuple[str, str]:
    """The name or path before the colon, and the variant after it; empty where there is none."""
    text = str(name)
    if ":" in Path(text).name and not Path(text).exists():
        before, _, variant = text.rpartition(":")
        return before, variant
    return text, ""


def read_definition(path: Path) -> str:
    """The text of a definition.

    Raises
    ------
    DefinitionError
        If it is too large for one.
    DataFileError
        If it cannot be read.
    """
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
