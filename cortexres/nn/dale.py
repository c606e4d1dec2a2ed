"""Dale's law: what a unit sends is excitatory to all its targets, or inhibitory to all of them.

The law is a parametrization of the weight, not a correction of it: the weight is computed from unconstrained raw values
whenever it is read, in training, evaluation and export alike, so that no optimiser, checkpoint or number format can
break it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cortexres.errors import ArgumentError
from cortexres.nn.sizes import check_sizes

M = TypeVar("M", bound=nn.Module)


class DaleLaw(nn.Module):
    """Parametrization ``weight = sign * |raw|`` with the sign of each connection; 0 where there is none.

    The magnitude is an absolute value because every weight then has raw values that give it exactly, zeros included
    (softplus has none for 0), and because no weight is lost to training (a rectified raw value below 0 has no
    gradient). Its slope at 0 is taken to be 1, not 0, so that a weight assigned as 0 can grow.

    Parameters
    ----------
    signs : Tensor of 1, -1 and 0
        Sign of each connection, of a shape that broadcasts to `shape`.
    shape : sequence of int
        Shape of the weight.

    References
    ----------
    Dale (1935), Pharmacology and nerve-endings, Proc. R. Soc. Med. 28:319-332
    Song, Yang & Wang (2016), Training excitatory-inhibitory recurrent neural networks for cognitive tasks,
    doi:10.1371/journal.pcbi.1004792
    """

    signs: Tensor

    def __init__(self, signs: Tensor, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        # kept beside the buffer, which `to_empty` and the meta device leave without values
        self._known = signs.to("cpu", torch.int8).numpy().copy()
        self.register_buffer("signs", signs.to(torch.int8))

    @property
    def known(self) -> Tensor:
        """Return the signs on the CPU, whatever has become of the module."""
        return torch.from_numpy(self._known)

    def reset(self) -> None:
        """Set the signs again, after `to_empty` has left them undefined."""
        self.signs.copy_(self.known)

    def forward(self, raw: Tensor) -> Tensor:
        """Return the weight that keeps the law."""
        return raw * torch.where(raw < 0, -self.signs, self.signs)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the raw values, 0 or above, that give `weight`; called where a weight is assigned.

        Raises
        ------
        ArgumentError
            If `weight` breaks the law, or has another shape.
        """
        if tuple(weight.shape) != self.shape:
            raise ArgumentError(f"got a weight of shape {tuple(weight.shape)}, expected {self.shape}")
        if not weight.is_meta:
            wrong = ((weight * self.signs < 0) | ((self.signs == 0) & (weight != 0))).nonzero().tolist()
            if wrong:
                some = ", ".join(str(tuple(entry)) for entry in wrong[:4]) + (", ..." if len(wrong) > 4 else "")
                raise ArgumentError(
                    f"got a weight that breaks Dale's law at {len(wrong)} of its entries, {some}, expected 0 or more "
                    "from excitatory units, 0 or less from inhibitory ones and 0 where nothing connects"
                )
        return weight.abs()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Refuse a checkpoint with other signs: the law is the network's, and no file changes it."""
        key = f"{prefix}signs"
        loaded = state_dict.get(key)
        if loaded is not None and not torch.equal(loaded.cpu(), self.known):
            error_msgs.append(
                f"got {key} unlike those of the network, expected the same excitatory and inhibitory units, connected "
                "alike"
            )
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        share = math.prod(self.shape) // self._known.size
        counts = [int((self._known == sign).sum()) * share for sign in (1, -1)]
        return f"{counts[0]} excitatory and {counts[1]} inhibitory connections"


def signs_of(n_excitatory: int, n_inhibitory: int) -> Tensor:
    """Return the sign of each unit, excitatory ones first: 1 or -1, int8 of shape (unit,).

    Raises
    ------
    ArgumentError
        If a number is below 1.
    """
    check_sizes(n_excitatory=n_excitatory, n_inhibitory=n_inhibitory)
    return torch.cat([torch.ones(n_excitatory, dtype=torch.int8), -torch.ones(n_inhibitory, dtype=torch.int8)])


def connections(
    n_excitatory: int, n_inhibitory: int, *, assemblies: int = 1, self_connections: bool = True
) -> Tensor:
    """Return which units connect, True or False, (postsynaptic unit, presynaptic unit): a mask for `constrain`.

    Parameters
    ----------
    n_excitatory, n_inhibitory : int
        Number of units; excitatory ones come first.
    assemblies : int
        Excitatory units form this many assemblies of equal size, and excite each other within one only. Connections
        from and to inhibitory units are not restricted.
    self_connections : bool
        Whether units connect to themselves.

    Raises
    ------
    ArgumentError
        If the assemblies do not divide the excitatory units.
    """
    if assemblies < 1 or n_excitatory % assemblies:
        raise ArgumentError(f"got assemblies={assemblies}, expected a number that divides {n_excitatory} units")
    mask = torch.ones(n_excitatory + n_inhibitory, n_excitatory + n_inhibitory, dtype=torch.bool)
    member = torch.arange(n_excitatory) // (n_excitatory // assemblies)
    mask[:n_excitatory, :n_excitatory] = member[:, None] == member
    return mask if self_connections else mask.fill_diagonal_(False)


