"""Weights as safetensors files: plain arrays and JSON, so that a stranger's file can be opened and runs nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cortexres import io
from cortexres.errors import ArgumentError, DataFileError
from cortexres.nn.networks.create import Created, create
from cortexres.provenance import read, to_json

M = TypeVar("M", bound=nn.Module)
# A checkpoint of a training is a file of weights in which these names hold the rest; no parameter's name has a slash.
TRAINING = "training/"
FACTS = "cortexres"  # where the file's own text lies, beside those of other programs


@runtime_checkable
class Named(Protocol):
    """A network that says what it is."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    @property
    def facts(self) -> dict[str, object]:
        """What else there is to say of it, as JSON can say it."""
        ...


def name_of(network: nn.Module) -> str:
    """Return what a network is called: its own name, or that of its class."""
    return network.name if isinstance(network, Named) else type(network).__name__


def save_weights(
    network: nn.Module,
    path: str | Path,
    *,
    changes: Mapping[str, object] | None = None,
    facts: Mapping[str, object] | None = None,
) -> Path:
    """Return `path`, which now holds the parameters and buffers of `network` as safetensors.

    Parameters
    ----------
    network : Module
        Its name and facts, where it has them, are kept beside the weights.
    path : str or Path
        File to write or replace; an older one stays until all is written.
    changes : mapping, optional
        What `create` was given besides the name, so that `load_network` can build the network anew.
    facts : mapping, optional
        What else is kept, as JSON: ``history.attrs`` of `train` has the order of the classes and how it was trained.

    Raises
    ------
    ArgumentError
        If two names of the network are one tensor, or a fact is nothing that JSON can say.
    DataFileError
        If the file cannot be written.
    """
    made = {**network_facts(network), "changes": dict(changes or {})}
    return write(path, weights_of(network), {**(facts or {}), "network": made})


def load_weights(network: M, path: str | Path) -> M:
    """Return `network`, which now has the weights in `path`, of `save_weights` or of a checkpoint of `train`.

    Any other safetensors file with the network's names and shapes will do. Numbers become those of the network's
    type and go to its device.

    Raises
    ------
    DataFileError
        If the file is missing or no safetensors file, or its weights are not those of the network; which is then as
        it was.
    """
    fill(network, apart(open_file(path)[0])[0], path)
    return network


def load_network(
    path: str | Path, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Created:
    """Return the network by name whose weights are in `path`, a file of `save_weights`.

    Parameters
    ----------
    path : str or Path
        File to read.
    device, dtype : optional
        As in `create`.

    Raises
    ------
    DataFileError
        If the file cannot be read, does not say which network it is of, or holds other weights.
    DefinitionError
        If no network has the name or takes the changes in the file.
    """
    tensors, facts = open_file(path)
    made = facts.get("network")
    name, changes = (made.get("name"), made.get("changes", {})) if isinstance(made, dict) else (None, {})
    if not isinstance(name, str) or not isinstance(changes, dict):
        raise DataFileError(f"{path} does not say which network it is of: build that one and use load_weights")
    # A stranger's file may ask for any size; on the meta device it takes no memory.
    weights, build = apart(tensors)[0], functools.partial(create, name, rng=0, dtype=dtype, **changes)
    check_weights(build(device="meta"), weights, path)
    network = build(device=device)
    fill(network, weights, path)
    return network


def saved_facts(path: str | Path) -> dict[str, object]:
    """Return what was saved beside the weights in `path`: ``network`` and, after a training, ``classes`` and options.

    Empty for a file of another program.

    Raises
    ------
    DataFileError
        If the file is missing or no safetensors file.
    """
    return open_file(path, tensors=False)[1]


def network_facts(network: nn.Module) -> dict[str, object]:
    """Return what a file says of the network whose weights it holds."""
    return {"name": name_of(network), **({"facts": network.facts} if isinstance(network, Named) else {})}


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of `network` by name, ready to be written.

    Raises
    ------
    ArgumentError
        If two names are one tensor: a file would hold it twice, and loading it would not tie it again.
    """
    seen: dict[tuple[object, ...], str] = {}
    for name, values in network.state_dict().items():
        place = (values.untyped_storage().data_ptr(), values.storage_offset(), values.shape, values.stride())
        if values.numel() and seen.setdefault(place, name) != name:
            raise ArgumentError(
                f"got a network in which {seen[place]} and {name} are one tensor, expected each stored once, as a tied "
                "Recurrent does: keep it under one name"
            )
    return {name: values.detach().cpu().contiguous() for name, values in network.state_dict().items()}


def apart(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights in a file by name, and what else a checkpoint holds."""
    training = {name: values for name, values in tensors.items() if name.startswith(TRAINING)}
    return (
        {name: values for name, values in tensors.items() if name not in training},
        {name.removeprefix(TRAINING): values for name, values in training.items()},
    )


def fill(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Set the parameters and buffers of `network` in place.

    Raises
    ------
    DataFileError
        If names or shapes differ; the network is then as it was.
    """
    check_weights(network, weights, path)
    network.load_state_dict(dict(weights))


def check_weights(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise where `weights`, from `path`, are not those of `network` in names and shapes.

    Raises
    ------
    DataFileError
        Then.
    """
    own = network.state_dict()
    faults = {
        "lacks": own.keys() - weights.keys(),
        "has besides": weights.keys() - own.keys(),
        "has in another shape": [
            f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
            for name in own.keys() & weights.keys()
            if weights[name].shape != own[name].shape
        ],
    }
    told = [f"{what} {_some(names)}" for what, names in faults.items() if names]
    if told:
        raise DataFileError(
            f"{path} does not hold the weights of this {name_of(network)}: it {'; it '.join(told)}; build the network "
            "that was saved"
        )


def write(path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> Path:
    """Return `path`, which now holds contiguous `tensors` on the CPU, and `facts` as JSON; whole or not at all."""
    # Other programs look for the format.
    metadata = {"format": "pt", FACTS: to_json(dict(facts))}
    return io.write_bytes(path, safetensors.torch.save(dict(tensors), metadata))


def open_file(path: str | Path, *, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the tensors of a safetensors file, or none where they are not wanted, and its facts.

    Raises
    ------
    DataFileError
        If the file is missing, unreadable or no safetensors file.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = read((file.metadata() or {}).get(FACTS, "")) or {}
            # What is read from the file lies in it until it is copied.
            return {name: file.get_tensor(name).clone() for name in file.keys() if tensors}, facts
    except FileNotFoundError as error:
        raise DataFileError(f"{path} does not exist, expected a .safetensors file") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise DataFileError(
            f"cannot read {path} as safetensors: {' '.join(str(error).split())}; no other format is opened, because "
            "pickled files can run code"
        ) from error


def _some(names: Iterable[str], count: int = 3) -> str:
    """Return the first names in words, and how many more there are."""
    ordered = sorted(names)
    return ", ".join(ordered[:count]) + (f" and {len(ordered) - count} more" if len(ordered) > count else "")
