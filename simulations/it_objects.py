"""Macaque IT while seven objects are shown at three positions: what the recording says of itself, and of a network.

::

    python simulations/it_objects.py PATH            # about two minutes on one core
    python simulations/it_objects.py PATH --quick    # fewer permutations, an untrained network

PATH is zd_IT_tensor.npz, or the folder that holds it: rates of 132 units, recorded one after the other, in windows of
150 ms every 50 ms, 20 trials of each of 21 stimuli (Zhang, Meyers, Bichot, Serre, Poggio & Desimone 2011, PNAS,
doi:10.1073/pnas.1100999108; made from the data of the R package NeuroDecodeR).

The images are not to be had. So *no* model can be scored on what it predicts for these stimuli: an encoding map, or the
similarity of relations between particular objects, would need the pixels. A network is shown seven other shapes at
three positions instead, and only what does not depend on the images can be compared: how much is known of object and
position, when and at what depth, and whether it holds across positions, times and blocks. The two nulls at the end
tell the one question from the other. A script to copy and change.
"""

import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from cortexres import compare, nn, stimuli
from cortexres.nn.training import recipes

OBJECTS, POSITIONS = 7, 3
INTERLEAVED = np.arange(20) % 5  # trials are left out in turn: trial 0, 5, 10 and 15 first
OTHER_POSITIONS = np.tile(np.arange(POSITIONS), OBJECTS)  # all of one position are left out together
PERMUTATIONS = 99
SPLITS = 100


def recorded(path: Path) -> xr.Dataset:
    """Return the recording as a brain Dataset; a missing trial (1 of 8000) is the mean of its stimulus's others."""
    file = path / "zd_IT_tensor.npz" if path.is_dir() else path
    with np.load(file) as data:
        rates = data["rates"].astype(float)  # object, position, repeat, unit, time
        start, end = data["bin_start_ms"], data["bin_end_ms"]
        objects, positions = data["objects"].astype(str), data["positions"].astype(str)
    rates = np.where(np.isnan(rates), np.nanmean(rates, axis=2, keepdims=True), rates)
    response = rates.reshape(-1, *rates.shape[2:]).swapaxes(2, 3)
    named = [(a, b) for a in objects for b in positions]
    return xr.Dataset(
        {"response": (("stimulus", "trial", "time", "unit"), response, {"units": "Hz", "long_name": "firing rate"})},
        {
            "stimulus": np.arange(len(named)),
            "label": ("stimulus", [f"{a}, {b}" for a, b in named]),
            "object": ("stimulus", [a for a, _ in named]),
            "position": ("stimulus", [b for _, b in named]),
            "trial": np.arange(response.shape[1]),
            "time": ("time", (start + end) / 2, {"units": "ms", "bin_ms": float(end[0] - start[0])}),
            "unit": np.arange(response.shape[3]),
            "population": ("unit", np.full(response.shape[3], "IT")),
        },
        {"source": "Zhang et al. 2011", "title": "macaque IT, seven objects at three positions"},
    )


def centred(activity: np.ndarray) -> np.ndarray:
    """Return activity (..., stimulus, unit) as deviations from the mean over stimuli.

    What a unit does for all stimuli alike makes the patterns of any two of them correlate.
    """
    return activity - activity.mean(axis=-2, keepdims=True)


def relation_of_deviations(activity: np.ndarray) -> np.ndarray:
    """Return what `rsa_correlation` makes of the deviations."""
    return compare.rsa_correlation.relation(centred(activity))


rsa_deviations = compare.Similarity("rsa_deviations", relation_of_deviations)