def constrain(layer: M, signs: Tensor, *, mask: Tensor | None = None, name: str = "weight", dim: int = 1) -> M:
    """Return `layer` itself with a weight that keeps Dale's law from now on; its magnitudes are kept.

    The raw values are the parameter ``parametrizations.<name>.original`` of the layer. A weight that keeps the law
    can be assigned (``layer.weight = w``), another is refused. Read it often within ``parametrize.cached()``, as
    `Recurrent` does, and it is computed once.

    Parameters
    ----------
    layer : Module
        Such as a linear layer or a convolution; layers of torch work, and can still be copied and pickled.
    signs : Tensor of shape (presynaptic unit,)
        1 for excitatory units, -1 for inhibitory ones; see `signs_of`.
    mask : Tensor of bool, optional
        Which units connect, of the shape of the weight or of its first dims, (postsynaptic, presynaptic).
    name : str
        Which parameter of the layer.
    dim : int
        Dim of the weight along which the presynaptic units lie: 1, its columns, in linear layers and convolutions.

    Raises
    ------
    ArgumentError
        If the weight is constrained already, or `signs` or `mask` do not fit it.
    """
    if parametrize.is_parametrized(layer, name):
        raise ArgumentError(f"got a layer whose {name} is parametrized already, expected a plain one")
    weight = layer.get_parameter(name)
    if signs.shape != (weight.shape[dim],) or not bool((signs.abs() == 1).all()):
        raise ArgumentError(
            f"got signs of shape {tuple(signs.shape)}, expected 1 or -1 for each of the {weight.shape[dim]} "
            f"presynaptic units of {name}"
        )
    entries = signs.to("cpu").view([-1 if axis == dim else 1 for axis in range(weight.ndim)])
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != weight.shape[: mask.ndim]:
            raise ArgumentError(
                f"got a mask of {mask.dtype} and shape {tuple(mask.shape)}, expected bool and {tuple(weight.shape[:2])}"
            )
        entries = entries * mask.to("cpu").view(*mask.shape, *(1,) * (weight.ndim - mask.ndim))
    law = DaleLaw(entries, weight.shape).to(weight.device)
    with torch.no_grad():
        weight.copy_(law(weight))
    parametrize.register_parametrization(layer, name, law, unsafe=True)
    _make_copyable(layer)
    return layer


def law_of(layer: nn.Module, name: str = "weight") -> DaleLaw:
    """Return the law that a constrained layer keeps."""
    listed = cast("nn.ModuleList", layer.get_submodule(f"parametrizations.{name}"))
    return cast("DaleLaw", listed[0])


def _make_copyable(layer: nn.Module) -> None:
    """Let a parametrized layer be pickled, and let copies of it be separate.

    Torch gives the layer a class of its own, which pickle cannot find by name. A copy made by torch shares that class,
    and with it the entry of the cache of `parametrize.cached`: within it, all copies would have the first one's weight.
    """
    kind = type(layer)
    kind.__reduce__ = _reduced  # type: ignore[method-assign, assignment]
    if "__deepcopy__" in vars(kind):
        del kind.__deepcopy__  # type: ignore[attr-defined]  # that of torch; what pickle does copies as well


def _reduced(layer: nn.Module) -> tuple[Any, ...]:
    return _restored, (type(layer).__bases__[0], layer.__dict__)


def _restored(kind: type[nn.Module], state: dict[str, Any]) -> nn.Module:
    """Return the layer of class `kind` with parametrizations as they were."""
    layer = kind.__new__(kind)
    own = {key: value.copy() if isinstance(value, dict) else value for key, value in state.items()}
    layer.__setstate__(own)  # type: ignore[no-untyped-call]
    laws = cast("nn.ModuleDict", layer._modules.pop("parametrizations"))
    for name, listed in laws.items():
        zeros = torch.zeros_like(cast("Tensor", listed.original))  # they keep every law
        layer.register_parameter(name, nn.Parameter(zeros))
        parametrize.register_parametrization(layer, name, cast("nn.ModuleList", listed)[0], unsafe=True)
    layer.parametrizations = laws
    _make_copyable(layer)
    return layer
