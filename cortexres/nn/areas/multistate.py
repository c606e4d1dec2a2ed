"""Several states and an adjacency of operators between them: areas with feedforward, lateral and feedback input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from typing import cast

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.areas.adjacency import KINDS, Area, Connection, Unrolling, Wire, wires_of
from cortexres.nn.areas.fitting import check_fits
from cortexres.nn.areas.frames import count_steps, frame_of
from cortexres.nn.areas.history import History, States, history_of, states_of
from cortexres.nn.areas.parts import Parts, Split, split_alone
from cortexres.nn.areas.readout import Readout, check_readout, check_seen, read_rows
from cortexres.nn.areas.unrolling import order_of, reached
from cortexres.nn.block import Block
from cortexres.nn.constrained import computed_once
from cortexres.nn.initial import Rng, reset_children
from cortexres.nn.recurrent import Injection, Trajectory
from cortexres.nn.sizes import check_sizes


class MultiState(nn.Module):
    """A recurrent network of several states: ``h^i_{t+1} = sum_j K_ij(h^j_{t+1-d}) + input``, d the delay.

    All steps share all parameters (`Recurrent`, of one state, has an untied twin). Nothing is kept between calls.

    Parameters
    ----------
    areas : sequence of Area
        The states, from the input upwards.
    connections : sequence of Connection
        The adjacency: the operators K_ij that there are. Those from the input are the pre-net; the post-net is
        whatever takes the output.
    input_area : Area
        Name and shape of the input.
    steps : int
        Number of steps T; it can be run for others.
    unrolling : {"biological", "engineering"}
        Biological: every connection takes a step or more, so that an input is in the k-th area after k steps.
        Engineering: feedforward connections act within the step, and an input is in all areas after one.
    injection : {"every", "first"}
        Whether the input enters at each step, or is added to the first states and does not enter again.
    readout : {"all", "last"}, int or sequence of int
        Which states of the readout area are the output: those after all steps, (batch, steps, ...), after the last,
        after step k, or after several, (batch, readout, ...).
    readout_area : str, optional
        The last of `areas` where it is left out.
    noise : float
        Standard deviation of the Gaussian noise that each step adds to every state, in training and in evaluation, from
        torch's global generator; 0 draws nothing.

    Raises
    ------
    ArgumentError
        If an option is out of range, areas and connections do not fit together, areas need one another within a step,
        or the output would be the same for all inputs, since none gets there in time.

    References
    ----------
    Liao & Poggio (2016), Bridging the gaps between residual learning, recurrent neural networks and visual
    cortex, arXiv:1604.03640
    Spoerer, McClure & Kriegeskorte (2017), Recurrent convolutional neural networks, doi:10.3389/fpsyg.2017.01551
    """

    def __init__(
        self,
        areas: Sequence[Area],
        connections: Sequence[Connection],
        *,
        input_area: Area,
        steps: int,
        unrolling: Unrolling = "biological",
        injection: Injection = "every",
        readout: Readout = "last",
        readout_area: str | None = None,
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        _check_options(areas, steps, unrolling, injection, noise)
        self.areas = {area.name: area for area in areas}
        self.input_area, self.steps, self.unrolling = input_area, steps, unrolling
        self.injection, self.noise = injection, noise
        self.wires = wires_of(areas, input_area, connections, unrolling)
        self.order = order_of(list(self.areas), self.wires, input_area.name)
        self.depth = {name: max([w.delay for w in self.wires if w.source == name] + [1]) for name in self.areas}
        self.connections = nn.ModuleDict({kind: nn.ModuleDict() for kind in KINDS})
        for wire, connection in zip(self.wires, connections, strict=True):
            self._add(wire, nn.Identity() if connection.operator is None else connection.operator)
        self.readout = readout if isinstance(readout, str | int) else tuple(readout)
        self.readout_area = areas[-1].name if readout_area is None else readout_area
        if self.readout_area not in self.areas:
            raise ArgumentError(f"got readout_area={readout_area!r}, expected one of {', '.join(self.areas)}")
        check_readout(self.readout, steps)
        self._check_seen(steps)

    def _add(self, wire: Wire, operator: nn.Module) -> None:
        check_fits(operator, wire, {self.input_area.name: self.input_area, **self.areas})
        if wire.own and isinstance(operator, Block) and self.areas[wire.target].activation is not None:
            raise ArgumentError(
                f"got an activation of {wire.target} and a block onto itself, expected the block's alone: "
                "Block(..., activation=...)"
            )
        cast("nn.ModuleDict", self.connections[wire.kind])[wire.name] = operator

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights of all operators anew, kind by kind; norms start where they do."""
        reset_children(self.connections, rng)

    def operator(self, wire: Wire) -> nn.Module:
        """Return the operator of a connection, one of `wires`."""
        return cast("nn.ModuleDict", self.connections[wire.kind])[wire.name]

    def forward(
        self, x: Tensor, h_0: States | None = None, *, steps: int | None = None, first_step: int = 0
    ) -> tuple[Tensor, States]:
        """Return (output, last states) of a run.

        Parameters
        ----------
        x : Tensor of shape (batch, ...) or (batch, time, ...)
            Input that stays the same, or one frame per step.
        h_0 : dict of Tensor, optional
            States to start from, by area, (batch, ...), and earlier ones, ``"V1.past"``, (batch, step, ...), latest
            first, where delays need them. What is left out is at rest: zeros.
        steps : int, optional
            Number of steps; the network's own, or one per frame, where it is left out.
        first_step : int
            How many steps went before: what normalisation keeps per step is taken from there on, and an input that
            enters at the first step does not enter again. The readout's steps are of this run.

        Returns
        -------
        output : Tensor
            States of the readout area, as `readout` says.
        h_n : dict of Tensor
            All states after the last step; a run that starts from them, told as `first_step` how many went before,
            goes on exactly where this one ended.

        Raises
        ------
        ArgumentError
            If the input or a state has another shape, `h_0` names what is no state, `steps` is out of range, the
            readout step is not reached, or the output would be the same for all inputs.
        """
        count = count_steps(x, self.input_area, self.injection, self.steps, steps)
        if h_0 is None and count != self.steps:
            self._check_seen(count)
        history, rows, read = self._start(x, h_0, first_step), read_rows(self.readout, count), []
        with computed_once(True, self.connections):
            for step in range(count):
                parts = self._parts(history, self._frame(x, step), first_step + step)
                history = self._after(history, parts)
                if step + 1 in rows:
                    read.append(parts[self.readout_area].state)
        single = self.readout == "last" or isinstance(self.readout, int)
        return read[0] if single else torch.stack(read, dim=1), states_of(history)

    def trajectory(
        self,
        x: Tensor,
        h_0: States | None = None,
        *,
        steps: int | None = None,
        first_step: int = 0,
        split: Split = "parts",
    ) -> dict[str, Trajectory]:
        """Return every state of a run by area, each (batch, steps + 1, ...).

        ``carried + update`` is the sum that becomes ``response``. ``carried`` is what the area is given: all that
        arrives from other areas and the input, and what the shortcut of its block onto itself keeps. ``update`` is what
        its lateral recurrence adds, zeros where there is none. Input drives, recurrence answers.

        Parameters
        ----------
        x, h_0, steps, first_step
            As in `forward`, with the same errors, but that nothing need reach the readout.
        split : {"parts", "alone"}
            Of a block whose transform takes the drive inside. ``"parts"``: the block's two terms, as in `Recurrent`;
            the drive is in the update. ``"alone"``: what F makes of the drive without the area's past is carried, and
            the difference that the past makes is the update; up to rounding they add up to the sum. Such blocks are
            computed twice, which in training counts twice for running statistics.

        Raises
        ------
        ArgumentError
            As `forward`, or if `split` is neither.
        """
        if split not in ("parts", "alone"):
            raise ArgumentError(f"got split={split!r}, expected 'parts' or 'alone'")
        count = count_steps(x, self.input_area, self.injection, self.steps, steps)
        history = self._start(x, h_0, first_step)
        rows = {name: [(past[0], past[0], torch.zeros_like(past[0]))] for name, past in history.items()}
        with computed_once(True, self.connections):
            for step in range(count):
                parts = self._parts(history, self._frame(x, step), first_step + step, split)
                history = self._after(history, parts)
                for name, (carried, update, state) in parts.items():
                    rows[name].append((state, carried, torch.zeros_like(carried) if update is None else update))
        return {
            name: Trajectory(*(torch.stack(column, dim=1) for column in zip(*own, strict=True)))
            for name, own in rows.items()
        }

    def _parts(self, history: History, frame: Tensor | None, step: int, split: Split = "parts") -> dict[str, Parts]:
        """Return what a step makes of every area; `history` has the states before it, latest first."""
        made: dict[str, Parts] = {}
        for name in self.order:
            made[name] = self._part(name, history, made, frame, step, split)
        return made

    def _part(
        self, name: str, history: History, made: dict[str, Parts], frame: Tensor | None, step: int, split: Split
    ) -> Parts:
        """Return what a step makes of one area, those that it needs within the step being `made` already."""

        def source(wire: Wire) -> Tensor:
            if wire.source == self.input_area.name:
                return cast("Tensor", frame)
            return history[wire.source][wire.delay - 1] if wire.delay else made[wire.source].state

        here = [wire for wire in self.wires if wire.target == name]
        present = [w for w in here if not w.own and (frame is not None or w.source != self.input_area.name)]
        drive = _total(_through(self.operator(wire), wire, source(wire), step) for wire in present)
        own = next((wire for wire in here if wire.own), None)
        operator = None if own is None else self.operator(own)
        if own is not None and isinstance(operator, Block):
            carried, added = operator.parts(source(own), drive, step)
            state = self._noisy(operator.finish(carried + added))
            if split == "alone":
                carried, added = split_alone(operator, source(own), drive, step, (carried, added))
            return Parts(carried, added, state)
        carried = torch.zeros_like(history[name][0]) if drive is None else drive
        update = None if own is None else _through(self.operator(own), own, source(own), step)
        total = carried if update is None else carried + update
        activation = self.areas[name].activation
        return Parts(carried, update, self._noisy(total if activation is None else activation(total)))

    def _after(self, history: History, parts: dict[str, Parts]) -> History:
        """Return the history after a step, as far back as delays need it."""
        return {name: (parts[name].state, *past)[: self.depth[name]] for name, past in history.items()}

    def _start(self, x: Tensor, h_0: States | None, first_step: int) -> History:
        """Return the history before the first step."""
        history = history_of({} if h_0 is None else h_0, self.areas, self.depth, x)
        if self.injection == "first" and not first_step:
            for wire in self.wires:
                if wire.source == self.input_area.name:
                    latest, *past = history[wire.target]
                    history[wire.target] = (latest + _through(self.operator(wire), wire, x, 0), *past)
        return history

    def _frame(self, x: Tensor, step: int) -> Tensor | None:
        return frame_of(x, self.input_area, self.injection, step)

    def _check_seen(self, count: int) -> None:
        """Raise where no input can change the output of a run of `count` steps from rest."""
        name, longest = self.input_area.name, count + len(self.order) * max(self.depth.values())
        seen = reached(self.order, self.wires, name, injection=self.injection, steps=longest)[self.readout_area]
        check_seen(self.readout, count, seen, f"from {name} to {self.readout_area}")

    def _noisy(self, state: Tensor) -> Tensor:
        return state + self.noise * torch.randn_like(state) if self.noise else state

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        parts = (
            f"{' '.join(self.areas)}, steps={self.steps}, unrolling={self.unrolling!r}, injection={self.injection!r}, "
            f"readout={self.readout!r} of {self.readout_area}"
        )
        return f"{parts}, noise={self.noise:g}" if self.noise else parts


def _through(operator: nn.Module, wire: Wire, state: Tensor, step: int) -> Tensor:
    """Return what an operator makes of a state, told the step where it asks for it."""
    made: Tensor = operator(state, step=step) if wire.told else operator(state)
    return made


def _total(terms: Iterable[Tensor]) -> Tensor | None:
    """Return the sum; None of nothing. It starts from the first term: one alone stays what it is."""
    terms = list(terms)
    return reduce(add, terms) if terms else None


def _check_options(areas: Sequence[Area], steps: int, unrolling: str, injection: str, noise: float) -> None:
    if not areas:
        raise ArgumentError("got no areas, expected one or more")
    check_sizes(steps=steps)
    if unrolling not in ("biological", "engineering"):
        raise ArgumentError(f"got unrolling={unrolling!r}, expected 'biological' or 'engineering'")
    if injection not in ("every", "first"):
        raise ArgumentError(f"got injection={injection!r}, expected 'every' or 'first'")
    if not noise >= 0:
        raise ArgumentError(f"got noise={noise}, expected a standard deviation of 0 or more")
