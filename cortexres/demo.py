"""The main job: images -> spiking circuit and derived network -> comparison -> results/<name>/report.html."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from cortexres import bridge, circuits, compare, controls, io, nn, results, stimuli, summary
from cortexres.definitions import Circuit
from cortexres.errors import ArgumentError
from cortexres.notes import noted_warnings


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the demo runs on.

    Parameters
    ----------
    name : str
        Results go to ``out / name``.
    out : Path
        Folder of all results.
    images : Dataset, optional
        Stimuli; digits where it is left out.
    circuit : Circuit or str
        A circuit, or its name or file.
    n_stimuli, trials : int
        Number of digits, and of repeats of each image.
    duration_ms, dt_ms : float
        Length of the stimulus, and the time of one block; also the width of a time bin.
    seed : int
        Images are drawn with it, the simulation with seed + 1, the comparison with seed + 2, the control
        networks with seed + 3.
    target : str
        How Brian2 runs, see `circuits.simulate`.
    jobs : int, optional
        Simulations at once.
    epochs, permutations : int
        Of the trained networks, and of the nulls.
    progress : bool
        Whether to print stages and show progress bars.
    """

    name: str = "demo"
    out: Path = Path("results")
    images: xr.Dataset | None = None
    circuit: Circuit | str = "ei_assemblies"
    n_stimuli: int = 40
    trials: int = 20
    duration_ms: float = 200.0
    dt_ms: float = 5.0
    seed: int = 0
    target: str = "auto"
    jobs: int | None = None
    epochs: int = 200
    permutations: int = 500
    progress: bool = True

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name in ("", ".", ".."):
            raise ArgumentError(
                f"got the name {self.name!r}, expected one plain word for a folder; use out for its place"
            )

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return self.out / self.name


