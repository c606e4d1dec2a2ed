"""A torch model as a graph of operations, and the questions that are asked of it.

`torch.export` comes first: it sees through every module and keeps the names of modules. Where it gives up,
`torch.fx.symbolic_trace` may still do; the layers of torch.nn are then single nodes.
"""

from __future__ import annotations

import copy
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from cortexres.errors import ArgumentError

# Their result has the shape of an argument, and nothing of its values.
VALUELESS = {
    "zeroslike", "oneslike", "fulllike", "emptylike", "randlike", "randnlike",
    "newzeros", "newones", "newfull", "newempty", "symsize", "size",
}  # fmt: skip


class Graph:
    """The operations of a model on one shape of input, in the order in which they run.

    Parameters
    ----------
    module : GraphModule
        Runs as the model does.
    how : {"torch.export", "torch.fx"}
        Which tool found it.
    """

    def __init__(self, module: fx.GraphModule, how: Literal["torch.export", "torch.fx"]) -> None:
        self.module, self.how = module, how
        self.nodes: tuple[fx.Node, ...] = tuple(module.graph.nodes)
        self.named = {node.name: node for node in self.nodes}
        self.position = {node: k for k, node in enumerate(self.nodes)}
        self._operations = {node: self._operation(node) for node in self.nodes}
        self.dependent = self._reached(node for node in self.nodes if node.op == "placeholder")
        parameters = [node for node in self.nodes if node.op == "get_attr" and self._is_parameter(node)]
        self._weights = self._reached(parameters) - self.dependent

    def operation(self, node: fx.Node) -> str:
        """Return what a node does, in one spelling for functions, methods and modules: ``"conv2d"``, ``"relu"``."""
        return self._operations[node]

    def arguments(self, node: fx.Node) -> list[fx.Node]:
        """Return the nodes that a node reads and that depend on the input."""
        return [other for other in node.all_input_nodes if other in self.dependent]

    def is_parametrised(self, node: fx.Node) -> bool:
        """Return whether parameters take part in an operation."""
        if node.op == "call_module":
            return next(self.module.get_submodule(str(node.target)).parameters(), None) is not None
        return any(other in self._weights for other in node.all_input_nodes)

    def ancestors(self, node: fx.Node) -> set[fx.Node]:
        """Return a node and all that it is computed from, as far as that depends on the input."""
        found, left = {node}, [node]
        while left:
            for other in self.arguments(left.pop()):
                if other not in found:
                    found.add(other)
                    left.append(other)
        return found

    def between(self, start: fx.Node, end: fx.Node) -> set[fx.Node]:
        """Return the nodes after `start` through which `end` is computed from it."""
        reached = {start}
        for node in sorted(self.ancestors(end), key=self.position.__getitem__):
            if any(other in reached for other in node.all_input_nodes):
                reached.add(node)
        return reached - {start}

    @staticmethod
    def shape(node: fx.Node) -> tuple[int, ...] | None:
        """Return the shape of what a node computes; None where it is no single tensor."""
        shape = getattr(_described(node), "shape", None)
        return None if shape is None else tuple(int(size) for size in shape)

    @staticmethod
    def is_floating(node: fx.Node) -> bool:
        """Return whether a node computes one tensor of floating-point numbers."""
        dtype = getattr(_described(node), "dtype", None)
        return isinstance(dtype, torch.dtype) and dtype.is_floating_point

    def module_path(self, node: fx.Node) -> str:
        """Return the name of the module in which a node runs; empty for the model itself."""
        stack = node.meta.get("nn_module_stack") or {}
        path = str(list(stack.values())[-1][0]) if stack else ""
        # A module that is called again is told from itself by "@1"; the model is wrapped for torch.export.
        path = re.sub(r"@\d+", "", path)
        return re.sub(r"^model\.?", "", path) if self.how == "torch.export" else path

    def _operation(self, node: fx.Node) -> str:
        if node.op == "call_module":
            name = type(self.module.get_submodule(str(node.target))).__name__
        elif isinstance(node.target, torch._ops.OpOverload):
            name = node.target._schema.name.split("::")[-1]
        else:
            name = getattr(node.target, "__name__", str(node.target))
        return name.lower().replace("_", "")

    def _is_parameter(self, node: fx.Node) -> bool:
        value: object = self.module
        for name in str(node.target).split("."):
            value = getattr(value, name)
        return isinstance(value, nn.Parameter)

    def _reached(self, start: Iterable[fx.Node]) -> set[fx.Node]:
        """Return the nodes whose values depend on those of `start`."""
        reached = set(start)
        for node in self.nodes:
            known = _holds_tensors(node) and self._operations[node] not in VALUELESS
            if known and any(other in reached for other in node.all_input_nodes):
                reached.add(node)
        return reached


