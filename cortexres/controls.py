"""The networks that the derived one is measured against: each lacks one thing, or has one thing instead."""

from __future__ import annotations

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from cortexres import bridge, nn
from cortexres.errors import ArgumentError

SHUFFLES = 10
HELD_OUT = 300  # images on which a trained network's accuracy is worth printing


def shuffled_networks(
    net: bridge.CircuitNetwork, images: xr.Dataset, *, rng: np.random.Generator, notes: list[str], progress: bool
) -> dict[str, xr.Dataset]:
    """Recorded networks whose weights are shuffled: who excites whom changes, each unit's summed input does not.

    One that diverges is left out, with a note.
    """
    recorded = {}
    for k in tqdm(range(SHUFFLES), desc="shuffled weights", unit="network", disable=not progress):
        try:
            recorded[f"shuffled {k}"] = nn.record(bridge.shuffle_weights(net, rng=rng, keep="in_degree"), images)
        except ArgumentError as error:
            notes.append(f"Weight-shuffled network {k} could not be recorded: {error}")
    return recorded


def input_alone(net: bridge.CircuitNetwork, blocks: xr.Dataset, images: xr.Dataset) -> xr.Dataset:
    """What both sides are given, as a network Dataset: x at every block after onset, no weights and no dynamics.

    Whatever score it reaches, the images and the front end have earned, and no model of the circuit.
    """
    drive = net.inputs(images).detach().cpu().numpy()
    drive = drive[:, np.ptp(drive, axis=0) > 0] if np.ptp(drive) > 0 else drive
    states = np.repeat(drive[:, None, :], blocks.sizes["block"], axis=1)
    states[:, 0] = 0.0
    dims = ("stimulus", "block", "unit")
    kept = {str(n): c for n, c in blocks.coords.items() if "unit" not in c.dims}
    return xr.Dataset(
        {
            "response": (dims, states, {"units": "mV"}),
            "update": (dims, np.diff(states, axis=1, prepend=states[:, :1]), {"units": "mV"}),
        },
        coords={**kept, "unit": np.arange(states.shape[2])},
        attrs={"model": "input x alone"},
    )


def trained_networks(
    net: bridge.CircuitNetwork,
    images: xr.Dataset,
    *,
    other_images: xr.Dataset | None,
    epochs: int,
    seed: int,
    notes: list[str],
    progress: bool,
) -> dict[str, xr.Dataset]:
    """Recorded residual networks of the circuit's size, by name: tied and untied, before and after training.

    They are trained to tell the labels of `images` apart. Networks before training say what training buys.

    Parameters
    ----------
    net : CircuitNetwork
        Gives the size, the number of blocks and the front end.
    images : Dataset
        What they are trained on, and recorded on.
    other_images : Dataset or None
        Images of the same classes on which the accuracy is noted.
    epochs, seed : int
        Of the training.
    notes : list of str
        What a reader must know is added here.
    progress : bool
        Show a progress bar.
    """
    classes = np.unique(images["label"].values) if "label" in images.coords else np.array([])
    if len(classes) < 2:
        notes.append(f"No networks were trained: the images have {len(classes)} classes, and training needs two.")
        return {}
    recorded = {}
    for key, tied in (("tied", True), ("untied", False)):
        network = nn.ResidualNetwork(
            net.front_end.channels,
            len(net.unit_coords["name"]),
            len(classes),
            steps=net.steps,
            tied=tied,
            front_end=net.front_end,
            rng=seed,
        )
        recorded[f"{key}, untrained"] = nn.record(network, images)
        nn.train(network, images, epochs=epochs, rng=seed, progress=progress)
        recorded[f"{key}, trained"] = nn.record(network, images)
        notes.append(_accuracies(key, network, images, other_images))
    return recorded


def _accuracies(key: str, network: nn.ResidualNetwork, images: xr.Dataset, other_images: xr.Dataset | None) -> str:
    note = (
        f"The {key} network was trained on the labels of the very images it is compared on: accuracy there "
        f"{_accuracy(network, images, images):.2f}"
    )
    if other_images is not None:
        other = _accuracy(network, other_images, images)
        note += f", on {other_images.sizes['stimulus']} other images of the same kind {other:.2f}"
    return note + ". One initialisation; a network fitted to so few images is no model of vision."


def _accuracy(network: nn.ResidualNetwork, images: xr.Dataset, trained_on: xr.Dataset) -> float:
    classes = np.unique(trained_on["label"].values)
    chosen = classes[network(network.inputs(images)).detach().cpu().numpy().argmax(axis=1)]
    return float((chosen == images["label"].values).mean())
