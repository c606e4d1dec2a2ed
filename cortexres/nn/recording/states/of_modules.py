"""States around modules that the user names, where the graph of a model cannot be followed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.recording.graph import tensors_in
from cortexres.nn.recording.states.state import Keep, Place, Stage, facts_of, in_evaluation


class ModuleStates:
    """States around modules that the user names: the input of each is x, its output x + F(x).

    Parameters
    ----------
    model : Module
        Run in evaluation.
    example : Tensor
        A batch.
    modules : sequence of str
        Paths of the modules; each must run once, and keep the shape.
    """

    def __init__(self, model: nn.Module, example: Tensor, modules: Sequence[str]) -> None:
        known = dict(model.named_modules())
        missing = [name for name in modules if name not in known]
        if missing or not modules:
            raise ArgumentError(
                f"got modules={list(modules)}, expected paths of modules of the {type(model).__name__}, as "
                f"named_modules() says them; it has no {', '.join(missing) or 'module without a name'}"
            )
        self._model, self._modules = model, {name: known[name] for name in modules}
        self._names: list[list[str]] = []
        shape: torch.Size | None = None
        for name, x, _ in self._around(example):
            if x.shape != shape:
                self._names.append([])
                shape = x.shape
            self._names[-1].append(name)
        self.stages = [Stage(tuple(names), ("named",) * len(names)) for names in self._names]
        self.facts = facts_of(model) | {"modules": list(modules)}

    def run(self, inputs: Tensor, keep: Keep) -> None:
        """Run the model on a batch and hand over the states around its modules."""
        around = {name: (x, y) for name, x, y in self._around(inputs)}
        for k, names in enumerate(self._names):
            for b, name in enumerate(names, 1):
                place = Place(k, b, len(names) + 1, has_sum=False)
                x, y = around.pop(name)
                if b == 1:
                    place.start(keep, x)
                for key, values in (("carried", x), ("update", y - x), ("response", y)):
                    place.keep(keep, key, values)

    def _around(self, inputs: Tensor) -> list[tuple[str, Tensor, Tensor]]:
        """Return (name, input, output) of each module, in the order in which they run."""
        entered: dict[str, Tensor] = {}
        left: dict[str, Tensor] = {}

        def enter(name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            if name in entered:
                raise ArgumentError(
                    f"got the module {name}, which runs more than once, expected one run: which step is meant cannot "
                    "be said; record the additions of the graph, or unroll it"
                )
            entered[name] = tensors_in((*args, *kwargs.values()))[0].clone()  # F may work in place

        def leave(name: str, output: object) -> None:
            left[name] = tensors_in(output)[0].clone()

        hooks = []
        for name, module in self._modules.items():
            hooks.append(module.register_forward_pre_hook(
                lambda _, args, kwargs, name=name: enter(name, args, kwargs), with_kwargs=True
            ))  # fmt: skip
            hooks.append(module.register_forward_hook(lambda _, args, output, name=name: leave(name, output)))
        try:
            with torch.no_grad(), in_evaluation(self._model):
                self._model(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        for name in self._modules:
            if name not in left:
                raise ArgumentError(f"got the module {name}, which does not run, expected one that does; leave it out")
            if left[name].shape != entered[name].shape:
                raise ArgumentError(
                    f"got the module {name}, which makes {tuple(left[name].shape)} of {tuple(entered[name].shape)}, "
                    "expected one that keeps the shape: its output is x + F(x)"
                )
        return [(name, x, left[name]) for name, x in entered.items()]
