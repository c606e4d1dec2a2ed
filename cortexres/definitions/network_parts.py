"""The parts that a network can be made of, by kind, each with its options and their usual values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Option = float | int | str | bool


@dataclass(frozen=True)
class Part:
    """One part of a network: its kind, and all options that this kind takes.

    Parameters
    ----------
    kind : str
        A key of the table in `PARTS` of the field that the part belongs to.
    options : dict
        Values by name.
    """

    kind: str
    options: Mapping[str, Option] = field(default_factory=dict)


Kinds = Mapping[str, Mapping[str, Option]]

#: How the parts are put together: stages of blocks, or areas with states of their own.
ARCHITECTURES: Kinds = {
    "staged": {},
    "cornet_rt": {"steps": 5, "retina": "small", "unrolling": "biological"},
    "cornet_s": {"expansion": 4, "retina": "small"},
}

#: From the inputs to the first state.
STEMS: Kinds = {
    "convolution": {"width": 16, "kernel_size": 3, "stride": 1},
    "linear": {"width": 64},  # for flat inputs
}

#: The residual function F. `base_width` of a grouped one is that of the first stage and grows as the widths do.
TRANSFORMS: Kinds = {
    "dense": {"layers": 2, "final_activation": False},
    "basic": {"kernel_size": 3},
    "bottleneck": {"expansion": 4},
    "grouped": {"cardinality": 8, "base_width": 64},
    "multi_residual": {"branches": 2},
    "squeeze_excitation": {"reduction": 16},
    "dilated": {},
    "inception": {"share": 8},  # a branch has this part of the width
    "excitatory_inhibitory": {"inhibitory": 0.2},  # share of the units or channels
}

#: Those that take flat states, and those that keep the shape of a state.
FLAT_TRANSFORMS = SAME_SHAPE_TRANSFORMS = ("dense", "excitatory_inhibitory")

#: What a block carries of its state, and how much of F it adds, where the shape stays.
SHORTCUTS: Kinds = {
    "identity": {},
    "none": {},  # a plain network
    "projection": {},  # option C
    "linear": {},
    "highway": {"bias": -2.0},
    "scaled": {"scale": 0.2},
    "soft_assignment": {"gamma": 0.5},
    "learned_scale": {},
}

_BATCH = {"statistics": "per_step", "affine": "per_step", "shared_in_eval": "raise", "beyond": "raise"}
_SAMPLE = {"affine": "per_step", "beyond": "raise"}
NORMS: Kinds = {
    "none": {},
    "batch": _BATCH,
    "layer": _SAMPLE,
    "group": {**_SAMPLE, "groups": 8},
    "rms": _SAMPLE,
}

#: The fields of a network that are parts.
PARTS: Mapping[str, Kinds] = {
    "architecture": ARCHITECTURES,
    "stem": STEMS,
    "transform": TRANSFORMS,
    "shortcut": SHORTCUTS,
    "norm": NORMS,
}

#: What stands where the shape changes: options A and B of He et al., or F alone.
TRANSITIONS = ("zero_padding", "projection", "none")
ORDERS = ("post", "pre")
ACTIVATIONS = ("relu", "tanh", "gelu", "silu", "softplus", "identity")


def part(name: str, kind: str, **options: Option) -> Part:
    """Return the part of a field by its kind, with the usual values of the options that are left out."""
    return Part(kind, {**PARTS[name][kind], **options})
