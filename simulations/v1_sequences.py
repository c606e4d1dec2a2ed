"""Mouse V1 under sequences of gratings, beside a spiking circuit and networks that are shown the same movie.

::

    python simulations/v1_sequences.py PATH            # about two minutes on two cores
    python simulations/v1_sequences.py PATH --quick    # one trial of the circuit per stimulus

PATH is price2022_tensor.npz, or the folder that holds it, made of the recordings of Price, Jensen, Khoudary & Gavornik
(2022, doi:10.1101/2021.12.31.474652; github.com/jeffgavornik/Price_et_al): z-scored spikes of 140 units in bins of
25 ms, from 4 days. Each trial shows four full-field gratings for 150 ms each: A (75 deg) or E (10), B (any from 61 to
180), C (35), D (160), then grey. The gratings are known, so the movie can be made again.

What is compared: the circuit of the main demonstration, the residual network that its mean field is, the same without
recurrence, and recurrent networks that learned to name orientations or did not, each with the recording and, as a check
that a match is found where there is one, with the circuit. A script to copy and change.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from cortexres import bridge, circuits, compare, front_ends, nn, stimuli

FIRST, C, D = {"A": 75.0, "E": 10.0}, 35.0, 160.0
B_GROUPS = 3  # orientations of B that count as one stimulus each: thirds of all trials
COMPARED_MS = 400.0  # A or E, B, and 100 ms for its response: what follows is the same for all stimuli
ELEMENT_MS, BIN_MS, DURATION_MS, DT_MS = 150.0, 25.0, 750.0, 5.0
CONTRAST, CYCLES, PIXELS = 0.75, 2.5, 32  # 2.5 cycles: 50 deg of the field at 0.05 cycles per degree
PERMUTATIONS, REFITTED = 500, 200  # of the stimuli; of those for which the map is fitted anew as well


def recorded(path: Path) -> xr.Dataset:
    """Return the recording as a brain Dataset: stimuli are first elements x orientations of B, units of all days.

    Units of different days saw different trials, so trial k of a stimulus holds, of each day, its k-th: noise is not
    shared across days. All have as many trials as the rarest stimulus of a day.
    """
    file = path / "price2022_tensor.npz" if path.is_dir() else path
    with np.load(file) as data:
        z, valid, day = data["z"].astype(float), data["valid"], data["day"]
        first, b = data["E_first"], data["B_orient_deg"]
    group = np.digitize(b, np.quantile(b, np.arange(1, B_GROUPS) / B_GROUPS))
    shown = [(e, g) for e in (0, 1) for g in range(B_GROUPS)]
    chosen = [[np.flatnonzero((day == d) & (first == e) & (group == g)) for e, g in shown] for d in np.unique(day)]
    trials = min(len(rows) for of_day in chosen for rows in of_day)
    response = np.empty((len(shown), trials, z.shape[2], len(z)))
    for d, of_day in zip(np.unique(day), chosen, strict=True):
        units = np.flatnonzero(valid[:, day == d].all(axis=1))
        for s, rows in enumerate(of_day):
            response[s, :, :, units] = z[np.ix_(units, rows[:trials])]
    time = (np.arange(z.shape[2]) + 0.5) * BIN_MS
    attrs = {"units": "1", "signal": "z-score", "long_name": "z-scored spike count"}
    means = [float(b[(first == e) & (group == g)].mean()) for e, g in shown]
    return xr.Dataset(
        {"response": (("stimulus", "trial", "time", "unit"), response, attrs)},
        {
            "stimulus": np.arange(len(shown)),
            "label": ("stimulus", [f"{'AE'[e]}, B {m:.0f}" for (e, _), m in zip(shown, means, strict=True)]),
            "b_deg": ("stimulus", means),
            "trial": np.arange(trials),
            "time": ("time", time, {"units": "ms", "bin_ms": BIN_MS}),
            "unit": np.arange(len(z)),
            "population": ("unit", np.full(len(z), "V1")),
        },
        {"source": "Price et al. 2022", "title": "mouse V1, sequences of gratings"},
    )


def movie(brain: xr.Dataset) -> xr.Dataset:
    """Return the movie of each stimulus, (stimulus, y, x, frame): four gratings and grey; B at its mean orientation."""
    y, x = (np.mgrid[:PIXELS, :PIXELS] + 0.5) / PIXELS - 0.5
    phases = (4.337, 3.538, 1.281, 2.357)  # of the experiment, by position in the sequence
    images = np.full((brain.sizes["stimulus"], PIXELS, PIXELS, 5), 0.5)
    for s, (label, b) in enumerate(zip(brain["label"].values, brain["b_deg"].values, strict=True)):
        for frame, degrees in enumerate((FIRST[label[0]], b, C, D)):
            across = -y * np.cos(np.deg2rad(degrees)) - x * np.sin(np.deg2rad(degrees))
            images[s, :, :, frame] += 0.5 * CONTRAST * np.cos(2 * np.pi * CYCLES * across + phases[frame])
    return xr.Dataset(
        {"image": (("stimulus", "y", "x", "frame"), images, {"units": "1", "frame_ms": ELEMENT_MS})},
        {"stimulus": brain["stimulus"].values, "label": ("stimulus", brain["label"].values)},
    )


def drive_of(shown: xr.Dataset, front_end: object) -> np.ndarray:
    """Return the drive of the channels of the front end at every block, (stimulus, block, channel), in mV."""
    frames = front_ends.movie_drive(shown, front_end).values
    at = np.minimum(np.arange(0.0, DURATION_MS, DT_MS) // ELEMENT_MS, frames.shape[1] - 1).astype(int)
    return frames[:, at]


def as_network(states: np.ndarray, shown: xr.Dataset, *, t_ms: np.ndarray, model: str, units: str) -> xr.Dataset:
    """Return a network Dataset of states (stimulus, block, unit)."""
    dims, blocks = ("stimulus", "block", "unit"), np.arange(states.shape[1])
    update = np.diff(states, axis=1, prepend=states[:, :1])
    return xr.Dataset(
        {"response": (dims, states, {"units": units}), "update": (dims, update, {"units": units})},
        {
            "stimulus": shown["stimulus"].values,
            "label": ("stimulus", shown["label"].values),
            "block": blocks,
            "stage": ("block", np.zeros_like(blocks)),
            "t_ms": ("block", t_ms, {"units": "ms"}),
            "unit": np.arange(states.shape[2]),
        },
        {"model": model},
    )


def every_bin(states: torch.Tensor) -> np.ndarray:
    """Return the states at the ends of the bins, from the one at onset on."""
    return states[:, :: round(BIN_MS / DT_MS)].detach().numpy()


def derived(network: bridge.CircuitNetwork, drive: np.ndarray) -> np.ndarray:
    """Return the rates of the derived network under the movie: block by block, with the drive of its frame."""
    inputs = torch.zeros(*drive.shape[:2], len(network.unit_coords["name"]), dtype=torch.float64)
    inputs[:, :, network.field.driven] = torch.from_numpy(drive)[:, :, None, :]
    rates, state = [network(inputs[:, 0], steps=0)[0]], None
    for block in range(inputs.shape[1]):
        rate, state = network(inputs[:, block], state, steps=1)
        rates.append(rate)
    return every_bin(torch.stack(rates, dim=1))


def learned(front_end: object, drive: np.ndarray, *, epochs: int) -> np.ndarray:
    """Return states under the movie of a tied recurrent network that names orientations; untrained with 0 epochs."""
    element = round(ELEMENT_MS / DT_MS)
    net = nn.ResidualNetwork(front_end.channels, 32, 12, steps=element, tied=True, front_end=front_end, rng=4)
    if epochs:
        many = [stimuli.patterns(12, size=PIXELS, contrast=CONTRAST, rng=seed) for seed in range(8)]
        images = xr.concat(many, "stimulus", join="override", combine_attrs="override", data_vars="minimal")
        nn.train(net, images.assign_coords(stimulus=np.arange(96)), epochs=epochs, rng=5, progress=False)
    with torch.no_grad():
        return every_bin(net.recurrent.trajectory(net.encoder(torch.from_numpy(drive))).response)


def row(brain: xr.Dataset, network: xr.Dataset, *, own_time: bool) -> dict[str, float]:
    """Return how alike states are, and updates and velocity, on a map of blocks to time, beside null and ceiling.

    The map is t = k dt where the network's time is the brain's; a recording has latencies that no model here knows, so
    there the best monotone map is taken.
    """
    method = compare.Fixed(dt_ms=BIN_MS) if own_time else compare.MonotonePath()

    def mapped(one: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
        return compare.align(one, other, method=method, null=None, bootstraps=0, splits=0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says which ceilings are not above zero
        states = compare.align(brain, network, method=method, permutations=PERMUTATIONS, bootstraps=0, rng=0)
        # The map is fitted anew to every permutation: choosing it is part of what is tested.
        updates = compare.updates_against_velocity(
            brain, network, mapping=mapped, metrics=[compare.linear_cka], permutations=REFITTED, rng=0
        )
    return {
        "states": float(states["score"]),
        "null 95 %": float(states["score_null_95"]),
        "p": float(states["score_p"]),
        "ceiling": float(states["score_ceiling"]),
        "updates": float(updates["linear_cka_mean"]),
        "null 95 % ": float(updates["linear_cka_mean_null"]),
        "p ": float(updates["linear_cka_mean_p"]),
        "ceiling ": float(updates["linear_cka_mean_ceiling"]),
    }


def verdict(name: str, table: dict[str, dict[str, float]]) -> str:
    """Return what the table shows of one brain, and what it does not."""
    level = 0.05 / (2 * len(table))  # Bonferroni: every model has a test of its states and one of its updates
    alike = [model for model, values in table.items() if values["p"] <= level]
    moving = [model for model, values in table.items() if values["p "] <= level]
    reliable = max(values["ceiling"] for values in table.values())
    lines = [
        f"{name}: at p <= {level:.3f} ({2 * len(table)} tests), against permuted stimuli, something of how it tells"
        " these apart is shared",
        f"  by the states of: {', '.join(alike) or 'none'};",
        f"  by the updates, with its velocity, of: {', '.join(moving) or 'none'}.",
    ]
    if not len(alike) == len(table):
        lines.append(
            f"  Halves of the trials agree to {reliable:.2f} on the map at best, and the null holds the choice of the"
            " map: a model that is not found in so few trials is not refuted."
        )
    if "W = 0" in alike:
        lines.append("  W = 0 is among them: input seen through any network does it, recurrence is not shown.")
    return "\n".join(lines)


def main(path: Path, *, quick: bool = False, target: str = "auto") -> dict[str, dict[str, dict[str, float]]]:
    """Print a table per brain, and return them."""
    recording = recorded(path)
    shown = movie(recording)
    circuit = circuits.load("ei_assemblies")
    simulated = circuits.simulate(
        circuit,
        shown,
        trials=1 if quick else 4,
        duration_ms=DURATION_MS,
        bin_ms=BIN_MS,
        rng=1,
        target=target,
        progress=False,
    )
    network = bridge.residual_network(circuit, dt_ms=DT_MS, duration_ms=DURATION_MS)
    front_end = circuit.drive.front_end
    drive = drive_of(shown, front_end)
    ends = np.arange(0.0, DURATION_MS + 1, BIN_MS)
    with torch.no_grad():
        states = {
            "derived network": derived(network, drive),
            "W = 0": derived(bridge.without_recurrence(network), drive),
        }
    states |= {
        "recurrent, untrained": learned(front_end, drive, epochs=0),
        "recurrent, trained": learned(front_end, drive, epochs=3 if quick else 60),
    }
    rate = ("derived network", "W = 0")
    models = {
        name: as_network(values, shown, t_ms=ends, model=name, units="Hz" if name in rate else "1")
        for name, values in states.items()
    }
    rates = simulated["response"].mean("trial").transpose("stimulus", "time", "unit").values
    spiking = as_network(rates, shown, t_ms=recording["time"].values, model="spiking circuit", units="Hz")
    print(
        f"{recording.sizes['stimulus']} stimuli, {recording.sizes['trial']} trials, {recording.sizes['unit']} units of"
        f" mouse V1; debiased linear CKA from 0 to {COMPARED_MS:g} ms, {PERMUTATIONS} permutations of the stimuli\n"
    )
    early = {"time": slice(0, COMPARED_MS)}
    tables = {}
    for name, brain, others in (
        ("mouse V1", recording, {"spiking circuit": spiking, **models}),
        ("spiking circuit", simulated, models),
    ):
        tables[name] = {
            model: row(
                brain.sel(early),
                other.isel(block=other["t_ms"].values <= COMPARED_MS),
                own_time=name == "spiking circuit",
            )
            for model, other in others.items()
        }
        columns = list(next(iter(tables[name].values())))
        print(f"{name:22}" + "".join(f"{column:>11}" for column in columns))
        for model, values in tables[name].items():
            print(f"  {model:20}" + "".join(f"{value:11.3f}" for value in values.values()))
        print(verdict(name, tables[name]) + "\n")
    for name in rate:
        score = compare.state_scores(simulated, models[name])
        print(f"rates of the spiking circuit by {name:18} R2 {float(score['r2']):6.3f}")
    return tables


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), quick="--quick" in sys.argv)
