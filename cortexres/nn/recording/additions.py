"""Residual additions of any torch model, x + F(x), found in its graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, fx, nn

from cortexres.errors import ArgumentError
from cortexres.nn.recording.graph import Graph, trace

# Operations that keep all values and their order (dropout is the identity in evaluation).
VIEWS = {
    "alias", "clone", "contiguous", "detach", "dropout", "dropout1d", "dropout2d", "featuredropout", "flatten",
    "identity", "reshape", "squeeze", "to", "unflatten", "unsqueeze", "view", "viewas",
}  # fmt: skip
REARRANGEMENTS = VIEWS | {"permute", "transpose"}
CHANNEL_NORMS = {
    "batchnorm", "batchnorm1d", "batchnorm2d", "batchnorm3d", "groupnorm", "instancenorm", "instancenorm1d",
    "instancenorm2d",
}  # fmt: skip
NORMS = CHANNEL_NORMS | {"layernorm", "rmsnorm"}
# Affine in the one argument that depends on the input; a norm may stand among them, as in He's projections.
AFFINE = REARRANGEMENTS | NORMS | {
    "add", "addmm", "avgpool1d", "avgpool2d", "avgpool3d", "bmm", "cat", "constantpad2d", "constantpadnd", "conv1d",
    "conv2d", "conv3d", "convolution", "div", "einsum", "getitem", "iadd", "linear", "matmul", "mean", "mul", "neg",
    "pad", "slice", "sub", "truediv", "zeropad2d",
}  # fmt: skip
ACTIVATIONS = {
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leakyrelu", "mish", "prelu", "relu", "relu6",
    "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
}  # fmt: skip
MOST_REASONS = 10  # that an error gives
NAMED = "named"  # kind of an addition that is counted because the user named it


@dataclass(frozen=True)
class Addition:
    """One residual addition of a model.

    Parameters
    ----------
    name : str
        Module in which it stands, with ``add``, ``add_1``, ... for the additions in it, in their order.
    module : str
        Path of that module; empty for the model itself.
    kind : str
        ``"identity"``: x is carried on as it is. ``"projection"``: an affine map of it, where shapes change.
        ``"named"``: counted because it was named.
    shape : tuple of int
        Of the sum, without the batch.
    source, carried, update, total, response : str
        Nodes of the graph: the state that F reads, the operands x and F(x), x + F(x), and the state that is carried
        on, after the activation or norm that may follow.
    layout : tuple of str
        What the dims of `shape` are, such as (channel, y, x) or (token, feature), as far as F tells it.
    """

    name: str
    module: str
    kind: str
    shape: tuple[int, ...]
    source: str
    carried: str
    update: str
    total: str
    response: str
    layout: tuple[str, ...] = ()


class Additions(tuple[Addition, ...]):
    """Residual additions in the order in which they run; prints as a table."""

    def __str__(self) -> str:
        rows = [("name", "kind", "shape", "carried", "update", "sum", "response")]
        rows += [
            (one.name, one.kind, " x ".join(map(str, one.shape)), one.carried, one.update, one.total, one.response)
            for one in self
        ]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)


def find_additions(
    model: nn.Module, example_inputs: Tensor | tuple[Tensor, ...], *, names: Sequence[str] | None = None
) -> Additions:
    """Return the residual additions of a model, in the order in which they run.

    An addition of two activations of one shape counts where one operand, carried on as it is or by an affine map
    (a projection), is what the other, F(x), is computed from, with parameters. Position embeddings, attention masks
    and sums of branches inside F do not.

    Parameters
    ----------
    model : Module
        Any; it is looked at in evaluation, and not changed.
    example_inputs : Tensor or tuple of Tensors
        What the model takes, the batch first.
    names : sequence of str, optional
        These additions, whether they count or not; names as the table or the error says them.

    Returns
    -------
    Additions
        A tuple that prints as a table.

    Raises
    ------
    ArgumentError
        If the model cannot be followed, has no residual addition, or none of a name.
    """
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    return additions_in(trace(model, inputs), len(inputs[0]), names=names)


def additions_in(graph: Graph, batch: int, *, names: Sequence[str] | None = None) -> Additions:
    """Return the residual additions of a graph that runs on `batch` inputs; the rest is as for `find_additions`."""
    sums = _sums(graph)
    judged = _Judge(graph, batch).judged(sums)
    if names is not None:
        missing = [name for name in names if name not in sums]
        if missing:
            raise ArgumentError(f"got no addition {', '.join(missing)}, expected some of {', '.join(sums) or 'none'}")
        judged = {name: _by_hand(graph, batch, name, sums[name], judged[name]) for name in sums if name in names}
    found = [verdict for verdict in judged.values() if isinstance(verdict, Addition)]
    if not found:
        reasons = "; ".join(f"{name}: {verdict}" for name, verdict in list(judged.items())[:MOST_REASONS])
        if len(judged) > MOST_REASONS:
            reasons += f"; and {len(judged) - MOST_REASONS} more"
        raise ArgumentError(
            f"got a model without residual additions, expected x + F(x); its additions are {reasons or 'none'}; to "
            "count some all the same name them with additions=[...], or name modules whose output is x + F(x) with "
            "modules=[...]"
        )
    return Additions(_with_responses(graph, found))


def _sums(graph: Graph) -> dict[str, fx.Node]:
    """Return the additions of two tensors that depend on the input, by name."""
    sums: dict[str, fx.Node] = {}
    counts: dict[str, int] = {}
    for node in graph.nodes:
        if graph.operation(node) not in ("add", "iadd") or not graph.is_floating(node):
            continue
        if len(node.args) != 2 or len(graph.arguments(node)) != 2:  # a bias, an embedding, a mask or x + x
            continue
        path = graph.module_path(node)
        k = counts[path] = counts.get(path, -1) + 1
        sums[f"{path}.add".lstrip(".") + (f"_{k}" if k else "")] = node
    return sums


class _Judge:
    """Says of each sum of a graph whether it is a residual addition, or why it is not."""

    def __init__(self, graph: Graph, batch: int) -> None:
        self.graph, self.batch = graph, batch
        self.counted: dict[fx.Node, Addition] = {}

    def judged(self, sums: dict[str, fx.Node]) -> dict[str, Addition | str]:
        """Return the residual addition that each sum is, or the reason why it is none."""
        verdicts: dict[str, Addition | str] = {}
        for name, node in sums.items():
            verdict = verdicts[name] = self._verdict(name, node)
            if isinstance(verdict, Addition):
                self.counted[node] = verdict
        return verdicts | self._inside_others()

    def _verdict(self, name: str, node: fx.Node) -> Addition | str:
        obstacle = _obstacle(self.graph, node, self.batch)
        if obstacle:
            return obstacle
        operands = self.graph.arguments(node)
        reasons = []
        for carried, update in (operands, operands[::-1]):
            origin = self._origin(carried, self.graph.ancestors(update))
            if origin is None:
                continue
            source, kind = origin
            path = self.graph.between(source, update)
            if not any(self.graph.is_parametrised(step) for step in path):
                reasons.append("what is added is computed from the carried state without parameters")
            elif kind == "projection" and not any(self.graph.operation(step) not in AFFINE for step in path):
                reasons.append("both terms are affine in one state")
            else:
                return _addition(self.graph, name, node, (source, carried, update), kind)
        return reasons[0] if reasons else "no term is computed from the other, nor from what the other carries on"

    def _origin(self, carried: fx.Node, reached: set[fx.Node]) -> tuple[fx.Node, str] | None:
        """Return the state that `carried` carries on and from which the other term is computed, and how it is carried.

        From `carried` back, as long as each step has one argument and is affine; a sum that counts carries on its x.
        """
        node, kind = carried, "identity"
        while node not in reached:
            arguments = self.graph.arguments(node)
            if node in self.counted and kind == "identity":
                node = next(other for other in arguments if other.name == self.counted[node].carried)
            elif len(arguments) == 1 and self.graph.operation(node) in AFFINE:
                kind = kind if self.graph.operation(node) in REARRANGEMENTS else "projection"
                node = arguments[0]
            else:
                return None
        return node, kind

    def _inside_others(self) -> dict[str, str]:
        """Return why projections do not count that are sums of branches inside the F of an identity addition."""
        inside: dict[str, str] = {}
        for total, outer in self.counted.items():
            update = next(operand for operand in self.graph.arguments(total) if operand.name == outer.update)
            within = {step.name for step in self.graph.ancestors(update)} if outer.kind == "identity" else set()
            for inner in self.counted.values():
                if inner.kind == "projection" and inner.source == outer.source and inner.total in within:
                    inside[inner.name] = f"a sum of branches inside the F of {outer.name}"
        return inside


def _obstacle(graph: Graph, node: fx.Node, batch: int) -> str | None:
    """Return why a sum cannot be recorded at all."""
    shapes = [graph.shape(operand) for operand in graph.arguments(node)]
    if node.kwargs.get("alpha", 1) != 1:
        return f"it adds {node.kwargs['alpha']} times its second term in one operation"
    if shapes[0] != shapes[1]:
        return f"its terms have shapes {shapes[0]} and {shapes[1]}"
    if not shapes[0] or shapes[0][0] != batch or len(shapes[0]) < 2:
        return f"its shape {shapes[0]} does not begin with the batch, {batch}"
    return None


def _by_hand(graph: Graph, batch: int, name: str, node: fx.Node, verdict: Addition | str) -> Addition:
    """Return a sum that the user named as an addition; where it does not count, what was there first is carried."""
    if isinstance(verdict, Addition):
        return verdict
    obstacle = _obstacle(graph, node, batch)
    if obstacle:
        raise ArgumentError(f"got the addition {name}, which cannot be recorded as x + F(x): {obstacle}; leave it out")
    carried, update = sorted(graph.arguments(node), key=graph.position.__getitem__)
    return _addition(graph, name, node, (carried, carried, update), NAMED)


def _addition(
    graph: Graph, name: str, node: fx.Node, terms: tuple[fx.Node, fx.Node, fx.Node], kind: str
) -> Addition:
    source, carried, update = terms
    shape = (graph.shape(node) or ())[1:]
    layout = _layout(shape, {graph.operation(step) for step in graph.between(source, update)})
    names = (source.name, carried.name, update.name, node.name, node.name)
    return Addition(name, graph.module_path(node), kind, shape, *names, layout)


def _layout(shape: tuple[int, ...], operations: set[str]) -> tuple[str, ...]:
    """Return what the dims of a state are, as far as F tells it.

    Convolutions and norms of channels have the channels first, linear layers and layer norms the features last.
    """
    dims = len(shape)
    if f"conv{dims - 1}d" in operations or (not operations & {"linear", "layernorm"} and operations & CHANNEL_NORMS):
        return ("channel", *("z", "y", "x")[4 - dims :]) if 2 <= dims <= 4 else ()
    if dims == 2 and operations & {"linear", "layernorm", "matmul"}:
        return ("token", "feature")
    # Windows of tokens have as many dims as maps, which are square in all likelihood.
    return ("y", "x", "channel") if dims == 3 and shape[0] == shape[1] and "linear" in operations else ()


def _with_responses(graph: Graph, found: list[Addition]) -> list[Addition]:
    """Return the additions with the state that each leaves: the sum, or what its only reader makes of it.

    What a later block carries decides; where none does (the last block), it is as in the block before, and in a model
    of one block an activation belongs to it.
    """
    carried = {one.source for one in found if one.kind == "identity"}
    chains = [_followers(graph, graph.named[one.total]) for one in found]
    known = [_operations_up_to(graph, chain, carried) for chain in chains]
    return [
        replace(one, response=chain[_length(graph, chain, _nearest(known, k))].name)
        for k, (one, chain) in enumerate(zip(found, chains, strict=True))
    ]


def _operations_up_to(graph: Graph, chain: list[fx.Node], carried: set[str]) -> list[str] | None:
    """Return the operations between a sum and the state that a later block carries; None where none does."""
    ends = [k for k, node in enumerate(chain) if node.name in carried]
    return [graph.operation(node) for node in chain[1 : ends[0] + 1]] if ends else None


def _nearest(known: list[list[str] | None], k: int) -> list[str] | None:
    """Return entry k, or else the nearest before it, or else the nearest after it that is known."""
    return next((entry for entry in (*known[k::-1], *known[k + 1 :]) if entry is not None), None)


def _length(graph: Graph, chain: list[fx.Node], pattern: list[str] | None) -> int:
    """Return how many of the operations after a sum belong to its block."""
    operations = [graph.operation(node) for node in chain[1:]]
    if pattern is None:
        return int(bool(operations) and operations[0] in ACTIVATIONS)
    return len(pattern) if operations[: len(pattern)] == pattern else 0


def _followers(graph: Graph, total: fx.Node) -> list[fx.Node]:
    """Return a sum and the activations and norms after it, as long as each is read by the next alone."""
    chain = [total]
    while len(chain[-1].users) == 1:
        reader = next(iter(chain[-1].users))
        known = graph.operation(reader) in ACTIVATIONS | NORMS | REARRANGEMENTS
        if not known or len(graph.arguments(reader)) != 1 or graph.shape(reader) != graph.shape(total):
            break
        chain.append(reader)
    return chain
