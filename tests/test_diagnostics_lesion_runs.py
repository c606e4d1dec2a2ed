"""Runs with a changed block, against chains that are built so; and what they say of tied networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from cortexres.compare.updates import lesion_profile, recurrence_index
from cortexres.diagnostics.lesion_runs import lesion_runs
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Chain, Dense, Recurrent, Step, ZeroPadding
from cortexres.nn.transforms import Convolutional
from cortexres.schema import check_network

UNITS, STEPS = 4, 5
INPUTS = torch.as_tensor(np.random.default_rng(0).normal(size=(8, UNITS)))


def chain(*, tied: bool) -> Chain:
    """Return a chain without a readout, whose blocks add what depends on all units."""
    made = [Block(Dense(UNITS, rng=k, dtype=torch.float64)) for k in range(1 if tied else STEPS)]
    recurrent = Recurrent(made[0] if tied else made, steps=STEPS, injection="first")
    return recurrent.eval().chain()


def states(of: Chain) -> np.ndarray:
    with torch.no_grad():
        return torch.stack(of.states(INPUTS), dim=1).numpy()


def test_deleted_repeated_and_swapped_blocks_are_those_of_another_chain() -> None:
    own = chain(tied=False)
    steps = own.steps
    for block, run in lesion_runs(own, INPUTS).items():
        check_network(run)
        k = block - 1
        without = states(replace(own, steps=steps[:k] + steps[k + 1 :]))
        np.testing.assert_allclose(run["response"].values, np.insert(without, block, without[:, k], axis=1), rtol=1e-12)
    for block, run in lesion_runs(own, INPUTS, change="repeat").items():
        twice = states(replace(own, steps=steps[:block] + steps[block - 1 :]))
        np.testing.assert_allclose(run["response"].values, np.delete(twice, block, axis=1), rtol=1e-12)
    swapped = lesion_runs(own, INPUTS, change="swap", at=[2])[2]
    other = states(replace(own, steps=(steps[0], steps[2], steps[1], *steps[3:])))
    np.testing.assert_allclose(swapped["response"].values, other, rtol=1e-12)
    assert sorted(lesion_runs(own, INPUTS, change="swap")) == [1, 2, 3, 4]


def test_of_a_tied_network_every_lesion_is_the_same() -> None:
    own = chain(tied=True)
    whole = np.asarray(states(own))
    runs = lesion_runs(own, INPUTS)
    intact = runs[1].copy()
    intact["response"] = intact["response"].copy(data=whole)
    intact["update"] = intact["update"].copy(data=np.diff(whole, axis=1, prepend=whole[:, :1]))
    np.testing.assert_allclose(recurrence_index(intact, runs)["recurrence"], 0.0, atol=1e-20)
    time = ("time", np.arange(STEPS) + 0.5, {"units": "ms", "bin_ms": 1.0})
    response = np.random.default_rng(1).uniform(5, 9, (STEPS + 1, 8, 2, STEPS, 3))
    brains = [
        xr.Dataset(
            {"response": (("stimulus", "trial", "time", "unit"), values, {"units": "Hz"})},
            {
                "stimulus": np.arange(8),
                "trial": np.arange(2),
                "time": time,
                "unit": np.arange(3),
                "population": ("unit", ["E"] * 3),
            },
        )
        for values in response
    ]
    intact = intact.assign_coords(t_ms=("block", np.arange(STEPS + 1.0)))
    perturbed = {k + 0.5: run for k, run in enumerate(brains[1:])}
    scores = lesion_profile(brains[0], intact, perturbed=perturbed, lesioned=runs)
    assert np.isnan(scores["pearson"])
    assert "as in a tied network" in scores["pearson"].attrs["undefined"]


def test_what_cannot_be_changed_is_refused() -> None:
    own = chain(tied=False)
    with pytest.raises(ArgumentError, match="got change='drop'"):
        lesion_runs(own, INPUTS, change="drop")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"got at=\[5\] for change='swap', expected blocks from 1 to 4"):
        lesion_runs(own, INPUTS, change="swap", at=[5])
    halved = Block(Convolutional(2, 4, stride=2, rng=0), ZeroPadding(2, 4, stride=2)).eval()
    staged = Chain(lambda images: (images, None), (Step(halved, 0, 0, "halved"),), lambda state: state)
    with pytest.raises(ArgumentError, match="differ in shape"):
        lesion_runs(staged, torch.ones(3, 2, 4, 4))
