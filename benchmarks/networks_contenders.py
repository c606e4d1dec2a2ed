"""The same computation in several ways: with cortexres, in bare torch, and with the libraries of the field."""

from __future__ import annotations

import importlib.util

import torch
from networks_cost import Contender
from torch import Tensor

from cortexres import nn

GAIN = 0.7  # of the recurrent weights: below 1, so that a fixed point exists, and 50 steps reach it


def elman(*, units: int, steps: int, batch: int, device: torch.device) -> tuple[list[Contender], float]:
    """``h' = tanh(W h + b + V x)`` on a movie: bare loop, cortexres, `torch.nn.RNN`; and their largest difference."""
    torch.manual_seed(0)
    rnn = torch.nn.RNN(units, units, batch_first=True, device=device)
    ours = nn.from_rnn(rnn)
    movie = torch.randn(batch, steps, units, device=device)
    own = [p.detach().clone().requires_grad_() for p in rnn.parameters()]

    def bare() -> Tensor:
        w_in, w, b_in, b = own
        state, states = torch.zeros(batch, units, device=device), []
        for k in range(steps):
            state = torch.tanh(state @ w.T + b + movie[:, k] @ w_in.T + b_in)
            states.append(state)
        return torch.stack(states, dim=1)

    outputs = [bare(), ours(movie)[0], rnn(movie)[0]]
    contenders = [
        Contender("bare Python loop", lambda: bare().square().mean(), own),
        Contender("cortexres.nn.Recurrent", lambda: ours(movie)[0].square().mean(), list(ours.parameters())),
        Contender("torch.nn.RNN", lambda: rnn(movie)[0].square().mean(), list(rnn.parameters())),
    ]
    return contenders, _apart(outputs)


def leaky(*, units: int, steps: int, batch: int, device: torch.device) -> tuple[list[Contender], float]:
    """``h' = h + dt (-h + tanh(W h + u))`` for T = 1 / dt steps: bare loop, cortexres, torchdiffeq's Euler solver."""
    weight, drive, dt = *_weights(units, batch, device), 1.0 / steps
    ours = nn.Recurrent(
        nn.Block(nn.Dense(units, bias=False, rng=0, device=device), nn.SoftAssignment(dt)), steps=steps, readout="last"
    )
    with torch.no_grad():
        ours.block.get_parameter("transform.layers.0.weight").copy_(weight)

    def bare() -> Tensor:
        state = torch.zeros_like(drive)
        for _ in range(steps):
            state = state + dt * (torch.tanh(state @ weight.T + drive) - state)
        return state

    contenders = [
        Contender("bare Python loop", lambda: bare().square().mean(), [weight]),
        Contender("cortexres.nn.Recurrent", lambda: ours(drive)[0].square().mean(), list(ours.parameters())),
    ]
    outputs = [bare(), ours(drive)[0]]
    if importlib.util.find_spec("torchdiffeq"):
        from torchdiffeq import odeint

        times = torch.linspace(0, 1, steps + 1, device=device)

        def solver() -> Tensor:
            def flow(t: Tensor, h: Tensor) -> Tensor:
                return torch.tanh(h @ weight.T + drive) - h

            states: Tensor = odeint(flow, torch.zeros_like(drive), times, method="euler")
            return states[-1]

        contenders.append(Contender("torchdiffeq odeint, euler", lambda: solver().square().mean(), [weight]))
        outputs.append(solver())
    return contenders, _apart(outputs)


def equilibrium(*, units: int, steps: int, batch: int, device: torch.device) -> tuple[list[Contender], float]:
    """The fixed point ``z = tanh(W z + u)``: cortexres applied T times, and torchdeq's solver, to 1e-4."""
    weight, drive = _weights(units, batch, device)
    ours = nn.Recurrent(nn.Block(nn.Dense(units, bias=False, rng=0, device=device), nn.NoShortcut()), steps=steps)
    ours.readout = "last"
    with torch.no_grad():
        ours.block.get_parameter("transform.layers.0.weight").copy_(weight)
    contenders = [
        Contender("cortexres.nn.Recurrent", lambda: ours(drive)[0].square().mean(), list(ours.parameters()))
    ]
    outputs = [ours(drive)[0]]
    if importlib.util.find_spec("torchdeq"):
        from torchdeq import get_deq

        # without ift its gradient is that of the last step alone, here 44 % off
        deq = get_deq(f_solver="anderson", f_max_iter=steps, f_tol=1e-4, ift=True, b_max_iter=steps, b_tol=1e-4)

        def solver() -> Tensor:
            states, _ = deq(lambda z: torch.tanh(z @ weight.T + drive), torch.zeros_like(drive))
            return states[-1]

        contenders.append(Contender("torchdeq, implicit gradient", lambda: solver().square().mean(), [weight]))
        outputs.append(solver())
    return contenders, _apart(outputs)


def _weights(units: int, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    weight = (GAIN * torch.linalg.qr(torch.randn(units, units, generator=draw))[0]).to(device).requires_grad_()
    return weight, torch.randn(batch, units, generator=draw).to(device)


def _apart(outputs: list[Tensor]) -> float:
    return max(float((output - outputs[0]).detach().abs().max()) for output in outputs)
