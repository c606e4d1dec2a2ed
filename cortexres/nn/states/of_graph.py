"""States at the residual additions of any torch model, taken while its graph runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from cortexres.nn.additions import VIEWS, Addition, Additions, additions_in
from cortexres.nn.graph import Graph, Watched, trace
from cortexres.nn.states.state import Keep, Place, Stage, facts_of


class GraphStates:
    """States at the residual additions of any model, taken while its graph runs.

    Parameters
    ----------
    model : Module
        Looked at in evaluation.
    example : Tensor
        A batch; all others must have its shape.
    names : sequence of str, optional
        Additions to take; those that count where it is left out.
    """

    def __init__(self, model: nn.Module, example: Tensor, names: Sequence[str] | None = None) -> None:
        self._graph = trace(model, (example,))
        found = additions_in(self._graph, len(example), names=names)
        stages = _in_stages(self._graph, found)
        self.stages = [
            Stage(tuple(one.module for one in stage), tuple(one.kind for one in stage), stage[0].layout)
            for stage in stages
        ]
        self.facts = facts_of(model) | {"followed_by": self._graph.how, "additions": [one.name for one in found]}
        self._sums: dict[str, tuple[Place, Addition]] = {}
        self._responses: dict[str, Place] = {}
        self._starts: dict[str, list[Place]] = {}
        shapes = {node.name: (self._graph.shape(node) or ())[1:] for node in self._graph.nodes}
        for k, stage in enumerate(stages):
            has_sum = any(one.response != one.total for one in stage)
            for b, one in enumerate(stage, 1):
                place = Place(k, b, len(stage) + 1, has_sum)
                self._sums[one.total], self._responses[one.response] = (place, one), place
            # What enters a stage is what F reads there; where that has another shape, what is carried of it.
            first = stage[0]
            entered = first.source if first.kind == "projection" and shapes[first.source] == first.shape else ""
            self._starts.setdefault(entered or first.total, []).append(Place(k, 0, len(stage) + 1, has_sum))

    def run(self, inputs: Tensor, keep: Keep) -> None:
        """Run the graph on a batch and hand over each state as soon as it is there."""

        def before(node: fx.Node, values: Mapping[fx.Node, Any]) -> None:
            if node.name in self._sums:
                place, addition = self._sums[node.name]
                terms = {other.name: values[other] for other in node.all_input_nodes}
                for start in self._starts.get(node.name, ()):
                    start.start(keep, terms[addition.carried])
                place.keep(keep, "carried", terms[addition.carried])
                place.keep(keep, "update", terms[addition.update])

        def after(node: fx.Node, value: Any) -> None:
            if node.name in self._sums:
                place, _ = self._sums[node.name]
                if place.has_sum:
                    place.keep(keep, "sum", value)
            else:
                for start in self._starts.get(node.name, ()):
                    start.start(keep, value)
            if node.name in self._responses:
                self._responses[node.name].keep(keep, "response", value)

        with torch.no_grad():
            Watched(self._graph, before=before, after=after).run(inputs)


def _in_stages(graph: Graph, found: Additions) -> list[list[Addition]]:
    """Return the additions in stages: those that follow each other, in states of one shape."""
    stages: list[list[Addition]] = []
    for one in found:
        if stages and _follows(graph, one, stages[-1][-1]):
            stages[-1].append(one)
        else:
            stages.append([one])
    return stages


def _follows(graph: Graph, one: Addition, last: Addition) -> bool:
    """Return whether an addition carries on the state that the last one left, in the same shape or in a view of it."""
    nodes = {node.name: node for node in graph.nodes}
    if one.shape == last.shape:
        return nodes[last.total] in graph.ancestors(nodes[one.carried])
    node = nodes[one.carried]
    while graph.operation(node) in VIEWS and len(graph.arguments(node)) == 1 and node.name != last.response:
        node = graph.arguments(node)[0]
    return node.name == last.response
