"""A residual block is the local recurrence of a cortical area, and its depth is time. The hypothesis, in one circuit.

::

    python simulations/claims/cortical_hypothesis.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cortexres import bridge, circuits, compare, controls, nn, stimuli, summary
from cortexres.circuits import perturb
from cortexres.claims import Check, Claim, Outcome, Published, Sample, Setting, main
from cortexres.compare.encoding.likelihood_readout import likelihood_readout, poisson_trials
from cortexres.definitions import Circuit, with_values
from cortexres.meanfield import fixed_point, mean_field
from cortexres.plots import Figure, style

DT_MS, DURATION_MS, SETTLE_MS = 5.0, 120.0, 80.0
FIRST_MS, LATE_MS = (10.0, 20.0), (60.0, DURATION_MS)  # the feedforward answer has settled; the recurrent one has
AREA, CHAIN, AREAS = "ei_assemblies", "area_hierarchy", ("V1", "V2", "V4")
SAMPLED = 400  # Poisson trials of a network's states

W0, SHUFFLED, PERMUTED = "no recurrence (W = 0)", "best of 10 with shuffled weights", "images permuted"
CONSTANT, HELD = "the circuit's own final rates, constant", "recurrent input held as at rest"
NO_DEPTH, INPUT, TRAINED = "the first area's time for all", "the input x alone", "best of 4 networks, trained or not"

RATES = "R2 of the rates over time, less its ceiling"
SHAPE = "R2 of the rates' shape (each less its late mean), denoised"
CURRENT = "R2 of the recurrent excitatory input"
TAKEN = "R2 of what silencing recurrence takes, denoised"
LEFT = "R2 of what silencing recurrence leaves, denoised"
SHARE = "feedforward share of the evoked excitation (%)"
ONCE = "image told from 5 ms of one trial at 10-20 ms (%)"
ADDED = "the same at 60-120 ms, less without recurrent response (points)"
REFINED = "network: errors at 10-20 ms that are gone at 60-120 ms (%)"
REFINED_CIRCUIT = "circuit: errors at 10-20 ms that are gone at 60-120 ms (%)"
NOISE = "accuracy at 60-120 ms: circuit less network of independent spikes (points)"
HIGHER = "R2 of the rates in areas V2 and V4, less its ceiling"
DEPTH = "rise times of the three areas, circuit less network, largest (ms)"
MAP, CKA = "R2 by a linear map, images left out", "linear CKA of block k and time k dt"

CLAIM = Claim(
    name="cortical_hypothesis",
    title="A residual block is local recurrence, and depth is time",
    source="Liao & Poggio 2016, arXiv:1604.03640; silencing: Lien & Scanziani 2013, doi:10.1038/nn.3488",
    statement="The conjecture: cortex is a recurrent network of moderate depth, which unrolled in time is a deep "
    "residual network with shared weights; in each area the input x is carried on, and local recurrence adds F(x). "
    "Here: the weights and time constants of a spiking circuit give such a network with nothing fitted, and its block "
    "k is held against the circuit at k dt: rates, currents, what silencing takes, three areas in a chain, and which "
    "image can be told from one trial's spikes with the network's states as the code.",
    published=Published("a conjecture; thalamus gives a third of the evoked excitation in mouse V1, cortex the rest"),
    checks=(
        *(Check(figure=RATES, at_least=-0.03, control=name) for name in (W0, SHUFFLED, CONSTANT, PERMUTED)),
        Check(figure=SHAPE, at_least=0.85, control=SHUFFLED),
        Check(figure=CURRENT, at_least=0.95, control=SHUFFLED),
        Check(figure=TAKEN, at_least=0.85, control=SHUFFLED),
        Check(figure=TAKEN, at_least=0.85, control=W0),
        Check(figure=LEFT, at_least=0.85, control=PERMUTED),
        Check(
            figure=SHARE,
            at_least=17.0,
            at_most=50.0,
            control=W0,
            published=Published("a third (Lien & Scanziani 2013, abstract)"),
        ),
        Check(figure=HIGHER, at_least=-0.05, control=SHUFFLED),
        Check(figure=HIGHER, at_least=-0.05, control=W0),
        Check(figure=DEPTH, at_most=5.0, control=NO_DEPTH),
        Check(figure=ONCE, at_least=50.0, control=PERMUTED),
        Check(figure=ADDED, at_least=3.0, control=SHUFFLED),
        Check(figure=REFINED, at_least=30.0, control=HELD),
    ),
    remarks="",
)


class Scale(NamedTuple):
    """How much is simulated: images and trials of the one area, and of the three."""

    images: int
    trials: int
    area_images: int
    area_trials: int


class Found(NamedTuple):
    """Figures, those of the controls by name, and what is drawn."""

    figures: dict[str, float]
    controls: dict[str, dict[str, float]]
    curves: dict[str, Any]


class Runs(NamedTuple):
    """What was simulated: one area intact and silenced, with recurrent input held as at rest, and three areas."""

    images: xr.Dataset
    silencing: xr.Dataset
    held: xr.Dataset
    areas: xr.Dataset


def measure(seed: int, setting: Setting) -> Sample:
    """Return all figures for one draw of synapses, noise and digits."""
    return compared(simulated(seed, setting), seed)


def simulated(seed: int, setting: Setting) -> Runs:
    """Return the circuits' responses to fresh digits."""
    scale = Scale(40, 20, 20, 10) if setting.large else Scale(10, 5, 8, 2)
    options = {"duration_ms": DURATION_MS, "settle_ms": SETTLE_MS, "rng": seed, "jobs": 1, "progress": False}
    images = stimuli.digits(scale.images, rng=np.random.default_rng([seed, 6]))
    few = images.isel(stimulus=slice(scale.area_images))
    return Runs(
        images,
        circuits.silencing(circuits.load(AREA), images, trials=scale.trials, window_ms=LATE_MS, **options),
        circuits.simulate(without_response(circuits.load(AREA)), images, trials=scale.trials, **options),
        circuits.simulate(circuits.load(CHAIN), few, trials=scale.area_trials, **options),
    )


