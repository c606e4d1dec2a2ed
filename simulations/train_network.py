"""Train a residual network by name on a folder of images, or on digits in seconds. A script to copy and change.

::

    python simulations/train_network.py                                   # digits
    python simulations/train_network.py resnet20_tied images/cifar10      # train/CLASS/*.jpg and test/CLASS/*.jpg
    torchrun --nproc-per-node 4 simulations/train_network.py resnet20_tied images/cifar10

A run that was stopped goes on where it was: start it again. The recipe for images is that of He et al. (2015).
"""

import sys
from functools import partial
from pathlib import Path

import torch

from cortexres import io, nn, stimuli
from cortexres.nn.training import recipes
from cortexres.nn.training.distributed import is_first

NAME = sys.argv[1] if len(sys.argv) > 1 else "digits_tied"
FOLDER = sys.argv[2] if len(sys.argv) > 2 else None
RESULTS = Path("results") / "train_network" / NAME
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    """Train, and leave state.safetensors, weights.safetensors and history.nc in RESULTS."""
    if FOLDER is None:
        images = stimuli.digits(1297, rng=0)
        held_out = stimuli.digits(500, rng=0, exclude=images.stimulus)
        changes = {}
        recipe = {"epochs": 40, "schedule": recipes.cosine, "optimizer": partial(recipes.sgd, weight_decay=5e-4)}
    else:
        images, held_out = stimuli.train_and_test(FOLDER, colour=True, progress=is_first())
        changes = {"classes": len(set(images.label.values))}
        recipe = {
            "epochs": 164,
            "schedule": recipes.step_decay,
            "optimizer": recipes.sgd,
            "augment": recipes.crop_and_flip,
            "max_gradient_norm": None,
            "autocast": "bfloat16" if DEVICE == "cuda" else None,
        }
    network = nn.create(NAME, rng=0, **changes)
    if DEVICE == "cuda":  # the layout that GPUs want for images, and one kernel for what can be one
        network.to(memory_format=torch.channels_last)
        network.compile()

    history = nn.train(
        network,
        images,
        learning_rate=0.1,
        batch_size=128,
        held_out=held_out,
        device=DEVICE,
        checkpoint=RESULTS / "state.safetensors",
        rng=1,
        **recipe,
    )
    if is_first():
        nn.save_weights(network, RESULTS / "weights.safetensors", changes=changes, facts=history.attrs)
        io.save(history, RESULTS / "history.nc")
        print(history.isel(epoch=-1))


if __name__ == "__main__":
    main()
