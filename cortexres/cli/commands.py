"""What each command does; the rooms are imported inside, so that a command waits only for what it uses."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cortexres.cli.claims import claims
from cortexres.cli.parser import FOLDER_SIZE, STIMULI
from cortexres.cli.training import train
from cortexres.notes import noted_warnings

if TYPE_CHECKING:
    import xarray as xr

    from cortexres.definitions import Circuit
    from cortexres.definitions.paths import Value


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command of a parsed command line and return its exit code."""
    commands: dict[str, Callable[[argparse.Namespace], int | None]] = {
        "demo": demo,
        "models": models,
        "verify": verify,
        "simulate": simulate,
        "record": record,
        "train": train,
        "compare": compare,
        "claims": claims,
    }
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return commands[arguments.command](arguments) or 0


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
    """Every circuit: name, title, source, variants, and what it must reproduce; then every network with its size."""
    _list_circuits()
    print()
    _list_networks()


def _list_circuits() -> None:
    from cortexres.definitions import list_models, load_verification
    from cortexres.verify.table import target_lines

    for model in list_models("circuits"):
        targets = load_verification(model.path).targets
        count = f"{len(targets)} targets{':' if targets else ''}"
        variants = [f"variants: {', '.join(model.variants)}"] if model.variants else []
        lines = [model.title, model.source, str(model.path), *variants, count]
        print("\n  ".join([model.name, *lines, *(f"  {line}" for line in target_lines(targets))]))


def _list_networks() -> None:
    """Each family's title, source and file, then its networks: parameters, and what was published of them."""
    from cortexres.definitions import list_models, list_networks

    networks = list_networks()
    for family in list_models("networks"):
        print("\n  ".join([f"{family.name} (networks)", family.title, family.source, str(family.path)]))
        for row in (network for network in networks if network.path == family.path):
            known = row.published
            error = "" if known.error_percent is None else f", published error {known.error_percent:g} % ({known.data})"
            print(f"    {row.name}: {row.parameters:,} parameters{error}")


def verify(arguments: argparse.Namespace) -> int:
    """Measured beside published, line by line; 1 where a target is missed."""
    from cortexres import verify as verification

    protocols = verification.chosen(arguments.model, slow=not arguments.quick)
    left_out = len(verification.chosen(arguments.model)) - len(protocols)
    lines = verification.Lines([target for _, targets in protocols for target in targets])
    met: list[bool] = []
    for protocol, targets in protocols:
        if protocol.slow and sys.stderr.isatty():  # a log needs no reassurance
            print(f"cortexres: running {protocol.name} ...", file=sys.stderr)
        results = verification.measure(
            arguments.model, protocol, targets, data=arguments.data, seed=arguments.seed, target=arguments.target
        )
        for k, result in enumerate(results):
            if not met:
                print(lines.header())
            print(lines.line(result, first=k == 0), flush=True)
            met.append(result.met)
    skipped = f"; {left_out} slow protocols were not run" if left_out else ""
    print(f"{sum(met)} of {len(met)} targets reproduced{skipped}")
    return 0 if all(met) else 1


def simulate(arguments: argparse.Namespace) -> None:
    """Circuit -> brain.nc, or spikes.nc."""
    from cortexres import circuits, io

    out = arguments.out or Path("spikes.nc" if arguments.spikes else "brain.nc")
    io.check_writable(out)
    circuit = _varied(circuits.load(arguments.model), arguments.set, arguments.scale)
    images = _images_for(circuit, arguments)
    make = circuits.spikes if arguments.spikes else circuits.simulate
    made = make(
        circuit,
        images,
        trials=arguments.trials,
        duration_ms=arguments.duration,
        bin_ms=arguments.bin,
        settle_ms=arguments.settle,
        rng=arguments.seed + 1,
        connectivity_rng=arguments.connectivity_seed,
        target=arguments.target,
        jobs=arguments.jobs,
    )
    io.save(made, out)
    print(out)