def compared(runs: Runs, seed: int) -> Sample:
    """Return the figures of the derived networks beside the circuits, and of the controls."""
    circuit, chain = circuits.load(AREA), circuits.load(CHAIN)
    brain, silenced = side(runs.silencing, "intact"), side(runs.silencing, "silenced")
    networks = derived_and_nulls(circuit, brain, runs.images, seed)
    few = runs.images.sel(stimulus=runs.areas["stimulus"].values)
    parts = (
        rates_and_silencing(brain, silenced, networks, seed),
        share_of_excitation(runs.silencing),
        geometry(brain, networks, runs.images, circuit, seed),
        readout(brain, runs.held, networks, cells(brain, circuit), seed),
        three_areas(runs.areas, derived_and_nulls(chain, runs.areas, few, seed)),
    )
    together: dict[str, dict[str, float]] = {}
    for name, figures in (item for part in parts for item in part.controls.items()):
        together.setdefault(name, {}).update(figures)
    return Sample(
        figures={name: value for part in parts for name, value in part.figures.items()},
        controls=together,
        curves={name: value for part in parts for name, value in part.curves.items()},
    )


def derived_network(circuit: Circuit) -> bridge.CircuitNetwork:
    """Return the residual network that the circuit's parameters imply."""
    return bridge.residual_network(circuit, dt_ms=DT_MS, duration_ms=DURATION_MS)


def without_response(circuit: Circuit) -> Circuit:
    """Return the circuit whose recurrent input is, at all times, a constant and noise as at rest."""
    resting = fixed_point(mean_field(circuit)).moments
    names, values = [name for p in circuit.populations for name in [p.name] * p.assemblies], {}
    for population in {name: None for name in names}:
        unit = names.index(population)
        values[f"populations.{population}.mean_input_mV"] = float((resting.mu - resting.shift * resting.sigma)[unit])
        values[f"populations.{population}.noise_mV"] = float(resting.sigma[unit])
    return with_values(perturb.cut_recurrence(circuit), values)


def derived_and_nulls(circuit: Circuit, brain: xr.Dataset, images: xr.Dataset, seed: int) -> dict[str, xr.Dataset]:
    """Return the states of the derived network ("derived") and of those that lack one thing, by name."""
    network = derived_network(circuit)
    found = {
        "derived": nn.record(network, images),
        W0: nn.record(bridge.without_recurrence(network), images),
        HELD: nn.record(bridge.without_recurrence(network, keep_baseline=True), images),
    }
    found[PERMUTED] = permuted(found["derived"])
    rng = np.random.default_rng([seed, 7])
    shuffled = controls.shuffled_networks(network, images, rng=rng, notes=[], progress=False)
    scores = compare.model_nulls(brain, shuffled)
    found[SHUFFLED] = shuffled[str(scores["name"].values[int(scores["r2"].values.argmax())])]
    return found