def trace(model: nn.Module, inputs: tuple[Tensor, ...]) -> Graph:
    """Return the graph of a model in evaluation, for inputs of these shapes.

    Raises
    ------
    ArgumentError
        If neither tool can follow the model: it says what each said, and what to do.
    """
    said: list[str] = []
    with evaluating(model), _quiet():
        try:
            return Graph(_exported(model, inputs), "torch.export")
        except Exception as error:  # whatever a model does ends in some error of its own
            said.append(f"torch.export: {_first_line(error)}")
        try:
            return Graph(_traced(model, inputs), "torch.fx")
        except Exception as error:
            said.append(f"torch.fx: {_first_line(error)}")
    raise ArgumentError(
        f"got a {type(model).__name__} whose graph cannot be followed ({'; '.join(said)}); name the residual blocks "
        f"by hand, such as modules={_some_modules(model)}: their input is taken as x and their output as x + F(x)"
    )


class Watched(fx.Interpreter):
    """Runs a graph and shows what each operation reads and gives; what no later operation reads is given up at once.

    Parameters
    ----------
    graph : Graph
        What is run.
    before : callable
        Gets a node and the values known before it runs. An operation in place changes what it reads.
    after : callable
        Gets a node and what it gave.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        before: Callable[[fx.Node, Mapping[fx.Node, Any]], None],
        after: Callable[[fx.Node, Any], None],
    ) -> None:
        super().__init__(graph.module)
        self.extra_traceback = False  # an error stays as it was raised
        self.before, self.after = before, after

    def run_node(self, n: fx.Node) -> Any:
        """Return what a node gives."""
        self.before(n, self.env)
        value = super().run_node(n)
        self.after(n, value)
        return value


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set a model to evaluation for a while; afterwards each of its modules is as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def tensors_in(output: object) -> tuple[Tensor, ...]:
    """Return the tensors of a model's output; caches and other objects are left out."""
    if isinstance(output, Tensor):
        return (output,)
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return tuple(tensor for item in output for tensor in tensors_in(item))
    return ()


class _Tensors(nn.Module):
    """A model that returns nothing but tensors: torch.export refuses the classes of others."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tensors_in(self.model(*inputs))


def _exported(model: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    wrapped = _Tensors(model)
    wrapped.training = False
    with torch.no_grad():
        return torch.export.export(wrapped, inputs, strict=False).module()


def _traced(model: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    # A copy with the same tensors: what a model keeps of its activations would be left with symbols in their place.
    shared = {id(values): values for values in (*model.parameters(), *model.buffers())}
    module = fx.symbolic_trace(copy.deepcopy(model, dict(shared)))
    with torch.no_grad():
        ShapeProp(module).propagate(*inputs)
    return module


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the tools log, print and warn from the user, who is told by an error where both fail."""
    level = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def _described(node: fx.Node) -> object:
    """Return what the tool says of the value of a node, with its shape and type where it is one tensor."""
    return node.meta.get("val", node.meta.get("tensor_meta"))


def _holds_tensors(node: fx.Node) -> bool:
    if "tensor_meta" in node.meta:
        return True
    return any(isinstance(leaf, Tensor) for leaf in torch.utils._pytree.tree_leaves(node.meta.get("val")))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__


def _some_modules(model: nn.Module) -> list[str]:
    """Return names of modules that a user could mean: the outermost in lists or sequences, or else any."""
    names = [name for name, _ in model.named_modules()]
    numbered = [name for name in names if re.fullmatch(r"(?:[^.]*[^.\d][^.]*\.)*\d+", name)]
    return (numbered or [name for name, _ in model.named_children()])[:2]
