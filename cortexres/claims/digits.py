"""The task of the small claims: 1297 digits to learn, 500 others to be tested on, in seconds on one core."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any, TypeVar

import xarray as xr

from cortexres import nn, stimuli
from cortexres.nn.training import recipes

EPOCHS = 40
TOTAL = 1797  # digits there are
Network = TypeVar("Network", bound=Any)


def images() -> xr.Dataset:
    """Return the digits to train on."""
    return _drawn(1297, 0, 500, 1)[0].copy(deep=True)


def others() -> xr.Dataset:
    """Return 500 digits that are not among those to train on."""
    return _drawn(1297, 0, 500, 1)[1].copy(deep=True)


@cache
def _drawn(count: int, rng: int, n_others: int, others_rng: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Digits to train on and to be tested on; copied before they are given away, since they are kept."""
    chosen = stimuli.digits(count, rng=rng)
    return chosen, stimuli.digits(n_others, rng=others_rng, exclude=chosen["stimulus"])


def few(rng: int, count: int = 300) -> tuple[xr.Dataset, xr.Dataset]:
    """Return (`count` digits to train on, all others), drawn anew for each `rng`.

    Networks that learn from 1297 digits err in 1 to 2 of 100 whatever they are made of; from few they differ, and all
    others to be tested on make a point of error 15 digits.
    """
    chosen, rest = _drawn(count, rng, TOTAL - count, rng)
    return chosen.copy(deep=True), rest.copy(deep=True)


def trained(
    network: Network,
    *,
    rng: int,
    data: xr.Dataset | None = None,
    epochs: int = EPOCHS,
    learning_rate: float = 0.02,
    **changes: Any,
) -> Network:
    """Return the network, trained in place on the digits, in evaluation mode.

    Momentum .9, no weight decay, minibatches of 64, a cosine of the learning rate: what every network of a claim gets
    unless the claim is about it.

    Parameters
    ----------
    network : Module
        As `nn.train` takes it.
    rng : int
        Orders the minibatches.
    data : Dataset, optional
        What to train on; `images` where it is left out.
    epochs, learning_rate
        See `nn.train`.
    **changes
        Further options of `nn.train` that shall be other.
    """
    options: Mapping[str, Any] = {
        "batch_size": 64,
        "optimizer": partial(recipes.sgd, weight_decay=0.0),
        "schedule": recipes.cosine,
        "max_gradient_norm": None,
        "progress": False,
    } | changes
    shown = images() if data is None else data
    nn.train(network, shown, epochs=epochs, learning_rate=learning_rate, rng=rng, **options)
    network.eval()
    return network


def error(network: Any, data: xr.Dataset | None = None) -> float:
    """Return the percentage of digits, those not trained on where none are given, that a network misclassifies."""
    shown = others() if data is None else data
    return error_of(network(nn.inputs_of(network, shown)), shown)


def error_of(logits: Any, data: xr.Dataset) -> float:
    """Return the percentage of digits whose largest logit, of (stimulus, class), is that of another class."""
    chosen = logits.detach().cpu().numpy().argmax(axis=1)
    return 100.0 * float((chosen != data["label"].to_numpy()).mean())