def decoding(brain: xr.Dataset, *, permutations: int) -> dict[str, xr.DataArray]:
    """Return lines over time: which object is it, by templates and by discriminants, and is it the same elsewhere?"""
    templates = compare.generalise(
        brain,
        "object",
        classifier=compare.max_correlation,
        folds=INTERLEAVED,
        permutations=permutations,
        rng=0,
    )
    discriminants = compare.generalise(brain, "object", folds=INTERLEAVED)
    elsewhere = compare.generalise(brain, "object", leave_out="stimulus", folds=OTHER_POSITIONS)
    stimulus = compare.generalise(brain, "stimulus", classifier=compare.max_correlation, folds=INTERLEAVED)
    late = discriminants["accuracy"].sel(time=175.0, drop=True).rename(time_test="time")
    return {
        "object, templates": same_time(templates["accuracy"]),
        "  p, corrected": same_time(templates["accuracy_p"]),
        "object, discriminants": same_time(discriminants["accuracy"]),
        "  learned at 100-250 ms": late,
        "  learned elsewhere": same_time(elsewhere["accuracy"]),
        "21 stimuli, templates": same_time(stimulus["accuracy"]),
    }


def reliability(brain: xr.Dataset, *, splits: int) -> dict[str, xr.DataArray]:
    """Return lines over time: do halves of the trials agree on what is like what, in states and in their change?"""
    ceiling = partial(
        compare.trial_ceiling, brain, metric=rsa_deviations, splits=splits, permutations=19
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        states, short, long = ceiling(rng=0), ceiling(of="velocity", rng=0), ceiling(of="velocity", lag=3, rng=0)
    return {
        "states": states["ceiling"],
        "  by Spearman-Brown": states["reliability"],
        "change in 50 ms": short["ceiling"],
        "change in 150 ms": long["ceiling"],
        "participation ratio": compare.participation_ratio(brain, rng=0)["participation_ratio"],
    }


def drift(brain: xr.Dataset) -> float:
    """Return the correlation of the dissimilarities at 100-250 and at 350-500 ms."""
    response = brain["response"] - brain["response"].mean(("stimulus", "trial"))
    attrs = brain["response"].attrs | {"relative_to": "mean over stimuli and trials"}
    deviations = brain.assign(response=response.transpose(*brain["response"].dims).assign_attrs(attrs))
    movie = compare.dissimilarities(deviations, method="correlation")["dissimilarity"]
    pairs = np.triu_indices(movie.sizes["stimulus"], 1)
    early, late = (movie.sel(time=t).values[pairs] for t in (175.0, 425.0))
    return float(np.corrcoef(early, late)[0, 1])


def same_time(matrix: xr.DataArray) -> xr.DataArray:
    """Return the diagonal of a generalisation matrix."""
    axis = matrix.dims[0]
    return xr.DataArray(np.diag(matrix.values), {axis: matrix[axis].values}, (axis,))


def shapes(digits: xr.Dataset, rows: np.ndarray) -> xr.Dataset:
    """Return images of digits at half their size, 4 x 4, with their upper edge at `rows` of 8 x 8 pixels."""
    small = digits["image"].values.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4))
    images = np.zeros((len(small), 8, 8))
    for image, shape, row in zip(images, small, rows, strict=True):
        image[row : row + 4, 2:6] = shape
    return xr.Dataset(
        {"image": (("stimulus", "y", "x"), images, {"units": "1"})},
        {"stimulus": np.arange(len(images)), "label": ("stimulus", digits["label"].values)},
    )


def shown_shapes(brain: xr.Dataset, *, train: bool) -> xr.Dataset:
    """Return the states of a tied residual network for seven digits at three positions, as if they were the objects."""
    network = nn.create("digits_tied", rng=0)
    seen = stimuli.digits(1200, rng=0)
    if train:
        anywhere = shapes(seen, np.random.default_rng(1).integers(0, 5, seen.sizes["stimulus"]))
        recipe = {"optimizer": partial(recipes.sgd, weight_decay=0.0), "schedule": recipes.cosine}
        nn.train(network, anywhere, epochs=30, learning_rate=0.02, batch_size=64, rng=0, progress=False, **recipe)
    others = stimuli.digits(100, rng=2, exclude=seen["stimulus"].values)
    first = [int(np.flatnonzero(others["label"].values == digit)[0]) for digit in range(OBJECTS)]
    standing_in = shapes(others.isel(stimulus=np.repeat(first, POSITIONS)), np.tile([0, 2, 4], OBJECTS))
    states = nn.record(network.eval(), standing_in)
    names = {name: ("stimulus", brain[name].values) for name in ("label", "object", "position")}
    return states.assign_coords(names)


