"""`cortexres train`: a network by name and labelled images -> weights and history."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from cortexres.errors import ArgumentError

if TYPE_CHECKING:
    import xarray as xr

TRAIN_DIGITS, TEST_DIGITS = 1297, 500


def train(arguments: argparse.Namespace) -> None:
    """A network by name, trained -> weights.safetensors and weights.history.nc; prints how well it does at the end."""
    from cortexres import io, nn
    from cortexres.definitions import load_network
    from cortexres.nn.device import usable_device
    from cortexres.nn.training import recipes
    from cortexres.nn.training.distributed import is_first
    from cortexres.nn.training.minibatches import class_order
    from cortexres.provenance import provenance

    history_file = arguments.out.with_suffix(".history.nc")
    for path in (arguments.out, history_file):
        io.check_writable(path)
    if arguments.checkpoint is not None and arguments.checkpoint.resolve() == arguments.out.resolve():
        raise ArgumentError(f"got {arguments.out} as --checkpoint and --out, expected two files: give another --out")
    usable_device(arguments.device)  # before the images are read
    definition = load_network(arguments.model)
    images, held_out = _labelled(arguments, colour=not definition.flat and definition.channels > 1)
    changes: dict[str, Any] = {
        "channels": images["image"][0].size if definition.flat else images.sizes.get("channel", 1),
        "classes": len(class_order(images)),
    }
    network = nn.create(arguments.model, rng=arguments.seed, **changes)
    history = nn.train(
        network,
        images,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        optimizer=recipes.sgd,
        schedule=getattr(recipes, arguments.schedule),
        augment=recipes.crop_and_flip if arguments.augment else None,
        held_out=held_out,
        autocast=None if arguments.precision == "float32" else arguments.precision,
        device=arguments.device,
        checkpoint=arguments.checkpoint,
        rng=arguments.seed + 1,
    )
    if not is_first():
        return
    nn.save_weights(network, arguments.out, changes=changes, facts=history.attrs)
    record = provenance(network=arguments.model, changes=changes, images=images.attrs["title"], seed=arguments.seed)
    io.save(history.assign_attrs(cortexres_provenance=record), history_file)
    for name, values in history.data_vars.items():
        print(f"{name:18} {float(values[-1]):.4f}")
    print(f"{arguments.out}\n{history_file}")


def _labelled(arguments: argparse.Namespace, *, colour: bool) -> tuple[xr.Dataset, xr.Dataset | None]:
    """The images to train on and, where there are some, to test on."""
    from cortexres import stimuli

    if arguments.images == "digits":
        images = stimuli.digits(arguments.stimuli or TRAIN_DIGITS, rng=arguments.seed)
        return images, stimuli.digits(TEST_DIGITS, rng=arguments.seed, exclude=images["stimulus"].values)
    size = (arguments.size, arguments.size) if arguments.size else None
    return stimuli.train_and_test(
        arguments.images, size=size, limit=arguments.stimuli, colour=colour, progress=sys.stderr.isatty()
    )
