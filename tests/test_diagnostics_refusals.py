"""What no diagnostic takes: networks that are no chain, no stimuli, no labels; and labels out of the stimuli."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
import xarray as xr
from chain_examples import repeated
from torch import nn

from cortexres import diagnostics
from cortexres import nn as crnn
from cortexres.errors import ArgumentError
from cortexres.stimuli import digits

OF_PARAMETERS = (diagnostics.hessian_spectrum, diagnostics.loss_landscape)
# What looks at a network and its inputs; the others are about numbers, or change a network.
LOOKING = [getattr(diagnostics, name) for name in diagnostics.__all__]
LOOKING = [each for each in LOOKING if list(inspect.signature(each).parameters)[:2] == ["network", "inputs"]]
OF_STEPS = tuple(each for each in LOOKING if each not in OF_PARAMETERS)
STIMULI = digits(4, rng=0)
AREAS = crnn.create("cornet_rt", rng=0, device="meta").eval()
Diagnostic = Callable[..., xr.Dataset]


def test_most_diagnostics_are_looked_at() -> None:
    assert len(LOOKING) >= 16


def name_of(diagnostic: Diagnostic) -> str:
    return diagnostic.__name__


@pytest.mark.parametrize("diagnostic", OF_STEPS, ids=name_of)
@pytest.mark.parametrize("given", [nn.Linear(2, 2), AREAS], ids=["Linear", "areas"])
def test_networks_that_are_no_chain_are_refused(diagnostic: Diagnostic, given: nn.Module) -> None:
    with pytest.raises(ArgumentError, match=rf"got a {type(given).__name__}, which is no chain .* from nn\.record"):
        diagnostic(given, torch.rand(2, 3, 4, 4, device="meta"))


@pytest.mark.parametrize("diagnostic", [*OF_STEPS, *OF_PARAMETERS], ids=name_of)
def test_stimuli_are_needed(diagnostic: Diagnostic) -> None:
    network = nn.Linear(2, 2) if diagnostic in OF_PARAMETERS else repeated(torch.tanh, 2).eval()
    with pytest.raises(ArgumentError, match="got no stimuli"):
        diagnostic(network, torch.zeros(0, 2))


@pytest.mark.parametrize("diagnostic", OF_PARAMETERS, ids=name_of)
def test_labels_are_those_of_the_stimuli(diagnostic: Diagnostic) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    named = STIMULI.assign_coords(label=("stimulus", ["b", "a", "d", "c"]))
    found, expected = (
        diagnostic(network, *given, rng=0) for given in ((named,), (named, torch.tensor([1, 0, 3, 2])))
    )
    xr.testing.assert_equal(found, expected)
    with pytest.raises(ArgumentError, match="got inputs without labels"):
        diagnostic(network, torch.zeros(4, 64))
