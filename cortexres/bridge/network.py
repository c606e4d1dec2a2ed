"""The weight-shared residual network of a circuit: one block, applied once per time step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from cortexres import front_ends
from cortexres.bridge.block import ResidualBlock
from cortexres.bridge.transfer import ResponseTime
from cortexres.definitions import Circuit, FrontEnd, to_json
from cortexres.errors import ArgumentError
from cortexres.meanfield import MeanField, ResponseTimeTable, fixed_point, response_time_table
from cortexres.meanfield.moments import NeuronParameters

#: The tables of response times cover the noise at recurrent rates up to this one (Hz).
HIGHEST_TABULATED_RATE = 150.0


class CircuitNetwork(nn.Module):
    """Residual network with the circuit's units, weights and time constants; nothing in it is fitted.

    Parameters
    ----------
    field : MeanField
        Mean field of the circuit.
    front_end : FrontEnd
        What turns images into drive.
    unit_coords : mapping of str to ndarray
        Labels of the units.
    dt_ms : float
        Time that one block stands for.
    steps : int
        How often the block is applied by default.
    name : str
        Name of the network.
    response_time : ResponseTime, optional
        Tables to share with another network of the same neurons.
    circuit : Circuit, optional
        The definition that the network comes from, for its `facts`.
    weights : str
        What the weights are, for its `facts`.
    """

    initial: Tensor

    def __init__(
        self,
        field: MeanField,
        *,
        front_end: FrontEnd,
        unit_coords: Mapping[str, NDArray[Any]],
        dt_ms: float,
        steps: int,
        name: str,
        response_time: ResponseTime | None = None,
        circuit: Circuit | None = None,
        weights: str = "derived",
    ) -> None:
        super().__init__()
        self._field, self._circuit, self._weights = field, circuit, weights
        self.front_end, self.dt_ms, self.steps, self.name = front_end, dt_ms, steps, name
        self.unit_coords = {key: np.asarray(value) for key, value in unit_coords.items()}
        self.block = ResidualBlock(field, response_time or response_times(field), dt_ms=dt_ms)
        rates = torch.from_numpy(fixed_point(field).rates)
        self.register_buffer("initial", self.block.rest(rates))

    @property
    def field(self) -> MeanField:
        """The mean field with the weights and constant inputs that the network has now."""
        pathways = tuple(
            replace(route.pathway, mean=weight.detach().cpu().numpy().copy())
            for route, weight in zip(self.block.routes, self.block.weights, strict=True)
        )
        resting = self.block.resting.detach().cpu().numpy().copy()
        return replace(self._field, pathways=pathways, resting=resting)

    @property
    def facts(self) -> dict[str, object]:
        """What a recording keeps of the network: its circuit, time step, and whether its weights are the derived."""
        now, before = self.field, self._field
        same = np.array_equal(now.resting, before.resting) and all(
            np.array_equal(a.mean, b.mean) for a, b in zip(now.pathways, before.pathways, strict=True)
        )
        return {
            "circuit": None if self._circuit is None else json.loads(to_json(self._circuit)),
            "dt_ms": self.dt_ms,
            "weights": self._weights if same else f"{self._weights}, changed since",
        }

    def inputs(self, stimuli: xr.Dataset) -> Tensor:
        """Drive of every unit in mV, shape (stimulus, unit): 0 where the front end does not reach."""
        channels = front_ends.drive(stimuli, self.front_end).transpose("stimulus", "channel")
        values = np.asarray(channels.values, dtype=np.float64)
        drive = np.zeros((len(values), len(self.unit_coords["name"])))
        drive[:, self._field.driven] = values[:, None, :]  # the same channels in each driven population
        return torch.from_numpy(drive)

    def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Tensor]:
        """Rates and input of every unit before the first block and after each, from stimulus onset.

        Parameters
        ----------
        inputs : Tensor of shape (batch, unit)
            Drive in mV, constant from the first block on.
        steps : int, optional
            Number of blocks; by default the network's own.

        Returns
        -------
        dict
            ``response`` in Hz, ``feedforward``, ``recurrent_excitatory`` and ``recurrent_inhibitory`` in mV, each of
            shape (batch, steps + 1, unit). Entry 0 is the resting state, before onset.
        """
        drive = self._checked(inputs)
        state = self.initial.expand(len(drive), -1, -1)
        rows = [self._row(state, torch.zeros_like(drive))]
        for _ in range(self.steps if steps is None else steps):
            state = state + self.block(state, drive)
            rows.append(self._row(state, drive))
        return {key: torch.stack([row[key] for row in rows], dim=1) for key in rows[0]}

    def forward(
        self, inputs: Tensor, state: Tensor | None = None, *, steps: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Rates in Hz, shape (batch, unit), and state after `steps` blocks from `state` (by default, from rest)."""
        drive = self._checked(inputs)
        current = self.initial.expand(len(drive), -1, -1) if state is None else state
        for _ in range(self.steps if steps is None else steps):
            current = current + self.block(current, drive)
        return current[:, 0], current

    def with_field(self, field: MeanField, *, name: str, weights: str) -> CircuitNetwork:
        """A network of the same neurons, time step and front end, with the pathways and inputs of `field`."""
        return CircuitNetwork(
            field,
            front_end=self.front_end,
            unit_coords=self.unit_coords,
            dt_ms=self.dt_ms,
            steps=self.steps,
            name=name,
            response_time=self.block.response_time,
            circuit=self._circuit,
            weights=weights,
        )

    def _row(self, state: Tensor, drive: Tensor) -> dict[str, Tensor]:
        currents = self.block.currents(state)
        return {
            "response": state[:, 0],
            "feedforward": drive + currents.feedforward,
            "recurrent_excitatory": currents.excitatory,
            "recurrent_inhibitory": currents.inhibitory,
        }

    def _checked(self, inputs: Tensor) -> Tensor:
        units = len(self.unit_coords["name"])
        if inputs.ndim != 2 or inputs.shape[1] != units:
            raise ArgumentError(
                f"got inputs of shape {tuple(inputs.shape)}, expected (batch, {units}): one drive in mV per unit; "
                "make them with network.inputs(stimuli)"
            )
        return inputs.to(self.initial)


def response_times(field: MeanField) -> ResponseTime:
    """Tables of response times for the neurons of `field`: one per kind of neuron, over the noise that it can meet."""
    highest = field.moments(np.full(field.units, HIGHEST_TABULATED_RATE)).sigma
    lowest = field.moments(np.zeros(field.units)).sigma
    neurons = field.neurons()
    kinds = sorted(set(neurons))
    tables = []
    for kind in kinds:
        members = [k for k, neuron in enumerate(neurons) if neuron == kind]
        tables.append(_table(kind, float(lowest[members].min()), float(highest[members].max())))
    return ResponseTime(tables, [kinds.index(neuron) for neuron in neurons])


def _table(kind: NeuronParameters, lowest: float, highest: float) -> ResponseTimeTable:
    # A circuit without recurrence has one noise amplitude: the table still needs two columns.
    return response_time_table(**kind._asdict(), sigma_range_mV=(lowest, max(highest, 1.05 * lowest)))