def permuted(network: xr.Dataset) -> xr.Dataset:
    """Return the network with each image's states given to the next image, which is of another class."""
    order = np.roll(np.arange(network.sizes["stimulus"]), 1)
    return network.isel(stimulus=order).assign_coords(network["stimulus"].coords)


def side(runs: xr.Dataset, which: str) -> xr.Dataset:
    """Return the brain Dataset of the intact or of the silenced circuit."""
    parts = {f"{which}_{part}": part for part in ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")}
    return runs[[which, *parts]].rename({which: "response", **parts})


def cells(brain: xr.Dataset, circuit: Circuit) -> list[int]:
    """Return how many cells each unit has."""
    return [circuit.population(name).size for name in brain["population"].values]


def rates_and_silencing(
    brain: xr.Dataset, silenced: xr.Dataset, networks: dict[str, xr.Dataset], seed: int
) -> Found:
    """Return how well the states are the rates, the recurrent current, and what silencing takes and leaves."""
    figures: dict[str, dict[str, float]] = {}
    for name in ("derived", W0, SHUFFLED, PERMUTED):
        scores = compare.state_scores(brain, networks[name])
        without = networks[W0] if name != PERMUTED else permuted(networks[W0])
        parts = compare.components(
            brain, networks[name], silenced=silenced, network_silenced=without, permutations=1, splits=1, rng=seed
        )
        denoised = parts["r2_denoised"]
        figures[name] = {
            RATES: float(scores["r2"] - scores["r2_ceiling"]),
            SHAPE: float(scores["shape_denoised"]),
            CURRENT: float(scores["currents_excitatory_r2"]),
            TAKEN: float(denoised.sel(part="recurrent")),
            LEFT: float(denoised.sel(part="x")),
        }
    figures[CONSTANT] = {RATES: float(scores["constant_r2"] - scores["r2_ceiling"])}
    late = (brain["response"] - silenced["response"]).sel(time=slice(*LATE_MS)).mean(("time", "trial"))
    without = late_states(networks[W0], brain)
    taken = {name: late_states(networks[name], brain) - without for name in ("derived", SHUFFLED)}
    return Found(figures.pop("derived"), figures, {"taken": late.values, "taken, network": taken})


def late_states(network: xr.Dataset, brain: xr.Dataset) -> np.ndarray:
    """Return the mean states (stimulus, unit) of the late window."""
    return compare.at_bins(network, brain)["response"].sel(time=slice(*LATE_MS)).mean("time").values


def share_of_excitation(runs: xr.Dataset) -> Found:
    """Return the share of x in the evoked excitation of pyramidal units, with and without recurrence."""
    pyramidal = runs.isel(unit=(runs["cell_type"] == "pyramidal").values)
    share = {}
    for which in ("intact", "silenced"):
        x, excitation = (
            float(pyramidal[f"evoked_{which}_{part}"].sum()) for part in ("feedforward", "recurrent_excitatory")
        )
        share[which] = 100 * x / (x + excitation)
    net = float(pyramidal["net_ratio"].median())
    figures = {SHARE: share["intact"], "evoked net recurrent input / x, median (1)": net}
    return Found(figures, {W0: {SHARE: share["silenced"]}}, {})


def geometry(
    brain: xr.Dataset, networks: dict[str, xr.Dataset], images: xr.Dataset, circuit: Circuit, seed: int
) -> Found:
    """Return what measures say that need no common units, and what the input and other networks reach there."""
    network, derived = derived_network(circuit), networks["derived"]
    trained = controls.trained_networks(
        network, images, other_images=None, epochs=100, seed=seed, notes=[], progress=False
    )
    others = trained | {INPUT: controls.input_alone(network, derived, images)}

    def scored(data: xr.Dataset) -> dict[str, float]:
        found = summary.score(brain, data, rng=seed, permutations=1)
        return {MAP: float(found["linear_map_r2"]), CKA: float(found["linear_cka_diagonal"])}

    found = {name: scored(data) for name, data in others.items()}
    best = max(found[name][MAP] for name in trained)
    return Found(scored(derived), {TRAINED: {MAP: best}, INPUT: {CKA: found[INPUT][CKA]}}, {})


def readout(
    brain: xr.Dataset, held: xr.Dataset, networks: dict[str, xr.Dataset], number: list[int], seed: int
) -> Found:
    """Return how often the image is told from one bin, over the circuit's time and the network's block."""

    def told(data: xr.Dataset, name: str) -> xr.DataArray:
        accuracy = likelihood_readout(data, networks[name], cells=number)["accuracy"]
        return 100 * xr.DataArray(np.diag(accuracy), {"time": accuracy["time"].values}, ("time",))

    def sampled(name: str) -> xr.DataArray:
        rng = np.random.default_rng([seed, 8])
        return told(poisson_trials(networks[name], brain, cells=number, trials=SAMPLED, rng=rng), name)

    circuit = {name: told(brain, name) for name in ("derived", SHUFFLED, PERMUTED)} | {HELD: told(held, HELD)}
    network = {name: sampled(name) for name in ("derived", HELD)}
    controlled = {
        PERMUTED: {ONCE: mean_in(circuit[PERMUTED], FIRST_MS)},
        SHUFFLED: {ADDED: mean_in(circuit[SHUFFLED] - circuit[HELD], LATE_MS)},
        HELD: {
            REFINED: corrected(network[HELD]),
            REFINED_CIRCUIT: corrected(circuit[HELD]),
            NOISE: mean_in(circuit[HELD] - network[HELD], LATE_MS),
        },
    }
    figures = {
        ONCE: mean_in(circuit["derived"], FIRST_MS),
        ADDED: mean_in(circuit["derived"] - circuit[HELD], LATE_MS),
        REFINED: corrected(network["derived"]),
        REFINED_CIRCUIT: corrected(circuit["derived"]),
        NOISE: mean_in(circuit["derived"] - network["derived"], LATE_MS),
    }
    return Found(figures, controlled, {"circuit": circuit, "network": network})


def mean_in(course: xr.DataArray, window: tuple[float, float]) -> float:
    """Return the mean over the bins whose centres lie in the window."""
    return float(course.sel(time=slice(*window)).mean())


def corrected(course: xr.DataArray) -> float:
    """Return the share of the errors of the first answer that later ones do not make, in percent."""
    return 100 * (mean_in(course, LATE_MS) - mean_in(course, FIRST_MS)) / (100 - mean_in(course, FIRST_MS))


def three_areas(brain: xr.Dataset, networks: dict[str, xr.Dataset]) -> Found:
    """Return how well the states are the rates of the higher areas, and whether each area answers in its time."""
    higher = np.isin(brain["area"].values, AREAS[1:])
    figures = {}
    for name in ("derived", W0, SHUFFLED):
        scores = compare.state_scores(brain.isel(unit=higher), networks[name].isel(unit=higher))
        figures[name] = {HIGHER: float(scores["r2"] - scores["r2_ceiling"])}
    states = compare.at_bins(networks["derived"], brain)["response"]
    pattern = evoked(states, brain).sel(time=slice(*LATE_MS)).mean("time")
    courses = {
        name: course_of(evoked(response, brain), pattern)
        for name, response in (("circuit", brain["response"].mean("trial")), ("network", states))
    }
    times = {name: rise_times(course) for name, course in courses.items()}
    figures["derived"] |= {DEPTH: float(np.abs(times["circuit"] - times["network"]).max())}
    figures["derived"] |= {f"rise time of {a}, circuit (ms)": t for a, t in zip(AREAS, times["circuit"], strict=True)}
    figures[NO_DEPTH] = {DEPTH: float(np.abs(times["circuit"] - times["network"][0]).max())}
    return Found(figures.pop("derived"), figures, {"areas": courses})


def evoked(response: xr.DataArray, brain: xr.Dataset) -> xr.DataArray:
    """Return how the responses of pyramidal units differ between images."""
    return (response - response.mean("stimulus")).isel(unit=(brain["cell_type"] == "pyramidal").values)


def course_of(response: xr.DataArray, pattern: xr.DataArray) -> xr.DataArray:
    """Return how much of a pattern each area shows over time, (area, time), with a mean of 1 in the late window."""
    shown = (response * pattern).groupby("area").sum(("stimulus", "unit")).sel(area=list(AREAS))
    return shown / shown.sel(time=slice(*LATE_MS)).mean("time")


def rise_times(course: xr.DataArray) -> np.ndarray:
    """Return the area between each course and 1, in ms: the time constant of an exponential, less noisy than a half."""
    return DT_MS * (1 - course).sum("time").values


def draw(outcome: Outcome, samples: Sequence[Sample]) -> Figure:
    """Return four pictures: rates and their nulls, what silencing takes, the answer over time, three areas."""
    figure = style.blank(height=8.5, title="A circuit and the residual network of its parameters: block k at time k dt")
    (rates, taken), (answer, areas) = figure.subplots(2, 2)
    _draw_rates(rates, samples)
    _draw_taken(taken, samples[0])
    _draw_answer(answer, samples)
    _draw_areas(areas, samples)
    for axes in (rates, taken, answer, areas):
        style.tidy(axes)
    return figure


def _draw_rates(axes: Axes, samples: Sequence[Sample]) -> None:
    names = (PERMUTED, W0, CONSTANT, SHUFFLED)
    labels = ("images\npermuted", "no recurrence\n(W = 0)", "final rates,\nconstant", "best of 10\nshuffled", "derived")
    for sample in samples:
        values = [*(sample.controls[name][RATES] for name in names), sample.figures[RATES]]
        axes.scatter(values, range(len(values)), color=[style.GREY] * len(names) + [style.BLUE])
    axes.axvline(-0.03, color=style.BLACK, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("R² of the rates over time, less its ceiling")
    axes.set_title("rates: a dot per seed, accepted to the right of the line", loc="left")


def _draw_taken(axes: Axes, sample: Sample) -> None:
    circuit, network = sample.curves["taken"], sample.curves["taken, network"]
    for name, colour, label in ((SHUFFLED, style.GREY, "weights shuffled"), ("derived", style.BLUE, "derived")):
        axes.scatter(network[name], circuit, s=10, color=colour, label=label)
    ends = [float(circuit.min()), float(circuit.max())]
    axes.plot(ends, ends, color=style.BLACK, linewidth=0.8)
    axes.set_xlabel("network with recurrence less without (Hz)")
    axes.set_ylabel("circuit intact less silenced (Hz)")
    axes.legend(frameon=False)
    axes.set_title("what silencing takes: a dot per image and unit", loc="left")


def _draw_answer(axes: Axes, samples: Sequence[Sample]) -> None:
    lines = (("derived", style.BLUE, "recurrent"), (HELD, style.VERMILION, "recurrent input held"))
    for name, colour, label in (*lines, (SHUFFLED, style.GREY, "read with shuffled weights")):
        courses = np.stack([sample.curves["circuit"][name] for sample in samples])
        times = samples[0].curves["circuit"][name]["time"].values
        axes.plot(times, courses.mean(axis=0), color=colour, label=f"circuit, {label}")
        axes.fill_between(times, courses.min(axis=0), courses.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    for name, colour, label in lines:
        states = np.mean([sample.curves["network"][name] for sample in samples], axis=0)
        axes.plot(times, states, "o", markersize=4, color=colour, label=f"network, {label}")
    axes.set_ylim(0, 100)
    axes.set_xlabel("time after onset, or block x dt (ms)")
    axes.set_ylabel("image told from 5 ms of one trial (%)")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.set_title("a rough answer at once, refined by recurrence", loc="left")


def _draw_areas(axes: Axes, samples: Sequence[Sample]) -> None:
    for area, colour in zip(AREAS, (style.BLUE, style.GREEN, style.VERMILION), strict=True):
        found = {
            name: np.mean([sample.curves["areas"][name].sel(area=area) for sample in samples], axis=0)
            for name in ("circuit", "network")
        }
        times = samples[0].curves["areas"]["circuit"]["time"].values
        axes.plot(times, found["circuit"], color=colour, label=f"{area}, circuit")
        axes.plot(times, found["network"], "o", markersize=4, color=colour, label=f"{area}, network")
    axes.set_xlabel("time after onset, or block x dt (ms)")
    axes.set_ylabel("size of the final pattern (1: late mean)")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("areas as blocks: each is driven by the one below", loc="left")


if __name__ == "__main__":
    sys.exit(main(CLAIM, measure, draw))
