"""A residual network by its parts: what a file of `models/networks/` defines, and what `cortexres.nn` builds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from cortexres.definitions.names import did_you_mean
from cortexres.definitions.network_parts import (
    ACTIVATIONS,
    FLAT_TRANSFORMS,
    ORDERS,
    PARTS,
    SAME_SHAPE_TRANSFORMS,
    TRANSITIONS,
    Option,
    Part,
    part,
)
from cortexres.errors import DefinitionError

_LARGEST = 1_000_000  # of any size; a file from a stranger shall not fill the memory


@dataclass(frozen=True)
class Published:
    """What was published of a network; None where nothing was.

    Parameters
    ----------
    parameters_M : float
        Number of parameters in millions, with the digits that were printed.
    error_percent : float
        Test error.
    data : str
        What it was tested on.
    source : str
        Where the numbers come from.
    """

    parameters_M: float | None = None
    error_percent: float | None = None
    data: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A residual network: stem, stages of blocks, readout.

    Parameters
    ----------
    name, title, source : str
        Name of the network, what it is, and where it was published (DOI or arXiv).
    family : str
        Name of the file.
    architecture : Part
        How the parts are put together.
    channels : int
        Channels of an image, or units of a flat input.
    size : int
        Side of the images that it was made for, in pixels; others work too, but in `cornet_rt`. 0 for flat inputs.
    classes : int
        Number of classes.
    stem, transform, shortcut, norm : Part
        See `cortexres.definitions.network_parts`.
    transition : {"zero_padding", "projection", "none"}
        What is carried where the shape changes: options A and B of He et al., or nothing.
    order : {"post", "pre"}
        Activation after the sum (2015) or in front of every convolution (2016).
    activation : str
        Name of an elementwise function.
    widths, strides, blocks : tuple of int
        Channels, stride of the first block, and number of blocks of each stage. Where the shape changes, the first
        block makes the change.
    tied : bool
        Whether the blocks of a stage, but for one that changes the shape, share their weights.
    memory : int
        Units of an LSTM that reads every block, stepped along depth; 0 for none.
    parameters : int
        Number of parameters; 0 where it was not counted.
    published : Published
        What the parts must reproduce.

    Raises
    ------
    DefinitionError
        If the parts do not fit.
    """

    name: str
    title: str
    source: str
    family: str = ""
    architecture: Part = field(default_factory=lambda: part("architecture", "staged"))
    channels: int = 3
    size: int = 32
    classes: int = 10
    stem: Part = field(default_factory=lambda: part("stem", "convolution"))
    transform: Part = field(default_factory=lambda: part("transform", "basic"))
    shortcut: Part = field(default_factory=lambda: part("shortcut", "identity"))
    norm: Part = field(default_factory=lambda: part("norm", "batch"))
    transition: str = "projection"
    order: str = "post"
    activation: str = "relu"
    widths: tuple[int, ...] = (16, 32, 64)
    strides: tuple[int, ...] = (1, 2, 2)
    blocks: tuple[int, ...] = (3, 3, 3)
    tied: bool = False
    memory: int = 0
    parameters: int = 0
    published: Published = field(default_factory=Published)

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise DefinitionError(f"network {self.name!r} cannot be used: " + "; ".join(faults))

    @property
    def flat(self) -> bool:
        """Return whether it takes vectors, and not images."""
        return self.stem.kind == "linear"


def _faults(network: Network) -> Iterator[str]:
    """Yield what is wrong with a network."""
    stages = len(network.widths)
    for name in ("widths", "strides", "blocks"):
        values = getattr(network, name)
        if not values or len(values) != stages:
            yield f"{name} has {len(values)} values, expected one for each of {stages} stages"
        yield from (fault for k, value in enumerate(values) for fault in _outside(f"{name}[{k}]", value, 1))
    for name, lowest in (("channels", 1), ("classes", 2), ("memory", 0), ("size", 0)):
        yield from _outside(name, getattr(network, name), lowest)
    for name, known in (("transition", TRANSITIONS), ("order", ORDERS), ("activation", ACTIVATIONS)):
        if getattr(network, name) not in known:
            yield f"{name} is {getattr(network, name)!r}{did_you_mean(getattr(network, name), known)}"
    for name in PARTS:
        for option, value in getattr(network, name).options.items():
            yield from _bad_option(f"{name}.{option}", value)
    if not network.flat and network.size < 1:
        yield "size is 0, expected the side of the images in pixels"
    if network.architecture.kind == "staged":
        yield from _staged_faults(network)
    else:
        yield from _areas_faults(network)


def _staged_faults(network: Network) -> Iterator[str]:
    """Yield what is wrong with stages of blocks."""
    kind, stem = network.transform.kind, network.stem.kind
    if kind not in FLAT_TRANSFORMS if network.flat else kind == "dense":
        yield f"transform {kind!r} does not fit the stem {stem!r}"
    if network.flat and network.memory:
        yield "a flat network has no memory: its states have no positions to take the mean over"
    if network.order == "pre" and network.transform.options.get("final_activation"):
        yield "transform.final_activation is True, expected False: in pre order, layers begin with their activation"
    sizes = {*network.widths, network.stem.options.get("width")}
    if kind in SAME_SHAPE_TRANSFORMS and (len(sizes) > 1 or set(network.strides) != {1}):
        yield f"transform {kind!r} keeps the shape, expected strides of 1 and widths that are all that of the stem"


def _areas_faults(network: Network) -> Iterator[str]:
    """Yield what is given of stages of blocks, or left out, where a network of areas would pass over it."""
    kind, options = network.architecture.kind, network.architecture.options
    usual = Network(name="", title="", source="")
    for name in ("stem", "transform", "shortcut", "transition", "order", "activation", "memory"):
        if getattr(network, name) != getattr(usual, name):
            yield f"{name} is given, expected none: {kind!r} has its own"
    if not network.tied:
        yield f"tied is False, expected True: the areas of {kind!r} share their weights at all times"
    passages = network.blocks[:1] if kind == "cornet_s" else network.blocks
    if set(passages) - {1}:
        yield f"blocks has {max(passages)} for an area of {kind!r} that has one"
    strides = (4 if options["retina"] == "published" else 1, 2, 2, 2)
    if network.strides != strides:
        yield f"strides is {network.strides}, expected {strides}, those of {kind!r}"


def _bad_option(name: str, value: Option) -> Iterator[str]:
    """Yield a fault where an option is no size or no number; its own range is checked where it is used."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{name} is {value}, expected a finite number"
    if isinstance(value, int) and not isinstance(value, bool):
        yield from _outside(name, value, 1)


def _outside(name: str, value: int, lowest: int) -> Iterator[str]:
    """Yield a fault where a size is too small or absurdly large."""
    if not lowest <= value <= _LARGEST:
        yield f"{name} is {value}, expected {lowest} to {_LARGEST}"
