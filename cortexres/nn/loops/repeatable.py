"""What of a run would come out otherwise if its blocks were called once more, or on some of the images at a time."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import batchnorm, dropout

from cortexres.nn.loops.overseen import hooked, why_transformed
from cortexres.nn.loops.run import Run
from cortexres.nn.norms import StepNorm

_KNOWN = ("torch", "cortexres")  # packages whose modules are known to treat each image by itself, but for those below


def why_not_again(run: Run) -> str | None:
    """Return what of a run a second pass over its steps would change, or would show to others; None if nothing."""
    why = why_transformed()
    if why is not None:
        return why
    if hooked(run):
        return "hooks on modules, which would be called again"
    if any(_moves_statistics(module) for module in _modules(run)):
        return "normalisation in training whose statistics a second pass would move again"
    return None


def why_not_apart(run: Run) -> str | None:
    """Return what of a run depends on which images are computed together; None where each is by itself.

    Modules that are neither torch's nor this package's are not known to treat images by themselves. Functions, such
    as activations, are taken to be elementwise.
    """
    if run.noise:
        return "noise"
    if hooked(run):
        return "hooks on modules, which would be called for each chunk"
    for module in _modules(run):
        kind = type(module)
        if _moves_statistics(module) or _mixes_images(module):
            return "normalisation over the images of a batch"
        if module.training and isinstance(module, dropout._DropoutNd | nn.RReLU):
            return "dropout in training"
        if kind.__module__.partition(".")[0] not in _KNOWN and not nn.utils.parametrize.is_parametrized(module):
            return f"a {kind.__name__}, which may mix images"
    return None


def _modules(run: Run) -> list[nn.Module]:
    return [module for block in run.blocks() for module in block.modules()]


def _moves_statistics(module: nn.Module) -> bool:
    if isinstance(module, StepNorm):
        return module.training and module.recipe.kind == "batch"
    return isinstance(module, batchnorm._NormBase) and module.training and module.track_running_stats


def _mixes_images(module: nn.Module) -> bool:
    """Return whether a layer of torch normalises by what it finds in the batch, whatever it keeps."""
    return isinstance(module, batchnorm._BatchNorm) and (module.training or module.running_mean is None)