def objects_exchanged(rng: np.random.Generator, draws: int, n: int) -> np.ndarray:
    """Return orders of the stimuli that give whole objects other names and leave positions where they are."""
    order = rng.permuted(np.broadcast_to(np.arange(OBJECTS), (draws, OBJECTS)), axis=1)
    return (order[:, :, None] * POSITIONS + np.arange(POSITIONS)).reshape(draws, n)


exchange_objects = compare.StimulusNull("exchange_objects", objects_exchanged)


def depth(network: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return a line over blocks: which shape is it, learned at the other positions?"""
    scores = compare.generalise(
        network, "object", classifier=compare.max_correlation, leave_out="stimulus", folds=OTHER_POSITIONS
    )
    return {"object, learned elsewhere": same_time(scores["accuracy"])}


def stand_ins(brain: xr.Dataset, network: xr.Dataset, *, permutations: int) -> dict[str, float]:
    """Return p-values of the same similarity against two nulls: of stimuli, and of objects that stand for others."""
    found = {}
    since = brain.sel(time=slice(0, None))
    for null in (compare.permute_stimuli, exchange_objects):
        scores = compare.compare(
            since, network, metrics=[compare.linear_cka], nulls=[null], permutations=permutations, splits=2, rng=0
        )
        found[null.name] = float(scores["linear_cka_p"].min())
    return found


def table(lines: dict[str, xr.DataArray], axis: np.ndarray, what: str) -> str:
    """Return lines of numbers under an axis; blank where a line has none."""
    dim = next(iter(lines.values())).dims[0]
    rows = [f"{what:28}" + "".join(f"{value:7.0f}" for value in axis)]
    for name, line in lines.items():
        values = line.reindex({dim: axis})
        rows.append(f"{name:28}" + "".join("       " if np.isnan(v) else f"{v:7.3f}" for v in values.values))
    return "\n".join(rows)


def main(path: Path, *, quick: bool = False) -> dict[str, dict[str, xr.DataArray] | dict[str, float] | float]:
    """Print the tables, and return what is in them."""
    brain = recorded(path)
    draws = 19 if quick else PERMUTATIONS
    of_objects = decoding(brain, permutations=draws)
    of_itself = reliability(brain, splits=20 if quick else SPLITS)
    network = shown_shapes(brain, train=not quick)
    in_depth = depth(network)
    against = stand_ins(brain, network, permutations=draws if quick else 500)
    print(f"Accuracy in {brain.sizes['unit']} units, by the centre of windows of 150 ms (chance 0.143, 0.048 of 21)\n")
    late = brain["time"].values[brain["time"].values >= -75]
    print(table(of_objects, late, "ms"))
    states = {name: line for name, line in of_itself.items() if not name.startswith("change")}
    change = {name: line for name, line in of_itself.items() if name.startswith("change")}
    print("\nHow far halves of the trials agree on what is like what (a model is not to be asked for more)\n")
    print(table(states, late, "ms"))
    print(table(change, np.arange(-50.0, 401.0, 50.0), "ms, centre of both windows"))
    changed = drift(brain)
    print(f"\ndissimilarities at 100-250 and at 350-500 ms correlate by {changed:.2f}: late responses are others")
    print(f"\n{'Untrained' if quick else 'Trained'} network that saw other shapes, by block (chance 0.143)\n")
    print(table(in_depth, network["block"].values, "block"))
    print("\nIts similarity to IT, the largest of all blocks and times, has")
    for name, p in against.items():
        print(f"  p = {p:.3f} against {name}")
    print(
        "The first null asks whether both tell objects or positions apart alike; only the second asks whether a shape"
        "\nstands for its object, and of shapes that were dealt to objects at will no p-value can be evidence of that."
    )
    return {
        "decoding": of_objects,
        "reliability": of_itself,
        "drift": changed,
        "depth": in_depth,
        "against": against,
    }


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), quick="--quick" in sys.argv)
