"""The main job on a tiny circuit: every file is there, keeps its schema, and says the same as the shell's steps."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cortexres import bridge, circuits, controls, demo, io, stimuli, summary
from cortexres.definitions import Circuit
from cortexres.errors import ArgumentError, DataFileError, ValidityError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_circuit: Circuit) -> demo.Options:
    """Return options for seconds instead of minutes: 10 digits, 2 trials of 50 ms, numpy."""
    return demo.Options(
        name="tiny",
        out=tmp_path_factory.mktemp("results"),
        circuit=tiny_circuit,
        n_stimuli=10,
        trials=2,
        duration_ms=50.0,
        dt_ms=10.0,
        target="numpy",
        jobs=1,
        epochs=5,
        permutations=20,
        progress=False,
    )


@pytest.fixture(scope="module")
def outcome(options: demo.Options) -> demo.Outcome:
    """Return the outcome of one run of the demo."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two trials leave the ceilings uncertain
        warnings.simplefilter("ignore", DeprecationWarning)  # pyparsing's, from Brian2
        return demo.run(options)


def test_every_file_is_written(outcome: demo.Outcome) -> None:
    names = {path.name for path in outcome.folder.iterdir()}
    assert names >= {"stimuli.nc", "brain.nc", "network.nc", "scores.nc", "report.html"}
    assert names >= {f"{kind}_{model}_trained.nc" for kind in ("network", "scores") for model in ("tied", "untied")}
    assert names >= {
        f"{figure}.png"
        for figure in ("raster_and_rates", "rates_against_blocks", "score_map", "x_and_f", "model_comparison")
    }
    assert not [name for name in names if name.endswith(".tmp")]


@pytest.mark.parametrize("kind", ["stimuli", "brain", "network", "scores"])
def test_every_dataset_keeps_its_schema(outcome: demo.Outcome, kind: str) -> None:
    io.load(outcome.folder / f"{kind}.nc", kind=kind)


def test_table_has_the_network_its_alternatives_and_its_bounds(outcome: demo.Outcome) -> None:
    models = [str(row["model"]) for row in outcome.rows]
    assert models[:3] == ["derived network", "tied, untrained", "tied, trained"]
    for words in ("shuffled", "W = 0", "input x alone", "constant", "permuted stimuli", "ceiling", "half the trials"):
        assert any(words in model for model in models)
    assert all("linear map R2" in row for row in outcome.rows[:3])
    assert "state R2" in outcome.rows[0]
    assert "state R2" not in outcome.rows[1]  # a trained network has other units


def test_report_stands_alone(outcome: demo.Outcome) -> None:
    page = outcome.report.read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "<script" not in page
    assert 'src="http' not in page


def test_brain_is_what_simulate_gives(outcome: demo.Outcome, options: demo.Options, tiny_circuit: Circuit) -> None:
    # A run (stimulus, trial) has a random stream of its own, so one stimulus alone is the same.
    images = stimuli.digits(10, rng=0).isel(stimulus=[4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        alone = circuits.simulate(
            tiny_circuit,
            images,
            trials=2,
            duration_ms=50.0,
            bin_ms=10.0,
            rng=1,
            target="numpy",
            progress=False,
        )
    whole = io.load(outcome.folder / "brain.nc", kind="brain").isel(stimulus=[4])
    np.testing.assert_array_equal(whole["response"], alone["response"])


def test_network_is_refused_before_anything_is_simulated(
    options: demo.Options, tiny_circuit: Circuit, tmp_path: Path
) -> None:
    silent = replace(tiny_circuit, populations=tuple(replace(p, noise_mV=0.1) for p in tiny_circuit.populations))
    with pytest.raises(ValidityError, match="noise"):
        demo.run(replace(options, out=tmp_path, circuit=silent))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused_before_anything_else(
    options: demo.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "residual_network", lambda *_, **__: pytest.fail("work began"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="file is not a folder; choose another place"):
        demo.run(replace(options, out=tmp_path / "file" / "x"))


def test_results_that_exist_stay_where_the_run_is_interrupted(
    options: demo.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(circuits, "simulate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo.run(replace(options, out=tmp_path))
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["network.nc", "stimuli.nc"]


def test_images_without_classes_train_nothing(options: demo.Options, tiny_circuit: Circuit) -> None:
    net = bridge.residual_network(tiny_circuit, dt_ms=10.0, duration_ms=50.0)
    images = stimuli.digits(10, rng=0).drop_vars("label")
    notes: list[str] = []
    assert controls.trained_networks(
        net, images, other_images=None, epochs=1, seed=0, notes=notes, progress=False
    ) == {}
    assert "0 classes" in notes[0]


def test_quick_is_smaller() -> None:
    full = demo.Options()
    small = demo.quick(full)
    assert (full.n_stimuli, full.trials) == (40, 20)
    assert (small.n_stimuli, small.trials) == (16, 8)
    assert small.folder == Path("results/demo")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp"])
def test_name_is_one_word(name: str) -> None:
    with pytest.raises(ArgumentError, match="plain word"):
        demo.Options(name=name)


# The scores of one network


def test_network_that_is_the_brain_scores_high(brain_and_network: tuple[xr.Dataset, xr.Dataset]) -> None:
    scores = summary.score(*brain_and_network, rng=0, permutations=20)
    assert float(scores["r2"]) > 0.95
    assert float(scores["linear_map_r2"]) > 0.95
    assert float(scores["update_correlation"]) > 0.9
    assert float(scores["linear_cka_diagonal"]) > 0.95


def test_network_of_other_units_has_no_state_scores(brain_and_network: tuple[xr.Dataset, xr.Dataset]) -> None:
    brain, network = brain_and_network
    other = network.isel(unit=[0, 1, 2]).drop_vars(["name", "t_ms"])
    scores = summary.score(brain, other, rng=0, permutations=20)
    assert "r2" not in scores
    assert "linear_map_r2" in scores
    assert summary.row("other", scores)["model"] == "other"


def test_few_stimuli_have_no_linear_map(brain_and_network: tuple[xr.Dataset, xr.Dataset]) -> None:
    brain, network = (data.isel(stimulus=slice(6)) for data in brain_and_network)
    scores = summary.score(brain, network, rng=0, permutations=20)
    assert "linear_map_r2" not in scores
    assert "r2" in scores


def test_same_seed_same_scores(brain_and_network: tuple[xr.Dataset, xr.Dataset]) -> None:
    first, second = (summary.score(*brain_and_network, rng=3, permutations=20) for _ in range(2))
    xr.testing.assert_equal(first, second)


def test_text_table_aligns_wraps_its_header_and_dashes() -> None:
    text = summary.text_table([{"model": "a", "shape R2, denoised": 0.5}, {"model": "longer", "y": float("nan")}])
    assert text.splitlines() == [
        "        shape R2,   ",
        "model    denoised  y",
        "--------------------",
        "a           0.500  -",
        "longer          -  -",
    ]


# The README and the script


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_script_runs_as_it_is(tmp_path: Path) -> None:
    script = ROOT / "simulations" / "cortex_vs_resnet.py"
    done = subprocess.run([sys.executable, script, "--quick"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "untied ResNet" in done.stdout
    io.load(tmp_path / "results" / "cortex_vs_resnet" / "scores.nc", kind="scores")


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("block", [1, 2])
def test_readme_lines_of_python_run_as_written(tmp_path: Path, block: int) -> None:
    code = (ROOT / "README.md").read_text().split("```python\n")[block].split("```")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
