"""In what tree a network combines its inputs, and what that says of the ranks of the functions that it can have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cortexres.errors import ArgumentError

Node = frozenset[int]


@dataclass(frozen=True)
class ModeTree:
    """A binary tree over inputs; a node is the set of the inputs below it.

    Parameters
    ----------
    root : frozenset of int
        All inputs.
    children : mapping of frozenset to two of them
        The two nodes whose union a node is; single inputs have none.
    """

    root: Node
    children: Mapping[Node, tuple[Node, Node]]

    def tiling(self, indices: Collection[int]) -> set[Node]:
        """Return the largest nodes that lie in a set of inputs; their disjoint union is the set.

        Raises
        ------
        ArgumentError
            If the set has inputs that the tree does not have.
        """
        wanted = frozenset(indices)
        if not wanted <= self.root:
            raise ArgumentError(
                f"got inputs {sorted(wanted - self.root)}, expected some of the {len(self.root)} of the tree"
            )
        return set(self._tiles(self.root, wanted))

    def rank_bounds(self, indices: Collection[int], width: int) -> tuple[int, int]:
        """Return how low and how high the rank is, between a set of inputs and the others, of what the tree computes.

        The tree is that of an arithmetic circuit: nodes of `width` channels, each the product of one linear combination
        of the channels of either child, and inputs that span `width` dimensions. No weights give a higher rank than the
        second, and almost all give the first or more.

        Parameters
        ----------
        indices : collection of int
            The inputs that number the rows of the matrix; neither none nor all.
        width : int
            Number of channels r.

        Raises
        ------
        ArgumentError
            If the set has none of the inputs, all, or others.

        References
        ----------
        Cohen, Tamari & Shashua (2018), Boosting dilated convolutional networks with mixed tensor decompositions,
        arXiv:1703.06846, theorem 1
        """
        tiles, others = self.tiling(indices), self.tiling(self.root - frozenset(indices))
        if not tiles or not others:
            raise ArgumentError(f"got {len(tiles)} tiles and {len(others)} others, expected some inputs, and not all")
        siblings = sum(
            {one, other} & tiles != set() and {one, other} & others != set()
            for node, (one, other) in self.children.items()
            if node != self.root
        )
        return width**siblings, width ** min(len(tiles), len(others))

    def _tiles(self, node: Node, wanted: Node) -> Iterator[Node]:
        if node <= wanted:
            yield node
        elif node & wanted:
            for child in self.children[node]:
                yield from self._tiles(child, wanted)


def mode_tree(dilations: Sequence[int]) -> ModeTree:
    """Return the tree in which dilated convolutions with windows of two combine the times that an output depends on.

    Parameters
    ----------
    dilations : sequence of int
        Of the layers, the first first. Times are numbered from the earliest, 0.

    Returns
    -------
    ModeTree
        Of ``2 ** layers`` inputs.

    Raises
    ------
    ArgumentError
        If there are no layers, a dilation is below 1, or two ways lead from one time to the output, which is no tree.

    References
    ----------
    Cohen, Tamari & Shashua (2018), arXiv:1703.06846, section 3.2
    """
    if not dilations or min(dilations) < 1:
        raise ArgumentError(f"got dilations={list(dilations)}, expected one or more, each of 1 or more")
    children: dict[Node, tuple[Node, Node]] = {}

    def grown(layers: int, time: int) -> Node:
        if not layers:
            return frozenset({time})
        earlier, later = (grown(layers - 1, then) for then in (time - dilations[layers - 1], time))
        if earlier & later:
            raise ArgumentError(
                f"got dilations={list(dilations)}, by which two ways lead to one time, expected a tree, as of 1, 2, 4"
            )
        children[earlier | later] = (earlier, later)
        return earlier | later

    return ModeTree(grown(len(dilations), sum(dilations)), children)