def _varied(circuit: Circuit, values: Sequence[tuple[str, Value]], scale: float) -> Circuit:
    """The circuit with the parameters of ``--set``, scaled down by ``--scale``."""
    from cortexres.circuits import downscaled
    from cortexres.definitions import with_values

    circuit = with_values(circuit, dict(values)) if values else circuit
    return circuit if scale == 1.0 else downscaled(circuit, size=scale, in_degree=scale)


def _images_for(circuit: Circuit, arguments: argparse.Namespace) -> xr.Dataset | None:
    """The stimuli of ``--images``; where nothing is said, digits for a circuit that sees and none for another."""
    sees = circuit.drive is not None and circuit.drive.front_end is not None
    source = arguments.images or ("digits" if sees else "none")
    return None if source == "none" else _images(source, arguments.stimuli, arguments.seed)


def record(arguments: argparse.Namespace) -> None:
    """The network derived from a circuit, one by name, or a trained one -> network.nc."""
    from cortexres import io, nn
    from cortexres.definitions import list_networks
    from cortexres.nn.device import usable_device

    io.check_writable(arguments.out)
    usable_device(arguments.device)
    if arguments.model.endswith(".safetensors"):
        network, images = _trained_network(arguments)
    elif arguments.model in {row.name for row in list_networks()}:
        network, images = _named_network(arguments)
    else:
        network, images = _derived_network(arguments)
    nn.record(network, images, batch_size=arguments.batch_size, path=arguments.out).close()
    print(arguments.out)


def _derived_network(arguments: argparse.Namespace) -> tuple[object, xr.Dataset]:
    from cortexres import bridge
    from cortexres.definitions import load_circuit

    circuit = load_circuit(arguments.model)
    images = _images(arguments.images, arguments.stimuli, arguments.seed)
    return bridge.residual_network(circuit, dt_ms=arguments.dt, duration_ms=arguments.duration), images


def _named_network(arguments: argparse.Namespace) -> tuple[object, xr.Dataset]:
    from cortexres import nn
    from cortexres.definitions import load_network

    definition = load_network(arguments.model)
    colour = not definition.flat and definition.channels > 1
    size = definition.size or None
    images = _images(arguments.images, arguments.stimuli, arguments.seed, size=size, colour=colour)
    channels = images["image"][0].size if definition.flat else images.sizes.get("channel", 1)
    network = nn.create(arguments.model, rng=arguments.seed, device=arguments.device, channels=channels)
    return network, images


def _trained_network(arguments: argparse.Namespace) -> tuple[object, xr.Dataset]:
    from cortexres import nn
    from cortexres.nn.inputs import channels_of

    network = nn.load_network(arguments.model, device=arguments.device)
    colour = (channels_of(network) or 1) > 1
    images = _images(arguments.images, arguments.stimuli, arguments.seed, size=None, colour=colour)
    return network, images


def compare(arguments: argparse.Namespace) -> None:
    """brain.nc and network.nc -> scores.nc, figures, report.html and the table."""
    from cortexres import io

    for name in ("scores.nc", "report.html"):
        io.check_writable(arguments.out / name)
    brain = io.load(arguments.brain, kind="brain")
    network = io.load(arguments.network, kind="network", stage=arguments.stage)
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


def _images(
    source: str,
    count: int | None,
    seed: int,
    *,
    default: int = STIMULI,
    size: int | None = FOLDER_SIZE,
    colour: bool = False,
) -> xr.Dataset:
    """The stimuli that ``--images`` names: digits, patterns, a folder of images, or a stimulus file.

    The images of a folder get `size` pixels, or stay as they are, and are read in grey or in `colour`.
    """
    from cortexres import io, stimuli

    if source == "digits":
        return stimuli.digits(count or default, rng=seed)
    if source == "patterns":
        return stimuli.patterns(count or default, rng=seed)
    if source.endswith(".nc"):
        images: xr.Dataset = io.load(source, kind="stimuli")
        return images.isel(stimulus=slice(count))
    return stimuli.folder(source, size=(size, size) if size else None, limit=count or default, colour=colour)


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
    if issubclass(category, UserWarning):
        print(f"cortexres: note: {' '.join(str(message).split())}", file=sys.stderr)
