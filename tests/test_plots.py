"""Each figure draws what the Datasets hold: lines and dots against the numbers; errors are named."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cortexres import plots
from cortexres.errors import ArgumentError

ASSEMBLIES, STEPS, DT_MS = 8, 40, 5.0


def unit_coords() -> dict[str, tuple[str, np.ndarray]]:
    names = [f"{p}{a}" for p in "EI" for a in range(ASSEMBLIES)]
    return {
        "name": ("unit", np.array(names)),
        "population": ("unit", np.array([name[0] for name in names])),
        "assembly": ("unit", np.tile(np.arange(ASSEMBLIES), 2)),
    }


def truth(t_ms: np.ndarray, n_stimuli: int, part: float) -> np.ndarray:
    """Return a plausible response (stimulus, time, unit): a tuned onset transient that settles."""
    t = np.maximum(t_ms, 0.0)
    shape = (1 - np.exp(-t / 12)) + 0.6 * (t / 20) * np.exp(1 - t / 20)
    ring = 2 * np.pi * (np.arange(ASSEMBLIES) - np.arange(n_stimuli)[:, None] * 1.3) / ASSEMBLIES
    tuning = np.exp(1.2 * (np.cos(ring) - 1))
    return part * shape[None, :, None] * np.concatenate([tuning, 0.6 * tuning + 0.2], axis=1)[:, None, :]


PARTS = {"feedforward": 4.0, "recurrent_excitatory": 6.0, "recurrent_inhibitory": -7.0}


def brain(n_stimuli: int = 6, trials: int = 20) -> xr.Dataset:
    rng = np.random.default_rng(1)
    time = np.arange(2.5, 200, 5.0)
    dims = ("stimulus", "trial", "time", "unit")

    def noisy(clean: np.ndarray, scale: float) -> np.ndarray:
        return clean[:, None] + scale * rng.normal(size=(n_stimuli, trials, *clean.shape[1:]))

    data = {"response": (dims, np.maximum(noisy(6 + truth(time, n_stimuli, 14), 3.0), 0), {"units": "Hz"})}
    data |= {key: (dims, noisy(truth(time, n_stimuli, part), 0.3), {"units": "mV"}) for key, part in PARTS.items()}
    coords = {
        "stimulus": np.arange(n_stimuli) + 10,
        "trial": np.arange(trials),
        "time": ("time", time, {"units": "ms", "bin_ms": 5.0}),
        "unit": np.arange(2 * ASSEMBLIES),
        "label": ("stimulus", np.arange(n_stimuli) % 3),
    }
    return xr.Dataset(data, coords=coords | unit_coords())


def network(n_stimuli: int = 6) -> xr.Dataset:
    t_ms = np.arange(STEPS + 1) * DT_MS
    dims = ("stimulus", "block", "unit")
    response = 6.2 + truth(t_ms, n_stimuli, 14)
    data = {
        "response": (dims, response, {"units": "Hz"}),
        "update": (dims, np.diff(response, axis=1, prepend=response[:, :1]), {"units": "Hz"}),
    } | {key: (dims, truth(t_ms, n_stimuli, part), {"units": "mV"}) for key, part in PARTS.items()}
    coords = {
        "stimulus": np.arange(n_stimuli) + 10,
        "block": np.arange(STEPS + 1),
        "t_ms": ("block", t_ms),
        "unit": np.arange(2 * ASSEMBLIES),
    }
    return xr.Dataset(data, coords=coords | unit_coords())


def spikes() -> xr.Dataset:
    """Return one trial of random spikes of 8 x 500 E and 8 x 125 I cells, about 10 Hz, for two stimuli."""
    rng = np.random.default_rng(2)
    n = 20_000
    cell = rng.integers(0, 5000, n)
    unit = np.where(cell < 4000, cell // 500, ASSEMBLIES + (cell - 4000) // 125)
    data = {
        "time": ("spike", rng.uniform(0, 200, n)),
        "cell": ("spike", cell),
        "unit": ("spike", unit),
        "trial": ("spike", np.zeros(n, dtype=int)),
        "stimulus": ("spike", rng.integers(10, 12, n)),
    }
    return xr.Dataset(data)


def scores() -> xr.Dataset:
    time, block = np.arange(2.5, 200, 5.0), np.arange(STEPS + 1)
    distance = np.abs(np.sqrt(time)[:, None] - np.sqrt(block * DT_MS)[None])
    ceiling = 0.97 * (1 - np.exp(-time / 8))
    data: dict[str, object] = {}
    for name, height, width in (("linear_cka", 1.0, 6.0), ("rsa", 0.95, 4.0)):
        values = height * ceiling[:, None] * np.exp(-distance / width)
        data[name] = (("time", "block"), values)
        data[f"{name}_p"] = (("time", "block"), np.where(values > 0.35, 0.01, 0.4))
        data[f"{name}_null"] = (("time", "block"), np.full_like(values, 0.2))
        data[f"{name}_null_max"] = ((), 0.35)
        data[f"{name}_ceiling"] = ("time", ceiling)
    return xr.Dataset(data, coords={"time": time, "block": block, "t_ms": ("block", block * DT_MS)})


def results() -> dict[str, xr.Dataset]:
    r2 = {"derived": 0.96, "shuffled weights (best)": 0.74, "W = 0": -1.25, "constant trace": 0.84}
    made = {name: xr.Dataset({"r2": value, "r2_ceiling": 0.98}) for name, value in r2.items()}
    made["derived"] = made["derived"].assign(shape_r2=0.88, shape_ceiling=0.93, r2_denoised=0.99)
    for name, value in (("derived", 0.9), ("tied, trained", 0.71), ("untied, trained", 0.66)):
        made[name] = made.get(name, xr.Dataset()).assign(linear_cka=value, linear_cka_ceiling=0.97)
    return made


def stimuli() -> xr.Dataset:
    image = np.random.default_rng(0).random((14, 8, 8))
    label = ("stimulus", np.array(["$x", "class"] * 7))
    return xr.Dataset({"image": (("stimulus", "y", "x"), image)}, coords={"stimulus": np.arange(14), "label": label})


MAKERS = {
    "raster_and_rates": lambda: plots.raster_and_rates(spikes(), brain()),
    "rates_against_blocks": lambda: plots.rates_against_blocks(brain(), network()),
    "score_map": lambda: plots.score_map(scores()),
    "x_and_f": lambda: plots.x_and_f(brain(), network()),
    "model_comparison": lambda: plots.model_comparison(results()),
    "stimulus_sheet": lambda: plots.stimulus_sheet(stimuli()),
}


def dots(axes: Axes) -> list[np.ndarray]:
    """Return the heights of each series that is drawn as dots."""
    return [np.asarray(line.get_ydata()) for line in axes.lines if line.get_marker() == "o"]


def heading(figure: Figure) -> str:
    return figure.get_suptitle().replace("\n", " ")


@pytest.mark.parametrize("name", MAKERS)
def test_figure_is_an_image_with_a_title(name: str) -> None:
    figure = MAKERS[name]()
    image = plots.png(figure, width_px=500)
    assert image.startswith(b"\x89PNG")
    assert int.from_bytes(image[16:20], "big") == 500
    assert heading(figure)


def test_same_figure_gives_the_same_bytes() -> None:
    assert plots.png(MAKERS["score_map"]()) == plots.png(MAKERS["score_map"]())


def test_no_text_leaves_the_figure() -> None:
    for name, make in MAKERS.items():
        figure = make()
        plots.png(figure)
        box = figure.get_tightbbox()
        assert -0.05 <= box.x0 < box.x1 <= figure.get_figwidth() + 0.05, name


def test_pyplot_is_not_needed() -> None:
    code = "import sys, cortexres.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_datasets_are_left_as_they_were() -> None:
    ours, theirs = brain(), network()
    plots.rates_against_blocks(ours, theirs)
    plots.x_and_f(ours, theirs)
    assert ours.identical(brain())
    assert theirs.identical(network())


def test_dots_are_the_blocks() -> None:
    figure = plots.rates_against_blocks(brain(), network(), stimuli=[12])
    drawn = dots(figure.axes[0])
    assert len(drawn) == 3
    mean = brain()["response"].sel(stimulus=12).mean(("trial", "time"))[:ASSEMBLIES]
    strongest = network()["response"].sel(stimulus=12).isel(unit=int(mean.argmax("unit")))
    np.testing.assert_array_equal(drawn[0], strongest)


def test_title_says_the_median_error_of_the_last_block() -> None:
    ours = brain()
    exact = network().copy(deep=True)
    exact["response"][:, -1] = 1.25 * ours["response"].sel(time=slice(150, None)).mean(("trial", "time"))
    assert "25.0 % (median)" in heading(plots.rates_against_blocks(ours, exact))


def test_total_is_the_sum_of_its_parts() -> None:
    figure = plots.x_and_f(brain(), network(), stimulus=11, assembly=2)
    x, excitatory, inhibitory, total = (dots(axes)[0] for axes in figure.axes[:4])
    np.testing.assert_allclose(x + excitatory + inhibitory, total, atol=1e-12)
    assert "E2, stimulus 11" in figure.axes[0].get_ylabel()


def test_population_without_the_assembly_shows_its_first_unit() -> None:
    ours, theirs = (
        data.isel(unit=[0, 1, 2, 8]).assign_coords(assembly=("unit", np.array([0, 1, 2, 0])))
        for data in (brain(), network())
    )
    figure = plots.x_and_f(ours, theirs, assembly=2)
    assert figure.axes[4].get_ylabel().startswith("I0")


def test_map_shows_the_scores_time_across_and_blocks_up() -> None:
    figure = plots.score_map(scores(), metrics=["rsa"])
    mesh = figure.axes[0].collections[0]
    np.testing.assert_allclose(np.asarray(mesh.get_array()), scores()["rsa"].T.to_numpy())
    line = figure.axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), DT_MS * np.asarray(line.get_ydata()))
    strip = figure.axes[1].images[0]
    np.testing.assert_allclose(np.asarray(strip.get_array())[0], scores()["rsa_ceiling"])


def test_ridge_of_a_perfect_diagonal_is_one() -> None:
    time = np.arange(41) * DT_MS
    block = np.arange(41)
    values = (("time", "block"), np.eye(41))
    made = xr.Dataset({"rsa": values}, coords={"time": time, "block": block, "t_ms": ("block", time)})
    assert "RSA 1.00 (0.02)" in heading(plots.score_map(made))
    assert "no ceiling known" in [text.get_text() for axes in plots.score_map(made).axes for text in axes.texts]


def test_map_survives_undefined_scores_and_no_time_step() -> None:
    made = scores().drop_vars("t_ms")
    made["linear_cka"] = made["linear_cka"] * np.nan
    made["rsa_p"] = made["rsa_p"] * 0 + 1
    figure = plots.score_map(made)
    assert plots.png(figure)
    assert heading(figure) == "Similarity of each block to each moment of the response"


def test_bars_are_the_scores_and_lines_their_ceilings() -> None:
    figure = plots.model_comparison(results(), metrics=["r2", "linear_cka"])
    first, second = figure.axes[:2]
    assert [bar.get_width() for bar in first.patches] == [0.96, 0.74, -0.3, 0.84]  # -1.25 is cut
    assert [bar.get_width() for bar in second.patches] == [0.9, 0.71, 0.66]
    texts = [text.get_text() for text in first.texts]
    assert texts == ["0.96", "0.74", "-1.25 (cut)", "0.84", "n/a", "n/a"]
    assert heading(figure) == "derived: R² 0.96 of a possible 0.98; best other network (constant trace) 0.84"


def test_all_scores_with_a_ceiling_are_found() -> None:
    figure = plots.model_comparison(results())
    names = [axes.get_xlabel().split("  ")[0] for axes in figure.axes if axes.get_xlabel()]
    assert names == ["R²", "shape R²", "linear CKA"]


def test_raster_holds_every_spike_of_the_trial() -> None:
    figure = plots.raster_and_rates(spikes(), brain(), stimulus=11)
    drawn = sum(len(series) for series in dots(figure.axes[0]))
    assert drawn == int((spikes()["stimulus"] == 11).sum())


def test_single_trial_has_no_error_and_still_draws() -> None:
    assert plots.png(plots.rates_against_blocks(brain(trials=1), network()))


def test_sheet_shows_labels_as_plain_text() -> None:
    figure = plots.stimulus_sheet(stimuli(), limit=12)
    assert heading(figure) == "The stimuli (12 of 14)"
    assert figure.axes[0].get_title() == "$x  (#0)"
    moving = stimuli().expand_dims(frame=2, axis=3)
    assert plots.png(plots.stimulus_sheet(moving))


def test_faults_are_named() -> None:
    with pytest.raises(ArgumentError, match=r"brain Dataset without population, name, expected it"):
        plots.rates_against_blocks(brain().drop_vars(["population", "name"]), network())
    with pytest.raises(ArgumentError, match=r"stimulus ids \[99\], expected some of 10\.\.15"):
        plots.rates_against_blocks(brain(), network(), stimuli=[10, 99])
    with pytest.raises(ArgumentError, match="other stimuli, expected the same ids"):
        plots.rates_against_blocks(brain(), network(5))
    renamed = network().assign_coords(name=("unit", np.array([f"u{i}" for i in range(16)])))
    with pytest.raises(ArgumentError, match=r"got units .*u0.* in the network"):
        plots.x_and_f(brain(), renamed)
    with pytest.raises(ArgumentError, match="got assembly 9, expected one of"):
        plots.x_and_f(brain(), network(), assembly=9)
    with pytest.raises(ArgumentError, match="no spikes of stimulus 10, trial 3"):
        plots.raster_and_rates(spikes(), brain(), stimulus=10, trial=3)
    with pytest.raises(ArgumentError, match="share no stimulus"):
        plots.raster_and_rates(spikes().assign(stimulus=spikes()["stimulus"] + 50), brain())
    with pytest.raises(ArgumentError, match=r"metrics \['dsa'\], expected maps"):
        plots.score_map(scores(), metrics=["dsa"])
    with pytest.raises(ArgumentError, match="got 0 models"):
        plots.model_comparison({})
    with pytest.raises(ArgumentError, match="expected a scalar: average it first"):
        plots.model_comparison({"a": xr.Dataset({"r2": ("time", [0.1]), "r2_ceiling": 1.0})})


@pytest.mark.parametrize(("value", "bounds"), [(-7.0, (-0.5, 1.0)), (3.0, (0.0, 1.0)), (-0.25, (-0.25, 1.0))])
def test_one_wild_cell_does_not_flatten_the_colours(value: float, bounds: tuple[float, float]) -> None:
    made = scores()
    made["rsa"][0, 0] = value
    assert plots.score_map(made, metrics=["rsa"]).axes[0].collections[0].get_clim() == bounds
