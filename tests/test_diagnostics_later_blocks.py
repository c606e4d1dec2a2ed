"""A network that begins after some of its blocks is the network, but for what can be deleted and shuffled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cortexres import nn
from cortexres.diagnostics import lesion, path_spectrum, reorder
from cortexres.diagnostics.later_blocks import later_blocks
from cortexres.errors import ArgumentError

IMAGES = torch.as_tensor(np.random.default_rng(0).random((20, 1, 8, 8)), dtype=torch.float32)
LABELS = torch.arange(20) % 10


def network(name: str = "digits_untied") -> nn.StagedNetwork:
    return nn.create(name, rng=0, blocks=[6]).eval()


@pytest.mark.parametrize("name", ["digits_untied", "digits_tied"])
def test_it_computes_what_the_network_does(name: str) -> None:
    own = network(name)
    for after in (0, 1, 5):
        chain = later_blocks(own, after=after)
        assert chain.run(IMAGES).equal(own(IMAGES))
        assert len(chain.steps) == 6 - after
        for mine, whole in zip(chain.states(IMAGES), own.chain().states(IMAGES)[after:], strict=True):
            assert mine.equal(whole)


def test_what_is_left_is_deleted_as_in_the_network() -> None:
    own = network()
    whole, later = lesion(own, IMAGES, LABELS), lesion(later_blocks(own, after=2), IMAGES, LABELS)
    np.testing.assert_array_equal(later["loss"], whole["loss"][2:])
    assert float(later["intact_loss"]) == float(whole["intact_loss"])


def test_a_chain_of_a_chain_goes_on_from_there() -> None:
    own = network()
    twice, once = later_blocks(later_blocks(own, after=1), after=2), later_blocks(own, after=3)
    assert twice.steps == once.steps
    assert twice.run(IMAGES).equal(once.run(IMAGES))


def test_first_blocks_are_neither_shuffled_nor_on_a_path() -> None:
    chain = later_blocks(network(), after=3)
    assert reorder(chain, IMAGES, LABELS, tau=((-1.0, 0.9),), draws=2, rng=0)["order"].shape == (1, 2, 3)
    assert path_spectrum(chain, IMAGES, LABELS, draws=1, rng=0).sizes["length"] == 4


@pytest.mark.parametrize("after", [-1, 6])
def test_a_block_is_left(after: int) -> None:
    with pytest.raises(ArgumentError, match=rf"got after={after} for 6 blocks, expected from 0 to 5: one is left"):
        later_blocks(network(), after=after)


def test_a_network_without_a_chain_is_refused() -> None:
    with pytest.raises(ArgumentError, match="which is no chain of residual steps"):
        later_blocks(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
