"""What residual theory says of trained networks, measured on digits: a table like those of the papers.

::

    python simulations/residual_theory.py             # 18 blocks, three seeds: a minute or two
    python simulations/residual_theory.py --deep      # and 54 blocks

A script to copy and change: other networks of `nn.list_networks()`, other images, other diagnostics.
"""

import sys
from functools import partial

import numpy as np

from cortexres import diagnostics, nn, stimuli
from cortexres.nn.training import recipes

DEEP = "--deep" in sys.argv
NAMES = ["digits_untied", "digits_tied", "digits_plain", *(["digits_untied54", "digits_tied54"] if DEEP else [])]
SEEDS = range(3)
IMAGES = stimuli.digits(1297, rng=0)
OTHERS = stimuli.digits(500, rng=1, exclude=IMAGES["stimulus"])  # looked at after the last epoch


def trained(name: str, seed: int) -> nn.StagedNetwork:
    """Return a network that has learned the digits, in evaluation mode."""
    network = nn.create(name, rng=seed)
    recipe = {"optimizer": partial(recipes.sgd, weight_decay=0.0), "schedule": recipes.cosine, "learning_rate": 0.02}
    nn.train(network, IMAGES, epochs=40, batch_size=64, max_gradient_norm=None, rng=seed, progress=False, **recipe)
    return network.eval()


def figures(network: nn.StagedNetwork) -> dict[str, float]:
    """Return the figures of one network; errors in percent."""
    plain = network.name == "digits_plain"
    lesion = diagnostics.lesion(network, OTHERS, leaves="state" if plain else "carried")
    found = {
        "error": 100 * float(lesion["intact_error"]),
        "error without a block, median": 100 * float(lesion["error"].median()),
        "error without a block, worst": 100 * float(lesion["error"].max()),
    }
    if plain:  # without shortcuts no path passes by a block, and nothing is refined
        return found
    paths = diagnostics.path_spectrum(network, OTHERS, rng=0)
    estimate = diagnostics.estimation_error(network, OTHERS)["relative_bias"].to_numpy()
    cosine = diagnostics.refinement_cosine(network, OTHERS)["cosine"].to_numpy()
    return found | {
        "blocks on a path, mean over the gradient": float(paths["mean_length"]),
        "blocks on a path, from (95 %)": float(paths["lower"]),
        "blocks on a path, to (95 %)": float(paths["upper"]),
        "log10 of the gradient per block": float(paths["slope"]),
        "bias of the estimate after the first block": float(estimate[1]),
        "bias of the estimate before the last block": float(estimate[-2]),
        "blocks along the negative gradient, %": 100 * float((cosine < 0).mean()),
    }


def main() -> None:
    """Print one row per figure: mean over seeds, and the range."""
    table = {name: [figures(trained(name, seed)) for seed in SEEDS] for name in NAMES}
    print("| |", " | ".join(NAMES), "|")
    print("| --- " * (len(NAMES) + 1) + "|")
    for figure in table[NAMES[0]][0]:
        cells = []
        for name in NAMES:
            values = [row[figure] for row in table[name] if figure in row]
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "")
        print(f"| {figure} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
