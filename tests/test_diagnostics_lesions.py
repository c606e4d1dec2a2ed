"""Lesions and other orders, against networks that are built without the block, or in the order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chain_examples import Residual, Whole
from torch import Tensor, nn

from cortexres.diagnostics import lesion, lesion_random, reorder
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Chain, Dense, Norm, NoShortcut, Recurrent, SoftAssignment, Step, ZeroPadding
from cortexres.nn.initial import linear
from cortexres.nn.transforms import Convolutional

UNITS, STEPS = 4, 6
INPUTS = torch.as_tensor(np.random.default_rng(0).normal(size=(20, UNITS)))
LABELS = torch.arange(20) % 3
READOUT = linear(UNITS, 3, rng=9, dtype=torch.float64)


def dense_blocks(*, norm: Norm | None = None, count: int = STEPS, shortcut: nn.Module | None = None) -> list[Block]:
    return [Block(Dense(UNITS, norm=norm, rng=k, dtype=torch.float64), shortcut) for k in range(count)]


def whole(blocks: Block | list[Block], steps: int | None = None) -> Whole:
    return Whole(Recurrent(blocks, steps=steps, injection="first", readout="last"), READOUT).eval()


def tied(norm: Norm | None = None) -> Whole:
    """Return a tied network whose norms, where they keep anything per step, keep something different."""
    block = dense_blocks(norm=norm, count=1)[0]
    with torch.no_grad():
        for name, values in [*block.named_parameters(), *block.named_buffers()]:
            if "norms" in name and values.is_floating_point():
                values.add_(torch.linspace(0, 1, values.numel(), dtype=values.dtype).view_as(values))
    return whole(block, steps=STEPS)


@torch.no_grad()
def loss_of(network: Whole) -> float:
    return float(nn.functional.cross_entropy(network(INPUTS), LABELS))


def staged() -> Chain:
    """Return three blocks of 2 channels, one that makes 4 of them, and two more."""
    norm = Norm("group", groups=1)
    shapes = [(2, 2, 1), (2, 2, 1), (2, 2, 1), (2, 4, 2), (4, 4, 1), (4, 4, 1)]
    blocks = [
        Block(Convolutional(a, b, stride=s, norm=norm, rng=k), ZeroPadding(a, b, stride=s)).eval()
        for k, (a, b, s) in enumerate(shapes)
    ]
    steps = tuple(Step(block, 0, int(k > 2), f"block{k}") for k, block in enumerate(blocks))
    return Chain(lambda images: (images, None), steps, lambda state: state.mean(dim=(2, 3)))


MAPS = torch.as_tensor(np.random.default_rng(1).normal(size=(5, 2, 4, 4)), dtype=torch.float32)
MAP_LABELS = torch.arange(5) % 4


# Lesions


def test_deleting_a_block_is_the_network_without_it() -> None:
    blocks = dense_blocks()
    found = lesion(whole(blocks), INPUTS, LABELS)
    without = [loss_of(whole(blocks[:k] + blocks[k + 1 :])) for k in range(STEPS)]
    np.testing.assert_allclose(found["loss"], without, rtol=1e-13)
    assert float(found["intact_loss"]) == pytest.approx(loss_of(whole(blocks)), rel=1e-13)
    assert found["block"].values.tolist() == [1, 2, 3, 4, 5, 6]
    assert set(found["reason"].values) == {""}


def test_error_counts_what_is_misclassified() -> None:
    blocks = dense_blocks()
    wrong = (whole(blocks[1:])(INPUTS).argmax(dim=1) != LABELS).double().mean()
    assert float(lesion(whole(blocks), INPUTS, LABELS)["error"][0]) == pytest.approx(float(wrong))


def test_deleting_a_step_of_a_tied_network_leaves_the_norms_of_the_others() -> None:
    network = tied(Norm("batch", steps=STEPS))
    blocks = list(network.recurrent.to_untied().blocks)
    without = [loss_of(whole(blocks[:k] + blocks[k + 1 :])) for k in range(STEPS)]  # type: ignore[arg-type]
    np.testing.assert_allclose(lesion(network, INPUTS, LABELS)["loss"], without, rtol=1e-13)


def test_deleting_any_step_of_an_autonomous_network_is_one_step_less() -> None:
    network = tied()
    shorter = whole(network.recurrent.block, steps=STEPS - 1)
    np.testing.assert_allclose(lesion(network, INPUTS, LABELS)["loss"], loss_of(shorter), rtol=1e-13)


def test_a_decaying_shortcut_decays_without_its_block() -> None:
    def ratio(leaves: str) -> float:
        block = Block(Residual(lambda state: 0 * state, 1), SoftAssignment(0.25))
        network = Whole(Recurrent(block, steps=1, injection="first", readout="last"), Binary()).eval()
        loss = lesion(network, torch.ones(1, 1), torch.zeros(1, dtype=torch.long), leaves=leaves)["loss"]  # type: ignore[arg-type]
        return float(loss[0])

    assert ratio("carried") == pytest.approx(np.log1p(np.exp(-0.75)))
    assert ratio("state") == pytest.approx(np.log1p(np.exp(-1.0)))


class Binary(nn.Module):
    """Logits (h, 0) of a state h."""

    def forward(self, state: Tensor) -> Tensor:
        return torch.cat([state, 0 * state], dim=1)


def test_plain_blocks_are_deleted_by_passing_the_state_on() -> None:
    blocks = dense_blocks(shortcut=NoShortcut())
    found = lesion(whole(blocks), INPUTS, LABELS, leaves="state")
    without = [loss_of(whole(blocks[:k] + blocks[k + 1 :])) for k in range(STEPS)]
    np.testing.assert_allclose(found["loss"], without, rtol=1e-13)
    with pytest.raises(ArgumentError, match=r"none of whose blocks can be deleted.*carries nothing"):
        lesion(whole(blocks), INPUTS, LABELS)


def test_a_state_is_not_passed_on_to_another_shape() -> None:
    chain = staged()
    found = lesion(chain, MAPS, MAP_LABELS, leaves="state")
    assert np.flatnonzero(found["loss"].isnull()).tolist() == [3]
    assert "changes the shape" in str(found["reason"].values[3])
    carried = lesion(chain, MAPS, MAP_LABELS)
    assert carried["changes_shape"].values.tolist() == [False, False, False, True, False, False]
    assert carried["loss"].notnull().all()
    np.testing.assert_allclose(carried["loss"].values[[0, 1, 2, 4, 5]], found["loss"].values[[0, 1, 2, 4, 5]])


def test_stimuli_at_a_time_change_nothing() -> None:
    network = whole(dense_blocks())
    all_at_once, some = (lesion(network, INPUTS, LABELS, batch_size=size) for size in (None, 7))
    np.testing.assert_allclose(some["loss"], all_at_once["loss"], rtol=1e-13)


def test_random_lesions_delete_as_many_as_they_say() -> None:
    blocks = dense_blocks()
    found = lesion_random(whole(blocks), INPUTS, LABELS, counts=(1, 4, STEPS), draws=5, rng=0)
    assert (found["deleted"].sum("block") == found["count"]).all()
    kept = [block for block, gone in zip(blocks, found["deleted"].values[1, 2], strict=True) if not gone]
    assert float(found["loss"][1, 2]) == pytest.approx(loss_of(whole(kept)), rel=1e-13)
    nothing_left = float(nn.functional.cross_entropy(READOUT(INPUTS).detach(), LABELS))
    np.testing.assert_allclose(found["loss"].sel(count=STEPS), nothing_left, rtol=1e-13)
    again = lesion_random(whole(blocks), INPUTS, LABELS, counts=(1, 4, STEPS), draws=5, rng=0)
    np.testing.assert_array_equal(found["deleted"], again["deleted"])


@pytest.mark.parametrize("options", [{"counts": (7,)}, {"counts": (0,)}, {"counts": ()}, {"draws": 0}])
def test_random_lesions_refuse_what_cannot_be_deleted(options: dict) -> None:
    with pytest.raises(ArgumentError, match="expected counts from 1 to 6"):
        lesion_random(whole(dense_blocks()), INPUTS, LABELS, **{"counts": (1,), **options})


def test_leaves_is_one_of_two() -> None:
    with pytest.raises(ArgumentError, match="expected 'carried' or 'state'"):
        lesion(whole(dense_blocks()), INPUTS, LABELS, leaves="nothing")  # type: ignore[arg-type]


# Orders


def test_another_order_is_the_network_built_in_it() -> None:
    blocks = dense_blocks()
    found = reorder(whole(blocks), INPUTS, LABELS, tau=((0.0, 0.6),), draws=3, rng=0)
    for draw in range(3):
        order = found["order"].values[0, draw] - 1
        assert sorted(order) == list(range(STEPS))
        built = whole([blocks[k] for k in order])
        assert float(found["loss"][0, draw]) == pytest.approx(loss_of(built), rel=1e-13)


def test_tau_counts_the_pairs_out_of_order() -> None:
    found = reorder(whole(dense_blocks()), INPUTS, LABELS, tau=((0.5, 1.0), (-0.5, 0.5)), draws=5, rng=1)
    for order, tau in zip(found["order"].values.reshape(-1, STEPS), found["tau"].values.ravel(), strict=True):
        inversions = sum(order[a] > order[b] for a in range(STEPS) for b in range(a + 1, STEPS))
        assert tau == pytest.approx(1 - 2 * inversions / (STEPS * (STEPS - 1) / 2))
        assert inversions > 0
    low, high = found["tau_low"], found["tau_high"]
    assert ((low <= found["tau"]) & (found["tau"] <= high)).all()


def test_blocks_that_commute_can_be_shuffled() -> None:
    scales = [Block(Residual(lambda state, w=w: w * state, UNITS)) for w in (0.3, -0.2, 0.5, -0.7)]
    found = reorder(whole(scales), INPUTS, LABELS, tau=((-1.0, 0.9),), draws=4, rng=0)
    np.testing.assert_allclose(found["loss"], float(found["intact_loss"]), rtol=1e-13)


def test_steps_change_places_within_their_stage_only() -> None:
    orders = reorder(staged(), MAPS, MAP_LABELS, tau=((0.0, 1.0),), draws=8, rng=0)["order"].values[0]
    assert (orders[:, 3] == 4).all()
    assert (np.sort(orders[:, :3], axis=1) == [1, 2, 3]).all()
    assert (orders != np.arange(1, 7)).any(axis=1).all()


def test_shuffling_steps_that_do_not_differ_is_refused() -> None:
    alike = whole(dense_blocks(norm=Norm("batch", steps=STEPS), count=1)[0], steps=STEPS)
    for network in (tied(), tied(Norm("layer", affine="shared")), alike):
        with pytest.raises(ArgumentError, match="shuffling them is the identity"):
            reorder(network, INPUTS, LABELS)


def test_the_norms_of_a_tied_network_are_shuffled() -> None:
    network = tied(Norm("batch", steps=STEPS))
    found = reorder(network, INPUTS, LABELS, tau=((0.0, 0.8),), draws=2, rng=0)
    blocks = list(network.recurrent.to_untied().blocks)
    built = whole([blocks[k - 1] for k in found["order"].values[0, 0]])  # type: ignore[misc]
    assert float(found["loss"][0, 0]) == pytest.approx(loss_of(built), rel=1e-13)
    assert float(found["loss"][0, 0]) != pytest.approx(float(found["intact_loss"]), rel=1e-6)


def test_an_order_out_of_reach_is_refused() -> None:
    with pytest.raises(ArgumentError, match="found no order with Kendall's tau"):
        reorder(staged(), MAPS, MAP_LABELS, tau=((-1.0, -0.9),), rng=0)


def test_a_single_block_has_no_other_order() -> None:
    with pytest.raises(ArgumentError, match="without two steps in any stage"):
        reorder(whole(dense_blocks(count=1)), INPUTS, LABELS)


@pytest.mark.parametrize("options", [{"tau": ((0.5, 0.5),)}, {"tau": ((0.0, 2.0),)}, {"draws": 0}])
def test_ranges_of_tau_are_ranges(options: dict) -> None:
    with pytest.raises(ArgumentError, match="expected ranges within -1 to 1"):
        reorder(whole(dense_blocks()), INPUTS, LABELS, **options)