def quick(options: Options) -> Options:
    """The same options with fewer images and trials: two minutes on two cores."""
    return replace(options, n_stimuli=16, trials=8)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run made: the folder, the table's rows, and the report's path."""

    folder: Path
    rows: list[dict[str, object]]
    report: Path


def run(options: Options) -> Outcome:
    """The folder, table and report of one run; every file is written as soon as its content exists.

    Raises
    ------
    ArgumentError, DefinitionError, SchemaError, ValidityError, DataFileError
        As the steps that it calls.
    """
    notes = [
        "One draw of the synapses, one set of images: differences of a few hundredths mean little. "
        "benchmarks/bridge.py repeats the main figures over draws."
    ]
    with noted_warnings(notes):
        return _run(options, notes)


def _run(options: Options, notes: list[str]) -> Outcome:
    folder, seed = options.folder, options.seed
    io.check_writable(folder / "report.html")
    circuit = circuits.load(options.circuit) if isinstance(options.circuit, str) else options.circuit
    images = options.images if options.images is not None else stimuli.digits(options.n_stimuli, rng=seed)
    # Built first: a circuit that the mean field does not predict is refused before minutes of simulation.
    with _stage(options, "deriving the network from the circuit"):
        net = bridge.residual_network(circuit, dt_ms=options.dt_ms, duration_ms=options.duration_ms)
        blocks = nn.record(net, images)
        folder.mkdir(parents=True, exist_ok=True)
        io.save(images, folder / "stimuli.nc")
        io.save(blocks, folder / "network.nc")
    with _stage(options, f"simulating {circuit.name}: {images.sizes['stimulus']} images x {options.trials} trials"):
        brain = circuits.simulate(
            circuit,
            images,
            trials=options.trials,
            duration_ms=options.duration_ms,
            bin_ms=options.dt_ms,
            rng=seed + 1,
            target=options.target,
            jobs=options.jobs,
            progress=options.progress,
        )
        io.save(brain, folder / "brain.nc")
    with _stage(options, f"control networks: {controls.SHUFFLES} with shuffled weights, one without recurrence"):
        rng = np.random.default_rng(seed + 3)
        shuffled = controls.shuffled_networks(net, images, rng=rng, notes=notes, progress=options.progress)
        lacking = {"no recurrence (W = 0)": nn.record(bridge.without_recurrence(net), images)}
        lacking["input x alone"] = controls.input_alone(net, blocks, images)
    with _stage(options, "training a tied and an untied residual network on the same images"):
        trained = controls.trained_networks(
            net,
            images,
            other_images=_other_digits(images, options),
            epochs=options.epochs,
            seed=seed + 3,
            notes=notes,
            progress=options.progress,
        )
    with _stage(options, "comparing"):
        networks = {"derived network": blocks} | trained | _best_shuffled(brain, shuffled) | lacking
        models = _score_all(brain, networks, options)
        scores = models["derived network"]
        io.save(scores, folder / "scores.nc")
        for name in trained:
            key = name.replace(", ", "_")
            io.save(trained[name], folder / f"network_{key}.nc")
            io.save(models[name], folder / f"scores_{key}.nc")
        notes.append(_flatness(scores))
    with _stage(options, "drawing the figures and the report"):
        spikes = _example_spikes(circuit, images, brain, options)
        bars = {name: _scalars(found) for name, found in models.items()}
        rows = [summary.row(name, found) for name, found in bars.items()] + summary.reference_rows(scores)
        figures = results.figures(brain, blocks, scores, models=bars, spikes=spikes)
        report = results.write(
            folder,
            title=f"{circuit.name}: is its residual network the circuit?",
            circuit=circuit,
            images=images,
            rows=rows,
            figures=figures,
            notes=notes,
            provenance=str(brain.attrs["cortexres_provenance"]),
        )
    return Outcome(folder=folder, rows=rows, report=report)


def _score_all(brain: xr.Dataset, networks: dict[str, xr.Dataset], options: Options) -> dict[str, xr.Dataset]:
    """The scores of each network, all with the same seed: the same permuted stimuli, folds and halves."""
    return {
        name: summary.score(brain, network, rng=options.seed + 2, permutations=options.permutations)
        for name, network in networks.items()
    }


def _best_shuffled(brain: xr.Dataset, shuffled: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """The shuffled network with the highest state R2, under the name of its row."""
    if not shuffled:
        return {}
    found = compare.model_nulls(brain, shuffled)
    best = str(found["name"].values[int(found["r2"].values.argmax())])
    return {f"best of {len(shuffled)} shuffled": shuffled[best]}


def _other_digits(images: xr.Dataset, options: Options) -> xr.Dataset | None:
    """Digits that are not among the stimuli, where the stimuli are digits of the default set."""
    if options.images is not None:
        return None
    return stimuli.digits(controls.HELD_OUT, rng=options.seed, exclude=images["stimulus"].values)


def _flatness(scores: xr.Dataset) -> str:
    """A note on whether the map tells moments apart, or only images."""
    similarity = scores["linear_cka"].sel(block=slice(1, None))
    near = (similarity >= similarity.max("block") - 0.02).mean("block")
    late = near.where(scores["time"] > 50.0, drop=True)
    share = float(late.mean()) if late.size else float(near.mean())
    return (
        f"The time x block map: after 50 ms, {100 * share:.0f} % of the blocks lie within .02 of the best block of "
        "their moment (linear CKA). The larger that share, the less the map says about when; it then shows that both "
        "sides tell the same images apart, no more."
    )


def _scalars(scores: xr.Dataset) -> xr.Dataset:
    return scores[[name for name, values in scores.data_vars.items() if values.ndim == 0]]


def _example_spikes(circuit: Circuit, images: xr.Dataset, brain: xr.Dataset, options: Options) -> xr.Dataset:
    """The spikes of one trial of the stimulus with the strongest response, for the raster."""
    strongest = int(brain["response"].mean(("trial", "time", "unit")).values.argmax())
    return circuits.spikes(
        circuit,
        images.isel(stimulus=[strongest]),
        trials=1,
        duration_ms=options.duration_ms,
        bin_ms=options.dt_ms,
        rng=options.seed + 1,
        target=options.target,
        jobs=1,
        progress=False,
    )


@contextmanager
def _stage(options: Options, text: str) -> Iterator[None]:
    """Print what is being done, and how long it took."""
    if options.progress:
        print(f"{text} ...", flush=True)
    start = time.perf_counter()
    yield
    if options.progress:
        print(f"  {time.perf_counter() - start:.1f} s", flush=True)
