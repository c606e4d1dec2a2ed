"""States at the residual additions of any torch model, taken while its graph runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from cortexres.nn.recording.additions import VIEWS, Addition, Additions, additions_in
from cortexres.nn.recording.graph import Graph, Watched, trace
from cortexres.nn.recording.states.state import Keep, Place, Stage, facts_of


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
        self._carried_first: dict[str, Place] = {}  # by sum
        self._entering: dict[str, list[Place]] = {}  # by what F reads
        for k, stage in enumerate(stages):
            places = [
                Place(k, b, len(stage) + 1, any(one.response != one.total for one in stage))
                for b in range(len(stage) + 1)
            ]
            for place, one in zip(places[1:], stage, strict=True):
                self._sums[one.total], self._responses[one.response] = (place, one), place
            # What enters a stage is what F reads there; where that has another shape, what is carried of it.
            first = stage[0]
            shape = self._graph.shape(self._graph.named[first.source]) or ()
            if first.kind == "projection" and shape[1:] == first.shape:
                self._entering.setdefault(first.source, []).append(places[0])
            else:
                self._carried_first[first.total] = places[0]

    def run(self, inputs: Tensor, keep: Keep) -> None:
        """Run the graph on a batch and hand over each state as soon as it is there."""

        def before(node: fx.Node, values: Mapping[fx.Node, Any]) -> None:
            if node.name in self._sums:
                place, addition = self._sums[node.name]
                carried, update = (values[self._graph.named[name]] for name in (addition.carried, addition.update))
                if node.name in self._carried_first:
                    self._carried_first[node.name].start(keep, carried)
                place.keep(keep, "carried", carried)
                place.keep(keep, "update", update)

        def after(node: fx.Node, value: Any) -> None:
            for start in self._entering.get(node.name, ()):
                start.start(keep, value)
            if node.name in self._sums and self._sums[node.name][0].has_sum:
                self._sums[node.name][0].keep(keep, "sum", value)
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
    if one.shape == last.shape:
        return graph.named[last.total] in graph.ancestors(graph.named[one.carried])
    node = graph.named[one.carried]
    while graph.operation(node) in VIEWS and len(graph.arguments(node)) == 1 and node.name != last.response:
        node = graph.arguments(node)[0]
    return node.name == last.response
