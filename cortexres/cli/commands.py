"""What each command does; the rooms are imported inside, so that a command waits only for what it uses."""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from cortexres.cli.parser import STIMULI
from cortexres.notes import noted_warnings

if TYPE_CHECKING:
    import xarray as xr

    from cortexres.definitions import Circuit


def run(arguments: argparse.Namespace) -> None:
    """Carry out the command of a parsed command line."""
    commands = {"demo": demo, "models": models, "simulate": simulate, "record": record, "compare": compare}
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        commands[arguments.command](arguments)


def demo(arguments: argparse.Namespace) -> None:
    """The whole story; prints the table and where the report is."""
    from cortexres import demo as demonstration
    from cortexres import summary

    options = demonstration.Options(
        name=arguments.name,
        out=arguments.out,
        circuit=arguments.circuit,
        seed=arguments.seed,
        target=arguments.target,
        jobs=arguments.jobs,
    )
    if arguments.quick:
        options = demonstration.quick(options)
    n_stimuli, trials = arguments.stimuli or options.n_stimuli, arguments.trials or options.trials
    options = replace(options, n_stimuli=n_stimuli, trials=trials)
    # Digits are left to the demo, which then knows that it can test on other ones.
    if arguments.images != "digits":
        images = _images(arguments.images, arguments.stimuli, arguments.seed, default=n_stimuli)
        options = replace(options, images=images)
    outcome = demonstration.run(options)
    print(f"\n{summary.text_table(outcome.rows)}\n\n{outcome.report}")


def models(_: argparse.Namespace) -> None:
    """A line per definition: name, title, source."""
    from cortexres.definitions import list_models

    for model in (*list_models("circuits"), *list_models("networks")):
        print(f"{model.name}\n  {model.title}\n  {model.source}\n  {model.path}")


def simulate(arguments: argparse.Namespace) -> None:
    """Circuit -> brain.nc."""
    from cortexres import circuits, io

    io.check_writable(arguments.out)
    circuit = circuits.load(arguments.model)
    images = _images(arguments.images, arguments.stimuli, arguments.seed)
    brain = circuits.simulate(
        circuit,
        images,
        trials=arguments.trials,
        duration_ms=arguments.duration,
        rng=arguments.seed + 1,
        target=arguments.target,
        jobs=arguments.jobs,
    )
    io.save(brain, arguments.out)
    print(arguments.out)


def record(arguments: argparse.Namespace) -> None:
    """The network derived from a circuit -> network.nc."""
    from cortexres import bridge, io, nn
    from cortexres.definitions import load_circuit

    io.check_writable(arguments.out)
    circuit = load_circuit(arguments.model)
    images = _images(arguments.images, arguments.stimuli, arguments.seed)
    network = bridge.residual_network(circuit, dt_ms=arguments.dt, duration_ms=arguments.duration)
    io.save(nn.record(network, images), arguments.out)
    print(arguments.out)


def compare(arguments: argparse.Namespace) -> None:
    """brain.nc and network.nc -> scores.nc, figures, report.html and the table."""
    from cortexres import io

    for name in ("scores.nc", "report.html"):
        io.check_writable(arguments.out / name)
    brain = io.load(arguments.brain, kind="brain")
    network = io.load(arguments.network, kind="network")
    notes: list[str] = []
    with noted_warnings(notes):
        _compare(arguments, brain, network, notes)


def _compare(arguments: argparse.Namespace, brain: xr.Dataset, network: xr.Dataset, notes: list[str]) -> None:
    from cortexres import io, results, summary

    scores = summary.score(brain, network, rng=arguments.seed + 2, permutations=arguments.permutations)
    arguments.out.mkdir(parents=True, exist_ok=True)
    io.save(scores, arguments.out / "scores.nc")
    name = str(network.attrs.get("model") or arguments.network.stem)
    rows = [summary.row(name, scores), *summary.reference_rows(scores)]
    figures = results.figures(brain, network, scores)
    path = results.write(
        arguments.out,
        title=f"{arguments.brain.name} and {arguments.network.name}",
        circuit=_circuit_of(_made_by(brain)),
        images=None,
        rows=rows,
        figures=figures,
        notes=notes,
        provenance=_provenance(brain=brain, network=network, scores=scores),
    )
    print(f"{summary.text_table(rows)}\n\n{path}")


def _images(source: str, count: int | None, seed: int, *, default: int = STIMULI) -> xr.Dataset:
    """The stimuli that ``--images`` names: digits, patterns, a folder of images, or a stimulus file."""
    from cortexres import io, stimuli

    if source == "digits":
        return stimuli.digits(count or default, rng=seed)
    if source == "patterns":
        return stimuli.patterns(count or default, rng=seed)
    if source.endswith(".nc"):
        images: xr.Dataset = io.load(source, kind="stimuli")
        return images.isel(stimulus=slice(count))
    return stimuli.folder(source, limit=count or default)


def _circuit_of(provenance: str) -> Circuit | None:
    """The circuit that a simulation's provenance holds; None for recordings and for what cannot be read."""
    from cortexres.definitions import from_json
    from cortexres.errors import DefinitionError
    from cortexres.provenance import read

    record = read(provenance)
    if record is None:
        return None
    try:
        return from_json(json.dumps(record["circuit"]))
    except (ArithmeticError, ValueError, KeyError, TypeError, DefinitionError):
        return None


def _made_by(dataset: xr.Dataset) -> str:
    return str(dataset.attrs.get("cortexres_provenance", "unknown"))


def _provenance(**datasets: xr.Dataset) -> str:
    """One JSON text with the provenance of each Dataset; what is no JSON stays text in it."""
    from cortexres.provenance import read, to_json

    texts = {name: _made_by(dataset) for name, dataset in datasets.items()}
    return to_json({name: read(text) or text for name, text in texts.items()})


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Warnings of ours are one line for a reader; those of other packages are for developers."""
    import sys

    if issubclass(category, UserWarning):
        print(f"cortexres: note: {' '.join(str(message).split())}", file=sys.stderr)
