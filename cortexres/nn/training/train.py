"""Train a classifier on labelled stimuli: one plain loop, on a laptop's CPU in seconds or on several GPUs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
import xarray as xr
from torch import nn
from tqdm import tqdm

from cortexres import io
from cortexres.errors import ArgumentError
from cortexres.nn.device import usable_device
from cortexres.nn.initial import Rng
from cortexres.nn.inputs import place_of
from cortexres.nn.norms import warn_of_untrained_steps
from cortexres.nn.training import recipes
from cortexres.nn.training.checkpoints import name_of, network_facts
from cortexres.nn.training.distributed import join
from cortexres.nn.training.measures import (
    UNITS,
    Measured,
    check_finite,
    check_logits,
    history_of,
    means,
    measure,
    measure_held_out,
)
from cortexres.nn.training.minibatches import batches, class_order, labelled
from cortexres.nn.training.precision import precision_of
from cortexres.nn.training.resume import TrainingState, load_state, save_state

LOOK_EVERY = 50  # steps; to look at a loss at every step would make a GPU wait


def train(
    network: nn.Module,
    stimuli: xr.Dataset,
    *,
    epochs: int = 300,
    learning_rate: float = 5e-3,
    batch_size: int | None = None,
    optimizer: recipes.MakeOptimizer = torch.optim.Adam,
    schedule: recipes.Schedule = recipes.constant,
    max_gradient_norm: float | None = 1.0,
    label_smoothing: float = 0.0,
    augment: recipes.Augment | None = None,
    held_out: xr.Dataset | None = None,
    autocast: Literal["bfloat16", "float16"] | None = None,
    device: torch.device | str | None = None,
    checkpoint: str | Path | None = None,
    rng: Rng = None,
    progress: bool = True,
) -> xr.Dataset:
    """Return the history, loss and accuracy (epoch), of training `network` in place on labelled stimuli.

    Both are means over the epoch's batches, measured on the training images before each step: they say that
    the training worked, not how well the network generalises, as ``held_out_loss`` and ``held_out_accuracy`` do.
    ``history.attrs["classes"]`` is the order of the classes: output k of the network is the k-th.

    Started by ``torchrun``, each process computes its share of every batch, and gradients are averaged: the result is
    that of one process up to rounding, but for batch normalisation, which normalises each share by itself, and whose
    running statistics, per step or not, are those of the first process. Each process has the same stimuli in memory;
    the first one writes the checkpoint. Every parameter must take part in every forward pass.

    Parameters
    ----------
    network : Module
        Takes its own ``inputs(stimuli)`` where it has them, else images (stimulus, channel, y, x); returns logits,
        (stimulus, class). Trained in place; whether it is in training mode is afterwards as it was.
    stimuli : Dataset
        Images with the coordinate label(stimulus), integers or text; classes are numbered in sorted order. All of
        them are held on the device.
    epochs : int
        Passes over the stimuli.
    learning_rate : float
        Of the optimizer.
    batch_size : int, optional
        Stimuli per step, of all processes together; all stimuli (full batch) where it is left out.
    optimizer : callable
        (parameters, lr) -> Optimizer: any class of ``torch.optim``, or `recipes.sgd`.
    schedule : callable
        Share of the training that is done, 0..1 -> factor of the learning rate, asked before each step.
    max_gradient_norm : float, optional
        Longer gradients are shortened to it; None leaves them.
    label_smoothing : float
        Share of the target that is spread over all classes, in the loss of training.
    augment : callable, optional
        (inputs of a batch, generator) -> inputs, such as `recipes.crop_and_flip`.
    held_out : Dataset, optional
        Stimuli to test on after each epoch, in evaluation mode.
    autocast : "bfloat16" or "float16", optional
        Lower precision for what bears it, of a float32 network; float16 needs CUDA. None computes in the network's
        own type.
    device : device, optional
        Where the network is brought; of several GPUs, ``"cuda"`` is each process's own. Left out: where it is.
    checkpoint : str or Path, optional
        File that holds the whole state after each epoch, written whole or not at all. Where it exists the training
        goes on from there, and ends as if it had not been interrupted: to the last bit on the same machine, with
        the same number of threads and torch's deterministic algorithms. torch's own random state, from which
        dropout draws, is then restored too. Other stimuli or options than before are refused; of functions, the name
        counts. Weights can be loaded from it as from any file of `save_weights`.
    rng : int or numpy Generator
        Orders the minibatches and augments; a full batch that is not augmented draws nothing. None takes a seed from
        torch's global generator.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ArgumentError
        If there is nothing to train, or the network does not return logits alone; if there are no labels, only one
        class, or more classes than the network has outputs; if an option is out of range or differs from the
        checkpoint's, or torch cannot use the device.
    DivergedError
        An ArgumentError: if the loss stops being finite; the checkpoint then stays that of the epoch before.
    DataFileError
        If the checkpoint cannot be read or written.

    Examples
    --------
    >>> from cortexres import nn, stimuli
    >>> from cortexres.definitions import FrontEnd
    >>> eye = FrontEnd(kind="oriented_energy", channels=8, gain_mV=1.0)
    >>> network = nn.ResidualNetwork(8, 16, 10, steps=4, tied=True, front_end=eye, rng=0)
    >>> history = nn.train(network, stimuli.digits(50, rng=0), epochs=30, rng=0, progress=False)
    >>> bool(history["loss"][-1] < history["loss"][0])
    True
    """
    _check_options(epochs, learning_rate, batch_size, max_gradient_norm, label_smoothing)
    world = join()
    with _mode_kept(network):
        place = world.device(place_of(network)[0] if device is None else usable_device(device))
        network.to(place)
        precision = precision_of(network, autocast, place)
        classes = class_order(stimuli)
        data = labelled(network, stimuli, classes, device=place)
        tests = None if held_out is None else labelled(network, held_out, classes, device=place)
        size = min(batch_size or len(data), len(data))
        world.check_shares(len(data), size)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ArgumentError(f"got a {name_of(network)} without trainable parameters, expected some to train")
        made = optimizer(network.parameters(), lr=learning_rate)
        rates = [group["lr"] for group in made.param_groups]
        scaler = torch.amp.GradScaler(place.type, enabled=autocast == "float16")
        state = TrainingState(network, made, scaler, world.generator(rng), place)
        options: dict[str, object] = {
            "epochs": epochs,
            "learning_rate": learning_rate,
            "batch_size": size,
            "optimizer": recipes.settings_of(made),
            "schedule": recipes.callable_name(schedule),
            "max_gradient_norm": max_gradient_norm,
            "label_smoothing": label_smoothing,
            "augment": None if augment is None else recipes.callable_name(augment),
            "autocast": autocast,
            "processes": world.size,
            "classes": classes.tolist(),
        }
        same = dict(options)  # what must not change where a training goes on
        if checkpoint is not None:
            io.check_writable(checkpoint)
            same["network"] = network_facts(network)
            same["stimuli"] = data.digest()
            same["held_out"] = None if tests is None else tests.digest()
            same["seed"] = None if rng is None else state.generator.initial_seed()
            load_state(checkpoint, state, same, world)

        parallel = world.parallel(network)
        steps = math.ceil(len(data) / size)
        done, shown = len(state.history), progress and world.rank == 0
        with _bar(name_of(network), epochs * steps, done * steps, shown=shown) as bar:
            for epoch in range(done, epochs):
                network.train()
                measured: list[Measured] = []
                for step, batch in enumerate(batches(len(data), size, state.generator)):
                    factor = schedule((epoch + step / steps) / epochs)
                    for group, rate in zip(made.param_groups, rates, strict=True):
                        group["lr"] = rate * factor
                    # Every process draws for the whole batch, so that the result does not depend on their number.
                    inputs = data.inputs[batch] if augment is None else augment(data.inputs[batch], state.generator)
                    inputs, targets = world.share(inputs), world.share(data.targets[batch])
                    with precision():
                        logits = parallel(inputs)
                        check_logits(logits, len(targets), len(classes))
                        loss = nn.functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
                    measured.append(measure(loss, logits, targets))
                    if step % LOOK_EVERY == 0 or step == steps - 1:
                        check_finite(measured[-LOOK_EVERY:], world, epoch=epoch, learning_rate=learning_rate)
                    made.zero_grad()
                    # Gradients are averaged over processes, whose shares of a batch may differ by one stimulus.
                    scaler.scale(loss * (len(targets) * world.size / len(batch))).backward()  # type: ignore[no-untyped-call]
                    if max_gradient_norm is not None:
                        # without it a full-batch run of 40 blocks sometimes jumps far back late in training
                        scaler.unscale_(made)
                        nn.utils.clip_grad_norm_(network.parameters(), max_gradient_norm)
                    scaler.step(made)
                    scaler.update()
                    bar.update()
                for buffer in network.buffers():
                    world.first(buffer)
                row = means(measured, world)
                if tests is not None:
                    row += means(measure_held_out(network, tests, size, precision, world), world)
                state.history.append(row)
                if checkpoint is not None:
                    save_state(checkpoint, state, same, world)
                bar.set_postfix({name: f"{value:.3f}" for name, value in zip(UNITS, row, strict=False)}, refresh=False)
    warn_of_untrained_steps(network)
    return history_of(state.history, {"model": name_of(network), **options})


def _bar(name: str, total: int, done: int, *, shown: bool) -> tqdm:
    return tqdm(total=total, initial=done, desc=f"training {name}", unit="step", disable=not shown)


@contextmanager
def _mode_kept(network: nn.Module) -> Iterator[None]:
    """Leave every module in the mode, training or evaluation, that it was in."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _check_options(
    epochs: int,
    learning_rate: float,
    batch_size: int | None,
    max_gradient_norm: float | None,
    label_smoothing: float,
) -> None:
    """Raise where an option is out of range."""
    if epochs < 1:
        raise ArgumentError(f"got epochs={epochs}, expected 1 or more")
    if not learning_rate > 0:
        raise ArgumentError(f"got learning_rate={learning_rate}, expected a positive number, such as 0.005")
    if batch_size is not None and batch_size < 1:
        raise ArgumentError(f"got batch_size={batch_size}, expected 1 or more, or None for a full batch")
    if max_gradient_norm is not None and not max_gradient_norm > 0:
        raise ArgumentError(
            f"got max_gradient_norm={max_gradient_norm}, expected a positive number, or None for no limit"
        )
    if not 0 <= label_smoothing < 1:
        raise ArgumentError(f"got label_smoothing={label_smoothing}, expected 0 or more, below 1")
