"""Pictures of a comparison draw what its Datasets hold, on the axes that are given, and compute nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable

import compare_pictures as small
import numpy as np
import pytest
import xarray as xr
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure

from cortexres import plots
from cortexres.compare import compare, linear_cka, permute_stimuli, rsa
from cortexres.compare.alignment.align import align
from cortexres.compare.dissimilarity_movie import dissimilarities
from cortexres.compare.dynamics.generator_distance import generator_distance
from cortexres.compare.dynamics.generators import generators
from cortexres.compare.encoding.generalise import generalise
from cortexres.compare.inference.latency_depth import latency_depth
from cortexres.compare.inference.significance import significance
from cortexres.compare.shared_space import shared_space
from cortexres.compare.updates.against_velocity import updates_against_velocity
from cortexres.compare.updates.components import components
from cortexres.errors import ArgumentError
from cortexres.plots.labels import plain_names
from cortexres.plots.significance import draw_outline
from cortexres.plots.style import figure_of


@functools.cache
def sides() -> tuple[xr.Dataset, xr.Dataset]:
    weights, drive = small.circuit()
    return small.brain(weights, drive), small.network(weights, drive)


@functools.cache
def scores() -> xr.Dataset:
    return compare(*sides(), nulls=[permute_stimuli], permutations=40, rng=0)


@functools.cache
def aligned() -> xr.Dataset:
    return align(*sides(), permutations=40, bootstraps=40, rng=0)


@functools.cache
def updates() -> xr.Dataset:
    return updates_against_velocity(*sides(), metrics=[rsa], permutations=40, splits=4, rng=0)


@functools.cache
def parts() -> xr.Dataset:
    weights, drive = small.circuit()
    silent = 0 * weights
    return components(
        *sides(),
        silenced=small.brain(silent, drive),
        network_silenced=small.network(silent, drive),
        metrics=[linear_cka],
        permutations=20,
        splits=4,
        rng=0,
    )


@functools.cache
def spectra() -> dict[str, xr.Dataset]:
    return {name: generators(side, rank=4) for name, side in zip(("recording", "network"), sides(), strict=True)}


@functools.cache
def matrix() -> xr.Dataset:
    return generalise(sides()[0], "label", permutations=10, rng=0)


@functools.cache
def movie() -> xr.Dataset:
    return dissimilarities(sides()[0])


@functools.cache
def latencies() -> xr.Dataset:
    return latency_depth(*sides(), draws=40, rng=0)


@functools.cache
def space() -> xr.Dataset:
    return shared_space(*sides())


def profiles() -> xr.Dataset:
    """Return two profiles as `compare.lesion_profile` gives them; the last block is outside the perturbations."""
    block = np.arange(1, 7)
    return xr.Dataset(
        {
            "network_effect": ("block", np.exp(-block / 3)),
            "brain_effect_mapped": ("block", [*np.exp(-block[:-1] / 4) / 5, np.nan]),
            "pearson": ((), 0.98),
            "pearson_ceiling": ((), 0.9),
            "pearson_p": ((), 0.0004),
        },
        {"block": block},
    )


Drawing = Callable[[Axes], Axes]
DRAWINGS: dict[str, Drawing] = {
    "similarity_map": lambda ax: plots.similarity_map(scores(), ax, name="rsa", alignment=aligned()),
    "similarity_map of an alignment": lambda ax: plots.similarity_map(aligned(), ax),
    "block_curves": lambda ax: plots.block_curves(scores(), ax, name="rsa"),
    "updates_against_velocity": lambda ax: plots.updates_against_velocity(updates(), ax),
    "eigenvalue_plane": lambda ax: plots.eigenvalue_plane(
        spectra(), ax, distance=generator_distance(*spectra().values())
    ),
    "dissimilarity_movie": lambda ax: plots.dissimilarity_movie(movie(), ax, columns=4),
    "lesion_profiles": lambda ax: plots.lesion_profiles(profiles(), ax),
    "x_f_sum": lambda ax: plots.x_f_sum(parts(), ax),
    "generalisation_matrix": lambda ax: plots.generalisation_matrix(matrix(), ax),
    "latency_against_depth": lambda ax: plots.latency_against_depth(latencies(), ax),
    "shared_trajectories": lambda ax: plots.shared_trajectories(space(), ax),
}


@pytest.fixture
def ax() -> Axes:
    return Figure(figsize=(8, 5), layout="constrained").subplots()


def lines(ax: Axes) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend is not None else []


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawn_on_the_axes_given_and_whole_in_a_small_figure(name: str) -> None:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    assert DRAWINGS[name](ax) is ax
    assert plots.png(figure, width_px=400).startswith(b"\x89PNG")
    for axis in (ax.xaxis, ax.yaxis):
        if "block" in axis.get_label_text():
            np.testing.assert_array_equal(axis.get_ticklocs() % 1, 0)  # there is no block 2.5
    box = figure.get_tightbbox()
    assert -0.05 <= box.x0 < box.x1 <= figure.get_figwidth() + 0.05
    assert -0.05 <= box.y0 < box.y1 <= figure.get_figheight() + 0.05
    width = ax.get_position().width
    assert width > 0.5, "what stands beside the axes leaves too little of them"
    legend = ax.get_legend()
    assert legend is None or not legend.get_window_extent().overlaps(ax.xaxis.label.get_window_extent())
    if name != "dissimilarity_movie":  # frames have no axes
        assert ax.get_xlabel()
        assert ax.get_ylabel()


def test_datasets_are_left_as_they_were(ax: Axes) -> None:
    made = (scores(), aligned(), updates(), parts(), matrix(), movie(), latencies(), space(), *spectra().values())
    before = [one.copy(deep=True) for one in made]
    for draw in DRAWINGS.values():
        draw(Figure().subplots())
    assert all(one.identical(other) for one, other in zip(made, before, strict=True))


def test_what_stands_beside_a_score_is_no_score_of_its_own() -> None:
    names = ["rsa", "rsa_p", "rsa_null", "rsa_ratio", "rsa_p_shuffled", "rsa_null_max"]
    names += ["rsa_spearman", "rsa_spearman_low"]
    made = xr.Dataset({name: (("time", "block"), np.zeros((1, 1))) for name in names})
    assert plain_names(made, {"time", "block"}) == ["rsa", "rsa_spearman"]


def test_map_holds_path_interval_and_null(ax: Axes) -> None:
    plots.similarity_map(scores(), ax, name="linear_cka", alignment=aligned())
    mesh = next(item for item in ax.collections if isinstance(item, QuadMesh))
    np.testing.assert_allclose(np.ma.filled(np.ma.asarray(mesh.get_array()), np.nan), scores()["linear_cka"].T)
    found = aligned()
    across = [np.asarray(line.get_xdata(), dtype=float) for line in ax.lines]
    for name in ("t_ms", "null_t_ms_low", "null_t_ms_high"):
        assert any(np.array_equal(one, found[name], equal_nan=True) for one in across), name
    title = ax.get_title(loc="left")
    score, null = float(found["score"]), float(found["score_null_95"])
    assert f"score of the path {score:.2f} (null 95 %: {null:.2f}, p = 0.024" in title
    strip = ax.child_axes[0]
    np.testing.assert_allclose(np.asarray(strip.images[0].get_array())[0], scores()["linear_cka_ceiling"])
    assert texts(ax) == [
        "p < .05, corrected for the whole\nmap by its largest value,\npermute stimuli",
        "t = k dt",
        "time of the block",
        "its 95 % interval",
        "95 % under the null",
        "undefined",
    ]


def test_bright_is_alike_also_for_distances(ax: Axes) -> None:
    made = xr.Dataset(
        {"distance": (("time", "block"), [[0.0, 3.0], [2.0, 0.5]]), "t_ms": ("block", [5.0, 10.0])},
        {"time": [5.0, 10.0], "block": [0, 1]},
        {"orientation": "distance", "metric": "procrustes_angular"},
    )
    plots.similarity_map(made, ax)
    mesh = next(item for item in ax.collections if isinstance(item, QuadMesh))
    assert (mesh.get_cmap().name, mesh.get_clim()) == ("viridis_r", (0.0, 3.0))
    assert ax.get_title(loc="left") == "procrustes angular\ntime of each block"


def test_the_best_of_distances_is_the_least(ax: Axes) -> None:
    values = (("time", "block"), [[3.0], [1.0], [2.0]])
    made = xr.Dataset({"distance": values}, {"time": [5.0, 10.0, 15.0], "block": [0]})
    plots.block_curves(made, ax)
    assert [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "v"] == [[[10.0, 1.0]]]
    far = updates().copy(deep=True)
    far["rsa"].attrs["orientation"] = "distance"
    plots.updates_against_velocity(far, ax)
    assert "5 % with permuted stimuli" in texts(ax)


def test_corrected_p_values_are_drawn_before_those_of_each_cell(ax: Axes) -> None:
    made = significance(*sides(), metric=rsa, permutations=40, rng=0)
    plots.similarity_map(made, ax)
    assert "p < .05, max" in texts(ax)
    alone = made[["rsa", "rsa_p_cell"]]
    plots.similarity_map(alone, ax)
    assert "p < .05 of each cell alone" in texts(ax)


def test_outlines_run_along_the_edges_of_cells(ax: Axes) -> None:
    p = xr.DataArray([[1.0, 0.01, np.nan], [1.0, 1.0, 1.0]], {"block": [0, 1], "time": [0.0, 10.0, 20.0]})
    draw_outline(ax, p)
    drawn = next(item for item in ax.collections if isinstance(item, LineCollection))
    found = {tuple(map(tuple, segment.tolist())) for segment in drawn.get_segments()}
    assert found == {((5, -0.5), (5, 0.5)), ((15, -0.5), (15, 0.5)), ((5, 0.5), (15, 0.5))}


def test_figure_of_maps_takes_an_alignment() -> None:
    figure = plots.score_map(scores(), alignment=aligned())
    across = [np.asarray(line.get_xdata(), dtype=float) for line in figure.axes[0].lines]
    assert any(np.array_equal(one, aligned()["t_ms"], equal_nan=True) for one in across)
    assert "time of the block" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_are_the_columns_of_the_map(ax: Axes) -> None:
    plots.block_curves(scores(), ax, name="rsa", blocks=[2, 7])
    drawn = lines(ax)
    for block in (2, 7):
        assert any(np.array_equal(one, scores()["rsa"].sel(block=block)) for one in drawn)
    assert any(np.array_equal(one, scores()["rsa_ceiling"], equal_nan=True) for one in drawn)
    best = float(scores()["rsa"].sel(block=7).idxmax("time"))
    marks = [line for line in ax.lines if line.get_marker() == "v"]
    assert [float(np.asarray(mark.get_xdata())[0]) for mark in marks][1] == best
    labels = [text.replace("\n", " ") for text in texts(ax)]
    ceiling = f"ceiling: {scores()['rsa_ceiling'].attrs['long_name']}"
    assert labels == ["block 2", "block 7", ceiling, "chance, 95 %"]


def test_ceiling_between_two_bounds(ax: Axes) -> None:
    bounds = xr.Dataset({"lower": scores()["rsa_ceiling"] - 0.1, "upper": scores()["rsa_ceiling"] + 0.1})
    plots.block_curves(scores(), ax, name="rsa", ceiling=bounds)
    assert texts(ax)[-2:] == ["ceiling, lower to upper", "chance, 95 %"]
    assert len(texts(ax)) == 8  # six blocks
    assert "block 0" not in texts(ax)  # undefined


def test_updates_stand_beside_their_ceiling(ax: Axes) -> None:
    plots.updates_against_velocity(updates(), ax)
    for name in ("rsa", "rsa_ceiling"):
        assert any(np.array_equal(one, updates()[name]) for one in lines(ax))
    assert "random halves of the trials" in texts(ax)[0].replace("\n", " ")
    full = [line for line in ax.lines if line.get_marker() == "o" and line.get_markerfacecolor() != "white"]
    significant = int((updates()["rsa_p"] < 0.05).sum())
    assert sum(len(np.asarray(line.get_xdata())) for line in full) == significant > 0
    mean, ceiling = (float(updates()[name]) for name in ("rsa_mean", "rsa_mean_ceiling"))
    assert f"mean {mean:.2f}, ceiling {ceiling:.2f}" in ax.get_title(loc="left")


def test_eigenvalues_are_where_they_are(ax: Axes) -> None:
    plots.eigenvalue_plane(spectra(), ax)
    for line, data in zip(ax.lines, spectra().values(), strict=False):
        expected = np.stack([data["generator_real"], data["generator_imag"]], axis=1)
        np.testing.assert_allclose(line.get_xydata(), expected)
    assert texts(ax)[1].startswith("network: (lambda - 1) / h")


def test_frames_are_the_times_asked_for(ax: Axes) -> None:
    plots.dissimilarity_movie(movie(), ax, at=[2.0, 51.0])
    canvas = np.asarray(ax.images[0].get_array())
    n = small.STIMULI
    np.testing.assert_allclose(canvas[:, :n], movie()["dissimilarity"].sel(time=2.5))
    np.testing.assert_allclose(canvas[:, -n:], movie()["dissimilarity"].sel(time=52.5))
    assert [text.get_text() for text in ax.texts] == ["2.5 ms", "52.5 ms"]
    assert ax.get_title(loc="left") == "16 stimuli: squared Euclidean distance of the mean responses, per unit"


def test_profiles_have_a_scale_each(ax: Axes) -> None:
    plots.lesion_profiles(profiles(), ax)
    other = next(axes for axes in ax.get_figure(root=True).axes if axes is not ax)  # type: ignore[union-attr]
    np.testing.assert_array_equal(lines(ax)[0], profiles()["network_effect"])
    np.testing.assert_array_equal(lines(other)[0], profiles()["brain_effect_mapped"])
    assert ax.get_title(loc="left") == "Pearson 0.98 (ceiling 0.90, p < 0.001)"


def test_parts_are_lines_and_dots(ax: Axes) -> None:
    plots.x_f_sum(parts(), ax)
    drawn = lines(ax)
    for part in ("x", "recurrent", "sum"):
        for side in ("brain_size", "network_size"):
            assert any(np.array_equal(one, parts()[side].sel(part=part), equal_nan=True) for one in drawn)
    mean = float(parts()["linear_cka_mean"].sel(part="recurrent"))
    assert texts(ax)[1].startswith(f"F(x): linear CKA {mean:.2f} (ceiling ")
    mixed = parts().copy(deep=True)
    mixed["network_size"].attrs["units"] = "1"
    twin = Figure()
    plots.x_f_sum(mixed, twin.subplots())
    assert len(twin.axes) == 2  # no common scale for different units


def test_matrix_is_learned_up_and_tested_across(ax: Axes) -> None:
    plots.generalisation_matrix(matrix(), ax)
    mesh = next(item for item in ax.collections if isinstance(item, QuadMesh))
    np.testing.assert_allclose(np.asarray(mesh.get_array()), matrix()["accuracy"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("tested at time (ms)", "learned at time (ms)")
    assert mesh.get_clim() == (0.25, 1.0)
    assert "shrinkage lda, 4 classes" in ax.get_title(loc="left")


def test_latencies_with_both_p_values(ax: Axes) -> None:
    plots.latency_against_depth(latencies(), ax)
    np.testing.assert_array_equal(lines(ax)[0], latencies()["latency_ms"])
    bars = next(item for item in ax.collections if isinstance(item, LineCollection))
    low = [segment[0, 1] for segment in bars.get_segments() if len(segment)]
    np.testing.assert_allclose(low, latencies()["latency_ms_low"].dropna("block"))
    assert "as if blocks were independent" in ax.get_title(loc="left")


def test_trajectories_are_coloured_by_time(ax: Axes) -> None:
    plots.shared_trajectories(space(), ax, stimuli=[3])
    way = next(item for item in ax.collections if isinstance(item, LineCollection))
    np.testing.assert_allclose([segment[0] for segment in way.get_segments()], space()["brain"].sel(stimulus=3)[:-1])
    dots = next(item for item in ax.collections if not isinstance(item, LineCollection))
    np.testing.assert_allclose(np.asarray(dots.get_offsets()), space()["network"].sel(stimulus=3))
    np.testing.assert_allclose(np.asarray(dots.get_array()), space()["t_ms"])
    assert dots.get_clim() == way.get_clim() == (-2.5, 72.5)
    assert [text.get_text() for text in ax.texts] == ["#3: 3"]
    assert "projected" in ax.get_title(loc="left")


def test_colours_are_told_apart_without_red_and_green() -> None:
    """Simulated deuteranopia (Machado et al. 2009, severity 1): colours of one picture stay apart."""
    from cortexres.plots.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

    seen = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
    rgb = np.array([colors.to_rgb(name) for name in (VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    blind = linear @ seen.T
    distances = np.linalg.norm(blind[:, None] - blind[None], axis=-1) + 10 * np.eye(6)
    assert distances.min() > 0.08


FAULTS: list[tuple[str, Callable[[Axes], object]]] = [
    (
        "name=None, expected one of the scores over block and time: linear_cka, rsa",
        lambda ax: plots.similarity_map(scores(), ax),
    ),
    ("name='dsa', expected one of the scores", lambda ax: plots.block_curves(scores(), ax, name="dsa")),
    (
        "without t_ms, expected the time of each block: the result of compare.align",
        lambda ax: plots.similarity_map(scores(), ax, name="rsa", alignment=xr.Dataset(coords={"block": [0]})),
    ),
    (r"blocks \[99\], expected some of 0..12", lambda ax: plots.block_curves(scores(), ax, name="rsa", blocks=[99])),
    (
        "got a ceiling with each, expected ceiling, or lower and upper",
        lambda ax: plots.block_curves(scores(), ax, name="rsa", ceiling=xr.Dataset({"each": 1.0})),
    ),
    (
        "without t_ms, expected updates at their times",
        lambda ax: plots.updates_against_velocity(updates().drop_vars("t_ms"), ax),
    ),
    ("got 0 spectra, expected 1 to 6", lambda ax: plots.eigenvalue_plane({}, ax)),
    ("generator_real, generator_imag, expected a spec", lambda ax: plots.eigenvalue_plane({"a": scores()}, ax)),
    (
        "distance of 4 generators, expected that of the first two",
        lambda ax: plots.eigenvalue_plane(
            {"a": spectra()["network"]}, ax, distance=generator_distance(*spectra().values())
        ),
    ),
    ("without dissimilarity, expected dissimilarities", lambda ax: plots.dissimilarity_movie(scores(), ax)),
    (r"at=\[\] and columns=8, expected at least one", lambda ax: plots.dissimilarity_movie(movie(), ax, at=[])),
    ("expected two profiles over blocks", lambda ax: plots.lesion_profiles(scores(), ax)),
    ("expected the parts' sizes", lambda ax: plots.x_f_sum(scores(), ax)),
    ("name='rsa_mean', expected one of the scores over part", lambda ax: plots.x_f_sum(parts(), ax, name="rsa")),
    (
        "name='r2', expected a score over two dims: accuracy",
        lambda ax: plots.generalisation_matrix(matrix(), ax, name="r2"),
    ),
    ("expected latencies of blocks", lambda ax: plots.latency_against_depth(scores(), ax)),
    ("expected both sides in one space", lambda ax: plots.shared_trajectories(scores(), ax)),
    (r"ids \[77\], expected some of 0..15", lambda ax: plots.shared_trajectories(space(), ax, stimuli=[77])),
    (r"\(0, 5\), expected two of 0..1", lambda ax: plots.shared_trajectories(space(), ax, components=(0, 5))),
]


@pytest.mark.parametrize(("message", "call"), FAULTS)
def test_faults_are_named(message: str, call: Callable[[Axes], object], ax: Axes) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(ax)


def test_axes_without_a_figure_are_refused(ax: Axes) -> None:
    ax.remove()
    with pytest.raises(ArgumentError, match="axes that belong to no figure"):
        figure_of(ax)
