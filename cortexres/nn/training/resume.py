"""The state of a training as one file, so that a run that was killed goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError, DataFileError
from cortexres.nn.training.checkpoints import TRAINING, apart, fill, open_file, weights_of, write
from cortexres.nn.training.distributed import World
from cortexres.provenance import to_json


@dataclass
class TrainingState:
    """All that changes while a network is trained.

    Parameters
    ----------
    network, optimizer, scaler
        As torch has them.
    generator : torch.Generator
        Of minibatches and augmentation.
    device : torch.device
        Where the network is.
    history : list of lists of float
        One row per epoch that is done.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    generator: torch.Generator
    device: torch.device
    history: list[list[float]] = field(default_factory=list)


def save_state(path: str | Path, state: TrainingState, options: Mapping[str, object], world: World) -> None:
    """Write the state of all processes to `path`, from the first of them; an older file stays until it is whole."""
    # What networks draw themselves, as dropout does, comes from torch's own generators, one set per process.
    drawn = world.gather(torch.get_rng_state())
    drawn_cuda = world.gather(torch.cuda.get_rng_state(state.device)) if state.device.type == "cuda" else []
    if world.rank != 0:
        return
    kept = state.optimizer.state_dict()
    tensors = {
        "generator": state.generator.get_state(),
        "history": torch.tensor(state.history, dtype=torch.float64),
        **{f"random/{k}": values for k, values in enumerate(drawn)},
        **{f"random_cuda/{k}": values.cpu() for k, values in enumerate(drawn_cuda)},
    }
    numbers: dict[str, object] = {}
    for parameter, values in kept["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{parameter}/{name}"] = value.detach().cpu().contiguous()
            else:
                numbers[f"{parameter}/{name}"] = value
    facts = {
        **options,
        "optimizer_groups": kept["param_groups"],
        "optimizer_numbers": numbers,
        "scaler": state.scaler.state_dict(),
    }
    write(path, {**weights_of(state.network), **{TRAINING + name: values for name, values in tensors.items()}}, facts)


def load_state(path: str | Path, state: TrainingState, options: Mapping[str, object], world: World) -> None:
    """Set `state` to what was saved in `path`; where there is no file yet, nothing is changed.

    Raises
    ------
    ArgumentError
        If the checkpoint was made with other options, or not all processes see the same file.
    DataFileError
        If the file is no checkpoint of this network.
    """
    found = Path(path).exists()
    if len({int(there) for there in world.gather(torch.tensor(found))}) > 1:
        raise ArgumentError(f"only some processes see the checkpoint {path}: put it where all of them do")
    if not found:
        return
    tensors, facts = open_file(path)
    if "optimizer_groups" not in facts:
        raise DataFileError(
            f"{path} holds no state of a training: load its weights with load_weights, or give another checkpoint"
        )
    _check_options(path, facts, options)
    weights, training = apart(tensors)
    fill(state.network, weights, path)
    try:
        _restore(state, training, facts, world)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise DataFileError(f"{path} is damaged or of another version ({reason}): remove it and start anew") from error


def _check_options(path: str | Path, saved: Mapping[str, object], now: Mapping[str, object]) -> None:
    # Both as JSON says them, where a tuple is a list.
    told = [
        f"{name} was {to_json(saved.get(name))}, is {to_json(value)}"
        for name, value in now.items()
        if to_json(saved.get(name)) != to_json(value)
    ]
    if told:
        raise ArgumentError(
            f"the checkpoint {path} was made with other options: {'; '.join(told)}; give the same ones, or another "
            "checkpoint"
        )


def _restore(state: TrainingState, tensors: dict[str, Tensor], facts: Mapping[str, Any], world: World) -> None:
    kept: dict[int, dict[str, object]] = {}
    values = {name.removeprefix("optimizer/"): v for name, v in tensors.items() if name.startswith("optimizer/")}
    for place, value in {**facts["optimizer_numbers"], **values}.items():
        parameter, name = place.split("/", 1)
        kept.setdefault(int(parameter), {})[name] = value
    state.optimizer.load_state_dict({"state": kept, "param_groups": facts["optimizer_groups"]})
    state.scaler.load_state_dict(facts["scaler"])
    state.generator.set_state(tensors["generator"])
    torch.set_rng_state(tensors[f"random/{world.rank}"])
    if state.device.type == "cuda":
        torch.cuda.set_rng_state(tensors[f"random_cuda/{world.rank}"], state.device)
    state.history[:] = tensors["history"].tolist()
