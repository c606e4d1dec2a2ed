"""Areas and the connections between them, checked: what a multi-state network is wired from."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from cortexres.errors import ArgumentError

Kind = Literal["feedforward", "lateral", "feedback"]
Unrolling = Literal["biological", "engineering"]
KINDS: tuple[Kind, ...] = ("feedforward", "lateral", "feedback")


@dataclass(frozen=True)
class Area:
    """One state of a multi-state network, such as a cortical area.

    Parameters
    ----------
    name : str
        A Python identifier; names of connections and of weights in checkpoints are made of it.
    channels : int
        Channels of the map, or units where there is no `size`.
    size : int or (int, int), optional
        Positions (y, x) of the map, in units of its own grid; a dense state, (unit,), has none.
    activation : callable, optional
        Elementwise function of the sum of all that arrives. An area with a block onto itself has the block's.

    Raises
    ------
    ArgumentError
        If the name is no identifier, or a size is below 1.
    """

    name: str
    channels: int
    size: int | tuple[int, int] | None = None
    activation: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ArgumentError(f"got area name {self.name!r}, expected letters, digits and underscores, such as 'V1'")
        if min(self.shape) < 1:
            raise ArgumentError(f"got area {self.name} of shape {self.shape}, expected sizes of 1 or more")

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one state: (unit,) or (channel, y, x)."""
        if self.size is None:
            return (self.channels,)
        return (self.channels, *((self.size, self.size) if isinstance(self.size, int) else self.size))


@dataclass(frozen=True)
class Connection:
    """An operator from one area to another, or from an area to itself.

    Parameters
    ----------
    source, target : str
        Names of areas, or of the input as source.
    operator : Module, optional
        What the target gets of the source's state; the state itself where it is left out. A module whose `forward`
        has an argument ``step`` is told the step. A `Block` on a lateral connection from an area to itself is the
        area's own dynamics: it gets what arrives from elsewhere as its drive.
    kind : {"feedforward", "lateral", "feedback"}, optional
        Where it is left out: feedforward to an area that is listed later, lateral to itself, feedback to an earlier.
    delay : int, optional
        Steps that it takes. Where it is left out: 1, but 0 for feedforward in the engineering unrolling.
    """

    source: str
    target: str
    operator: nn.Module | None = None
    kind: Kind | None = None
    delay: int | None = None


@dataclass(frozen=True)
class Wire:
    """A connection without its operator, with everything decided.

    Parameters
    ----------
    source, target : str
        Names of areas, or of the input as source.
    kind : {"feedforward", "lateral", "feedback"}
        As in `Connection`.
    delay : int
        The state that `source` had this many steps before the one `target` is about to have; 0 for the input, whose
        frame of a step enters in that step.
    told : bool
        Whether the operator is told the step.
    """

    source: str
    target: str
    kind: Kind
    delay: int
    told: bool = False

    @property
    def name(self) -> str:
        """Return ``source_to_target``, its name in checkpoints after that of its kind."""
        return f"{self.source}_to_{self.target}"

    @property
    def own(self) -> bool:
        """Return whether it is the area's lateral recurrence onto itself."""
        return self.kind == "lateral" and self.source == self.target

    def __str__(self) -> str:
        return f"from {self.source} to {self.target}"


def delay_steps(delay_ms: float, dt_ms: float) -> int:
    """Return the number of steps of `dt_ms` that a delay of `delay_ms` takes; both in ms.

    Raises
    ------
    ArgumentError
        If `dt_ms` is not positive, the delay is negative, or no multiple of the step.
    """
    if not dt_ms > 0:
        raise ArgumentError(f"got dt_ms={dt_ms}, expected a positive time step in ms")
    if not delay_ms >= 0:
        raise ArgumentError(f"got delay_ms={delay_ms}, expected 0 ms or more")
    steps = round(delay_ms / dt_ms)
    if not math.isclose(steps * dt_ms, delay_ms, rel_tol=1e-9, abs_tol=1e-12):
        below = math.floor(delay_ms / dt_ms)
        raise ArgumentError(
            f"got delay_ms={delay_ms:g} with dt_ms={dt_ms:g}, expected a multiple of the step: the nearest are "
            f"{below * dt_ms:g} and {(below + 1) * dt_ms:g} ms"
        )
    return steps


def wires_of(
    areas: Sequence[Area], inputs: Area, connections: Sequence[Connection], unrolling: Unrolling
) -> tuple[Wire, ...]:
    """Return the connections with kind and delay decided, in their order.

    Raises
    ------
    ArgumentError
        If areas share a name, a connection names an unknown area, ends in the input, has an unknown kind or a delay
        that the unrolling does not allow, two connections share areas and kind, or an area receives nothing.
    """
    names = [area.name for area in areas]
    for name in {inputs.name, *names}:
        if [inputs.name, *names].count(name) > 1:
            raise ArgumentError(f"got two areas called {name}, expected names of their own, also for the input")
    wires = tuple(_wire(connection, names, inputs.name, unrolling) for connection in connections)
    for k, wire in enumerate(wires):
        if any((wire.name, wire.kind) == (other.name, other.kind) for other in wires[:k]):
            raise ArgumentError(f"got two {wire.kind} connections {wire}, expected one: add their operators up in one")
    for name in names:
        if all(wire.target != name for wire in wires):
            raise ArgumentError(f"got no connection to {name}, expected one or more: its state would stay at rest")
    return wires


def _wire(connection: Connection, names: list[str], inputs: str, unrolling: Unrolling) -> Wire:
    source, target = connection.source, connection.target
    where = f"from {source} to {target}"
    for name in (source, target):
        if name not in (inputs, *names):
            known = ", ".join((inputs, *names))
            raise ArgumentError(f"got a connection {where}, expected areas among {known}: {name} is none")
    if target == inputs:
        raise ArgumentError(f"got a connection {where}, expected another target: nothing changes the input")
    kind = connection.kind or _kind_between(-1 if source == inputs else names.index(source), names.index(target))
    if kind not in KINDS:
        raise ArgumentError(f"got kind={kind!r} {where}, expected one of {', '.join(KINDS)}")
    told = connection.operator is not None and "step" in inspect.signature(connection.operator.forward).parameters
    return Wire(source, target, kind, _delay(connection, kind, source == inputs, unrolling), told)


def _kind_between(source: int, target: int) -> Kind:
    return "lateral" if source == target else "feedforward" if source < target else "feedback"


def _delay(connection: Connection, kind: Kind, from_input: bool, unrolling: Unrolling) -> int:
    delay, where = connection.delay, f"from {connection.source} to {connection.target}"
    if from_input:
        if delay is not None:
            raise ArgumentError(
                f"got delay={delay} {where}, expected none: an input enters in its own step; put an area in between"
            )
        return 0
    if delay is None:
        return 0 if unrolling == "engineering" and kind == "feedforward" else 1
    least = 1 if unrolling == "biological" else 0
    if delay < least:
        reason = "a connection takes a step in the biological unrolling" if least else "none looks ahead"
        raise ArgumentError(f"got delay={delay} {where}, expected {least} or more: {reason}")
    return delay
