"""The transfer function of a unit in torch: from mean and noise of the input to the stationary rate, with gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cortexres.meanfield import NeuronParameters, ResponseTimeTable

#: The variable of the integral is clamped here: exp(25^2) is still a float64, and the rate is nil long before.
LARGEST_POINT = 25.0


class Transfer(nn.Module):
    """Stationary rate in Hz of leaky integrate-and-fire units: 1 / (t_ref + tau sqrt(pi) int erfcx(-u) du).

    Parameters
    ----------
    neurons : sequence of NeuronParameters
        One per unit.
    nodes : int
        Gauss-Legendre nodes of the integral.
    """

    tau_m: Tensor
    t_ref: Tensor
    threshold: Tensor
    reset: Tensor
    nodes: Tensor
    weights: Tensor

    def __init__(self, neurons: Sequence[NeuronParameters], *, nodes: int = 40) -> None:
        super().__init__()
        columns = torch.tensor([list(n) for n in neurons], dtype=torch.float64).T
        for name, column in zip(("tau_m", "t_ref", "threshold", "reset"), columns, strict=True):
            self.register_buffer(name, column.clone())
        x, w = np.polynomial.legendre.leggauss(nodes)
        self.register_buffer("nodes", torch.from_numpy(0.5 * (x + 1.0)))
        self.register_buffer("weights", torch.from_numpy(0.5 * w))

    def forward(self, mu: Tensor, sigma: Tensor, shift: Tensor) -> Tensor:
        """Rate in Hz; mean input and noise in mV and the shift of the bounds, all of shape (..., unit)."""
        lower = (self.reset - mu) / sigma + shift
        width = (self.threshold - self.reset) / sigma
        # The points are clamped, not the bounds: two bounds that both met the clamp would leave an empty integral.
        points = (lower[..., None] + width[..., None] * self.nodes).clamp(max=LARGEST_POINT)
        integral = width * (torch.special.erfcx(-points) @ self.weights)
        rate: Tensor = 1e3 / (self.t_ref + self.tau_m * math.sqrt(math.pi) * integral)
        return rate


class ResponseTime(nn.Module):
    """Response time in ms of every unit, read from the tables of its kind of neuron by bilinear interpolation.

    Parameters
    ----------
    tables : sequence of ResponseTimeTable
        One per kind of neuron, all of one shape and with the same distances.
    kinds : sequence of int
        The table of each unit.
    shortest_ms : float
        Smaller response times (fast neurons have about 0, or less) become this one.
    """

    values: Tensor
    threshold: Tensor
    lowest_sigma: Tensor
    sigma_step: Tensor
    kind: Tensor

    def __init__(self, tables: Sequence[ResponseTimeTable], kinds: Sequence[int], *, shortest_ms: float = 0.05) -> None:
        super().__init__()
        self.shape = tables[0].tau_ms.shape
        self.lowest_distance = float(tables[0].distance[0])
        self.distance_step = float(tables[0].distance[1] - tables[0].distance[0])
        index = torch.tensor(list(kinds))
        stacked = torch.from_numpy(np.stack([t.tau_ms for t in tables]).clip(min=shortest_ms))
        self.register_buffer("values", stacked.reshape(-1))
        self.register_buffer("kind", index)
        for name, column in (
            ("threshold", [t.v_threshold_mV for t in tables]),
            ("lowest_sigma", [t.sigma[0] for t in tables]),
            ("sigma_step", [t.sigma[1] - t.sigma[0] for t in tables]),
        ):
            self.register_buffer(name, torch.tensor(np.array(column), dtype=torch.float64)[index])

    def forward(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """Response time in ms of shape (..., unit), for mean input and noise in mV; outside the tables, their edge."""
        rows, columns = self.shape
        row = ((self.threshold - mu) / sigma - self.lowest_distance) / self.distance_step
        column = (sigma - self.lowest_sigma) / self.sigma_step
        row, column = row.clamp(0.0, rows - 1.0), column.clamp(0.0, columns - 1.0)
        i, j = row.detach().long().clamp(max=rows - 2), column.detach().long().clamp(max=columns - 2)
        a, b = row - i, column - j
        corner = (self.kind * rows + i) * columns + j
        low = (1.0 - b) * self.values[corner] + b * self.values[corner + 1]
        high = (1.0 - b) * self.values[corner + columns] + b * self.values[corner + columns + 1]
        time: Tensor = (1.0 - a) * low + a * high
        return time
