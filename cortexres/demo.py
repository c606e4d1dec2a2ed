"""The main job: images -> spiking circuit and derived network -> comparison -> results/<name>/report.html."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from cortexres import bridge, circuits, compare, io, nn, results, stimuli, summary
from cortexres.definitions import Circuit
from cortexres.errors import ArgumentError

SHUFFLES = 10


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
    notes: list[str] = []
    with _noted_warnings(notes):
        return _run(options, notes)


def _run(options: Options, notes: list[str]) -> Outcome:
    folder, seed = options.folder, options.seed
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
    with _stage(options, f"control networks: {SHUFFLES} with shuffled weights, one without recurrence"):
        controls = _controls(net, images, options, notes)
    with _stage(options, "training a tied and an untied residual network on the same images"):
        trained = _trained(net, images, options, notes)
    with _stage(options, "comparing"):
        scores = summary.score(brain, blocks, rng=seed + 2, permutations=options.permutations)
        scores = scores.assign(_control_scores(brain, controls))
        io.save(scores, folder / "scores.nc")
        models = {"derived network": scores}
        for key, network in trained.items():
            models[network.attrs["model"]] = summary.score(
                brain, network, rng=seed + 2, permutations=options.permutations
            )
            io.save(network, folder / f"network_{key}.nc")
            io.save(models[network.attrs["model"]], folder / f"scores_{key}.nc")
    with _stage(options, "drawing the figures and the report"):
        spikes = _example_spikes(circuit, images, brain, options)
        bars = _bars(models, controls, brain, seed=seed + 2)
        rows = [summary.row(name, scored) for name, scored in bars.items()] + summary.reference_rows(scores)
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


def _controls(
    net: bridge.CircuitNetwork, images: xr.Dataset, options: Options, notes: list[str]
) -> dict[str, xr.Dataset]:
    """Recorded networks that lack one thing each; one that diverges is left out, with a note."""
    rng = np.random.default_rng(options.seed + 3)
    recorded: dict[str, xr.Dataset] = {"W = 0": nn.record(bridge.without_recurrence(net), images)}
    for k in tqdm(range(SHUFFLES), desc="shuffled weights", unit="network", disable=not options.progress):
        try:
            recorded[f"shuffled {k}"] = nn.record(bridge.shuffle_weights(net, rng=rng), images)
        except ArgumentError as error:
            notes.append(f"Weight-shuffled network {k} could not be recorded: {error}")
    return recorded


def _trained(
    net: bridge.CircuitNetwork, images: xr.Dataset, options: Options, notes: list[str]
) -> dict[str, xr.Dataset]:
    """Recorded residual networks of the circuit's size, trained to tell the labels apart."""
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
            rng=options.seed + 3,
        )
        nn.train(network, images, epochs=options.epochs, rng=options.seed + 3, progress=options.progress)
        recorded[key] = nn.record(network, images)
    return recorded


def _control_scores(brain: xr.Dataset, controls: dict[str, xr.Dataset]) -> dict[str, float]:
    """State R2 of the controls, to stand in scores.nc beside that of the network."""
    found = compare.model_nulls(brain, controls)
    r2 = dict(zip(found["name"].values.tolist(), found["r2"].values.tolist(), strict=True))
    without = r2.pop("W = 0")
    return {"without_recurrence_r2": without, "shuffled_best_r2": max(r2.values(), default=np.nan)}


def _bars(
    models: dict[str, xr.Dataset], controls: dict[str, xr.Dataset], brain: xr.Dataset, *, seed: int
) -> dict[str, xr.Dataset]:
    """Scalar scores of the models, the best shuffled network and W = 0, by name, for the table and the bars."""
    bars = {name: _scalars(scores) for name, scores in models.items()}
    states = {name: compare.state_scores(brain, network) for name, network in controls.items()}
    shuffled = [name for name in controls if name != "W = 0"]
    shown = {"no recurrence (W = 0)": "W = 0"}
    if shuffled:
        best = max(shuffled, key=lambda name: float(states[name]["r2"]))
        shown = {f"best of {len(shuffled)} with shuffled weights": best} | shown
    for label, name in shown.items():
        bars[label] = _scalars(
            xr.merge([states[name], *_mapped(brain, controls[name], seed)], combine_attrs="override")
        )
    return bars


def _mapped(brain: xr.Dataset, network: xr.Dataset, seed: int) -> list[xr.Dataset]:
    """The linear map's scores, where there are stimuli enough for its folds."""
    enough = brain.sizes["stimulus"] >= summary.LEAST_FOR_MAP
    return [compare.linear_map_r2(brain, network, rng=seed)] if enough else []


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


@contextmanager
def _noted_warnings(notes: list[str]) -> Iterator[None]:
    """Collect warnings for the report, and show them as well."""
    show = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], *args: object, **kwargs: object) -> None:
        if issubclass(category, UserWarning) and str(message) not in notes:
            notes.append(str(message))
        show(message, category, *args, **kwargs)  # type: ignore[arg-type]

    with warnings.catch_warnings():
        warnings.showwarning = note
        yield
