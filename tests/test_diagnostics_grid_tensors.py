"""Mode trees, grid tensors and their ranks: closed forms, exact arithmetic, and the bounds of Cohen et al. (2017)."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import nn

from cortexres.diagnostics.grid_tensors import grid_tensor, matricisation_rank, matricised
from cortexres.diagnostics.mode_trees import ModeTree, mode_tree
from cortexres.errors import ArgumentError
from cortexres.nn.networks.mixed_dilated import MixedDilated

PRIME = 1_000_003


def circuit(width: int, *chains: tuple[int, ...], rng: int = 0, **options: object) -> MixedDilated:
    return MixedDilated(width, *chains, rng=rng, dtype=torch.float64, **options)


def table(network: MixedDilated) -> np.ndarray:
    return grid_tensor(network, torch.eye(network.width, dtype=torch.float64), network.window)


# Trees


def test_dilations_in_order_make_blocks_and_reversed_ones_strides() -> None:
    blocks, strides = mode_tree([1, 2, 4]), mode_tree([4, 2, 1])
    assert blocks.tiling(range(4)) == {frozenset(range(4))}
    assert strides.tiling(range(0, 8, 2)) == {frozenset({0, 2, 4, 6})}
    assert strides.tiling(range(4)) == {frozenset({k}) for k in range(4)}
    assert blocks.tiling([0, 1, 2, 6, 7]) == {frozenset({0, 1}), frozenset({2}), frozenset({6, 7})}
    assert blocks.root == strides.root == frozenset(range(8))
    assert blocks.children[blocks.root] == (frozenset(range(4)), frozenset(range(4, 8)))


def tiles_by_search(tree: ModeTree, indices: frozenset[int]) -> set[frozenset[int]]:
    """The nodes that lie in the set and in no larger one that does."""
    nodes = {*tree.children, *(frozenset({k}) for k in tree.root)}
    inside = {node for node in nodes if node <= indices}
    return {node for node in inside if not any(node < larger for larger in inside)}


@pytest.mark.parametrize("dilations", [(1, 2, 4), (2, 1, 4), (4, 1, 2)])
def test_tilings_are_the_largest_nodes(dilations: tuple[int, ...]) -> None:
    tree = mode_tree(dilations)
    for size in range(9):
        for indices in combinations(range(8), size):
            found = tree.tiling(indices)
            assert found == tiles_by_search(tree, frozenset(indices))
            assert sum(len(node) for node in found) == size


@pytest.mark.parametrize("k", [2, 3, 4])
def test_bounds_give_the_exponent_of_the_corollary(k: int) -> None:
    """Reversed groups of k layers: 1 + 2^(k-1) tiles for either tree where the hybrid has 2^k."""
    chain, half = [2**layer for layer in range(k)], 2**k
    indices = [*range(half // 2), *range(half, 2 * half, 2)]
    for dilations in (chain, chain[::-1]):
        low, high = mode_tree([*dilations, half]).rank_bounds(indices, 2)
        assert low == high == 2 ** (1 + 2 ** (k - 1))


@pytest.mark.parametrize("dilations", [(1, 2, 4), (2, 1, 4)])
def test_ranks_of_circuits_lie_in_their_bounds(dilations: tuple[int, ...]) -> None:
    tree, tensor = mode_tree(dilations), table(circuit(3, dilations))[0]
    for indices in ([0], [0, 1], [0, 2], [0, 3, 5], [0, 1, 2, 3], [0, 2, 4, 6], [0, 3, 5, 6], [1, 2, 3, 4, 5]):
        low, high = tree.rank_bounds(indices, 3)
        assert low <= matricisation_rank(tensor, indices) <= high


@pytest.mark.parametrize(
    ("dilations", "match"),
    [([], "expected one or more"), ([1, 0], "each of 1 or more"), ([1, 1], "two ways lead to one time")],
)
def test_dilations_that_make_no_tree_are_refused(dilations: list[int], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        mode_tree(dilations)


def test_inputs_that_the_tree_does_not_have_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"got inputs \[4\]"):
        mode_tree([1, 2]).tiling([0, 4])


@pytest.mark.parametrize("indices", [[], range(4)])
def test_bounds_between_nothing_and_all_are_refused(indices: list[int]) -> None:
    with pytest.raises(ArgumentError, match="expected some inputs, and not all"):
        mode_tree([1, 2]).rank_bounds(indices, 2)


# Tensors and ranks


def test_tensor_holds_the_network_at_every_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexres.diagnostics.grid_tensors.CHUNK", 5)
    values = torch.as_tensor(np.random.default_rng(0).normal(size=(3, 2)))
    network = nn.Sequential(nn.Conv1d(2, 4, 2), nn.ReLU(), nn.Flatten()).double()
    found = grid_tensor(network, values, 3)
    assert found.shape == (8, 3, 3, 3)
    for place in product(range(3), repeat=3):
        expected = network(values[list(place)].T[None])[0]
        np.testing.assert_allclose(found[:, *place], expected.detach(), rtol=1e-12)


def test_matrix_has_its_inputs_in_order() -> None:
    tensor = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    found = matricised(tensor, [3, 1])
    assert found.shape == (15, 8)
    assert found[2 * 5 + 4, 1 * 4 + 3] == tensor[1, 2, 3, 4]
    np.testing.assert_array_equal(matricised(tensor, [0, 2]), found.T)


def test_ranks_of_sums_of_products() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(3, 2, 4, 4)), rng.normal(size=(3, 2, 4, 4))
    tensor = np.einsum("kab,kcd->acbd", one[:, 0], other[:, 0])  # three products of a function of 0, 2 and one of 1, 3
    assert matricisation_rank(tensor, [0, 2]) == 3
    assert matricisation_rank(tensor, [1, 3]) == 3
    assert matricisation_rank(np.zeros((2, 2, 2)), [0]) == 0
    nearly = np.diag([1.0, 1e-6, 1e-12])
    assert matricisation_rank(nearly, [0]) == 3
    assert matricisation_rank(1e-30 * nearly, [0]) == 3
    assert matricisation_rank(nearly, [0], tolerance=1e-9) == 2


def test_rank_is_counted_in_the_precision_of_the_numbers() -> None:
    rng = np.random.default_rng(0)
    one = np.multiply.outer(rng.normal(size=40), rng.normal(size=40))
    for kind in (np.float16, np.float32, np.float64):
        assert matricisation_rank(np.multiply.outer(one[0].astype(kind), one[:, 0].astype(kind)), [0]) == 1
    assert matricisation_rank(np.eye(4, dtype=np.int8), [0]) == 4
    single = grid_tensor(MixedDilated(3, (1, 2), rng=0), torch.eye(3), 4)
    assert single.dtype == np.float32
    half = grid_tensor(MixedDilated(3, (1, 2), rng=0, dtype=torch.bfloat16), torch.eye(3, dtype=torch.bfloat16), 4)
    assert half.dtype == np.float32


def modular_layer(weights: np.ndarray, state: np.ndarray, dilation: int) -> np.ndarray:
    """Return a layer of products of (batch, time, channel), exactly, modulo a prime."""
    earlier = state[:, :-dilation] @ weights[0].T % PRIME
    return earlier * (state[:, dilation:] @ weights[1].T % PRIME) % PRIME


def modular_rank(matrix: np.ndarray) -> int:
    """Return the rank modulo a prime by elimination: never above the rank of almost all weights."""
    left, rank = matrix.copy(), 0
    for column in range(left.shape[1]):
        below = np.flatnonzero(left[rank:, column])
        if not len(below):
            continue
        left[[rank, rank + below[0]]] = left[[rank + below[0], rank]]
        left[rank] = left[rank] * pow(int(left[rank, column]), -1, PRIME) % PRIME
        others = np.arange(len(left)) > rank
        left[others] = (left[others] - np.outer(left[others, column], left[rank])) % PRIME
        rank += 1
        if rank == len(left):
            break
    return rank


def modular_ranks(width: int, k: int) -> dict[str, int]:
    """Return ranks of k + 1 layers with random weights in exact arithmetic: one network, both, both with exchange."""
    rng, half = np.random.default_rng(0), 2**k
    chains = [[2**layer for layer in range(k)], [2**layer for layer in range(k)][::-1]]
    weights = rng.integers(1, PRIME, size=(2, k + 1, 2, width, width))
    places = np.stack(np.unravel_index(np.arange(width ** (2 * half)), (width,) * (2 * half)), axis=1)
    ones = [np.eye(width, dtype=np.int64)[places]] * 2
    for layer in range(k):
        ones = [modular_layer(weights[n, layer], ones[n], chains[n][layer]) for n in range(2)]
    swap = width // 2
    mixed = [np.concatenate([ones[1 - n][..., :swap], ones[n][..., swap:]], axis=-1) for n in range(2)]
    rows = [*range(half // 2), *range(half, 2 * half, 2)]

    def rank(*outputs: np.ndarray) -> int:
        total = sum(output[:, 0, 0] for output in outputs) % PRIME
        return modular_rank(matricised(total.reshape((width,) * (2 * half)), rows))

    last = [modular_layer(weights[n, k], ones[n], half) for n in range(2)]
    swapped = [modular_layer(weights[n, k], mixed[n], half) for n in range(2)]
    return {"one": rank(last[0]), "other": rank(last[1]), "apart": rank(*last), "mixed": rank(*swapped)}


@pytest.mark.parametrize(("width", "k"), [(2, 2), (3, 2), (2, 3)])
def test_one_exchange_raises_the_exponent_of_the_rank_in_exact_arithmetic(width: int, k: int) -> None:
    """Of almost all weights: r^(1 + 2^(k-1)) alone, not more than twice that side by side, r^(2^k) interconnected."""
    ranks = modular_ranks(width, k)
    alone = width ** (1 + 2 ** (k - 1))
    assert ranks["one"] == ranks["other"] == alone
    assert alone < ranks["apart"] <= 2 * alone
    assert ranks["mixed"] == width ** (2**k)


def test_double_precision_agrees_with_exact_arithmetic() -> None:
    found = table(circuit(3, (1, 2, 4), (2, 1, 4), exchange=[2]))[0]
    assert matricisation_rank(found, [0, 1, 4, 6]) == 81 == modular_ranks(3, 2)["mixed"]


@pytest.mark.parametrize("rows", [[], [0, 1, 2], [3], [-1]])
def test_rows_that_are_none_or_all_are_refused(rows: list[int]) -> None:
    with pytest.raises(ArgumentError, match="expected some of them, from 0, and not all"):
        matricised(np.zeros((2, 2, 2)), rows)


@pytest.mark.parametrize(("shape", "inputs"), [((2,), 2), ((0, 2), 2), ((2, 2), 0)])
def test_no_values_or_inputs_are_refused(shape: tuple[int, ...], inputs: int) -> None:
    with pytest.raises(ArgumentError, match="and 1 or more inputs"):
        grid_tensor(nn.Identity(), torch.zeros(shape), inputs)


def test_too_many_sequences_are_refused() -> None:
    with pytest.raises(ArgumentError, match="take fewer inputs or values"):
        grid_tensor(nn.Identity(), torch.eye(2), 25)


def test_tensors_without_a_rank_are_refused() -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(ArgumentError, match="values that are not finite"):
            matricisation_rank(np.full((2, 2), value), [0])
    with pytest.raises(ArgumentError, match=r"got a tensor of shape \(0, 2\), expected one with values"):
        matricisation_rank(np.zeros((0, 2)), [0])
    with pytest.raises(ArgumentError, match="got tolerance=-1"):
        matricisation_rank(np.eye(2), [0], tolerance=-1)
