"""The digits networks of the reference figures, trained: seconds on one core each, once per session."""

from __future__ import annotations

from functools import cache, partial

import xarray as xr

from cortexres import nn
from cortexres.nn.training.recipes import cosine, sgd
from cortexres.stimuli import digits


@cache
def train_and_test_digits() -> tuple[xr.Dataset, xr.Dataset]:
    """Return 1,297 digits to train on and the other 500, the same for all seeds."""
    training = digits(1297, rng=0)
    return training, digits(500, rng=1, exclude=training["stimulus"])


@cache
def trained(name: str, seed: int) -> nn.StagedNetwork:
    """Return a network that has learned the digits for 40 epochs, in evaluation mode."""
    network = nn.create(name, rng=seed)
    nn.train(
        network,
        train_and_test_digits()[0],
        epochs=40,
        learning_rate=0.02,
        batch_size=64,
        optimizer=partial(sgd, weight_decay=0.0),
        schedule=cosine,
        max_gradient_norm=None,
        rng=seed,
        progress=False,
    )
    return network.eval()
