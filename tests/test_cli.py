"""The command: exit codes, one-line errors, and files that stay whole."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cortexres import circuits, demo, io, stimuli, summary
from cortexres.cli import commands, main
from cortexres.cli.parser import STIMULI
from cortexres.definitions import Circuit, list_models, load_verification
from cortexres.errors import ArgumentError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command line in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: object) -> tuple[int, str, str]:
        try:
            code = main([str(word) for word in argv])
        except SystemExit as stop:  # argparse's own way out
            code = int(str(stop.code))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def assert_one_line(result: tuple[int, str, str], *words: str) -> None:
    """Check that a command failed with exit code 2 and one line that says `words`."""
    code, _, error = result
    assert code == 2
    assert len(error.strip().splitlines()) == 1
    assert error.startswith("cortexres: error: ")
    assert "Traceback" not in error
    for word in words:
        assert word in error


@pytest.fixture
def files(brain_and_network: tuple[xr.Dataset, xr.Dataset], tmp_path: Path) -> tuple[Path, Path]:
    """Return a brain file and a network file of the same stimuli."""
    brain, network = brain_and_network
    io.save(brain, tmp_path / "brain.nc")
    io.save(network, tmp_path / "network.nc")
    return tmp_path / "brain.nc", tmp_path / "network.nc"


# What works


def test_help_and_version(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in ("demo", "models", "verify", "simulate", "record", "compare"))
    assert run("--version")[0] == 0


def test_models_lists_every_definition_with_its_source_and_targets(run: Run) -> None:
    code, out, _ = run("models")
    assert code == 0
    for model in list_models("circuits"):
        assert model.name in out
        assert model.source in out
        assert all(variant in out for variant in model.variants)
        targets = load_verification(model.path).targets
        assert f"{len(targets)} targets" in out
        assert all(target.quantity in out for target in targets)


def test_record_then_compare_with_a_recording(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    brain, network = files
    code, out, _ = run("compare", brain, network, "--permutations", 50, "--out", tmp_path / "c")
    assert code == 0
    assert "state R2" in out
    scores = io.load(tmp_path / "c" / "scores.nc", kind="scores")
    assert float(scores["r2"]) > 0.95
    assert {path.name for path in (tmp_path / "c").iterdir()} == {
        "report.html",
        "scores.nc",
        "score_map.png",
        "rates_against_blocks.png",
    }


def test_compare_takes_one_stage_of_several(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    brain, network = files
    tree = xr.DataTree.from_dict(dict.fromkeys(("stage_0", "stage_1"), io.load(network)))
    tree.to_netcdf(tmp_path / "stages.nc", engine="h5netcdf")
    compare = ["compare", brain, tmp_path / "stages.nc", "--permutations", 20, "--out", tmp_path / "c"]
    assert_one_line(run(*compare), "holds the stages stage_0, stage_1", "--stage")
    code, out, error = run(*compare, "--stage", "stage_1")
    assert code == 0, error
    assert "state R2" in out


def test_record_writes_a_network_that_keeps_the_schema(run: Run, tmp_path: Path) -> None:
    code, out, error = run("record", "ei_assemblies", "--stimuli", 4, "--out", tmp_path / "n.nc")
    assert (code, error) == (0, "")
    assert out.strip() == str(tmp_path / "n.nc")
    network = io.load(tmp_path / "n.nc", kind="network")
    assert dict(network.sizes) == {"stimulus": 4, "block": 41, "unit": 16}


def test_simulate_hands_its_options_on(
    run: Run, brain_and_network: tuple[xr.Dataset, xr.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}

    def simulate(circuit: Circuit, stimuli: xr.Dataset, **options: object) -> xr.Dataset:
        seen.update(options, circuit=circuit.name, stimuli=stimuli.sizes["stimulus"])
        return brain_and_network[0]

    monkeypatch.setattr(circuits, "simulate", simulate)
    words = "--images patterns --stimuli 6 --trials 3 --duration 60 --seed 4 --target numpy --jobs 1"
    code, out, _ = run("simulate", "ei_assemblies", *words.split())
    assert (code, out.strip()) == (0, "brain.nc")
    expected = {
        "circuit": "ei_assemblies",
        "stimuli": 6,
        "trials": 3,
        "duration_ms": 60.0,
        "bin_ms": 5.0,
        "settle_ms": 150.0,
        "rng": 5,
        "connectivity_rng": None,
        "target": "numpy",
        "jobs": 1,
    }
    assert seen == expected
    io.load("brain.nc", kind="brain")
    words += " --bin 2 --settle 0 --connectivity-seed 7 --out b.nc"
    assert run("simulate", "ei_assemblies", *words.split())[:2] == (0, "b.nc\n")
    assert seen == {**expected, "bin_ms": 2.0, "settle_ms": 0.0, "connectivity_rng": 7}


def test_simulate_takes_variants_parameters_and_scale(
    run: Run, brain_and_network: tuple[xr.Dataset, xr.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Circuit, xr.Dataset | None]] = []

    def simulate(circuit: Circuit, stimuli: xr.Dataset | None, **_: object) -> xr.Dataset:
        seen.append((circuit, stimuli))
        return brain_and_network[0]

    monkeypatch.setattr(circuits, "simulate", simulate)
    words = ["--set", "projections.I->E.weight=-0.2 mV", "--set", "populations.E.size=40", "--set", "method=exact"]
    assert run("simulate", "brunel_2000:B", *words, "--scale", "0.5")[0] == 0
    circuit, images = seen[0]
    assert images is None, "a circuit without a front end was shown digits"
    inhibition = {q.target: q.weight_mV for q in circuit.projections if q.source == "I"}
    # Variant B has -0.6 mV; weights grow by the root of two with half the synapses.
    assert inhibition == {"E": pytest.approx(-0.2 * 2**0.5), "I": pytest.approx(-0.6 * 2**0.5)}
    assert circuit.population("E").size == 20
    assert circuit.method == "exact"
    assert run("simulate", "ei_assemblies", "--images", "none")[0] == 0
    assert seen[1][1] is None


def test_simulate_writes_spikes_where_asked(run: Run) -> None:
    small = ["--set", "populations.*.size=10", "--set", "projections.*.in_degree=5"]
    options = "--spikes --images patterns --stimuli 1 --trials 1 --duration 20 --settle 5 --target numpy"
    code, out, error = run("simulate", "ei_assemblies", *small, *options.split())
    assert (code, out.strip()) == (0, "spikes.nc"), error
    assert io.load("spikes.nc", kind="spikes").sizes["spike"] > 0


def test_a_stimulus_file_gives_its_first_images_or_all(run: Run, tmp_path: Path) -> None:
    io.save(stimuli.patterns(6, rng=0), tmp_path / "s.nc")
    for words, count in ((["--stimuli", "4"], 4), ([], 6)):
        code, _, _ = run("record", "ei_assemblies", "--images", "s.nc", "--duration", 20, *words)
        assert code == 0
        assert list(io.load("network.nc")["stimulus"].values) == list(range(count))


@pytest.mark.parametrize(
    ("words", "counts"),
    [("", (40, 20)), ("--quick", (16, 8)), ("--quick --stimuli 5 --trials 3", (5, 3)), ("--trials 4", (40, 4))],
)
def test_demo_takes_its_numbers_from_the_options(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: str, counts: tuple[int, int]
) -> None:
    seen: list[demo.Options] = []

    def stop(options: demo.Options) -> None:
        seen.append(options)
        raise ArgumentError("far enough")

    monkeypatch.setattr(demo, "run", stop)
    assert_one_line(run("demo", *words.split()), "far enough")
    assert_one_line(run("demo", "--images", "patterns", *words.split()), "far enough")
    digits, patterns = seen
    assert (digits.n_stimuli, digits.trials) == (patterns.n_stimuli, patterns.trials) == counts
    assert digits.images is None
    assert patterns.images is not None
    assert patterns.images.sizes["stimulus"] == counts[0]


def test_help_names_the_numbers_of_the_demo(run: Run) -> None:
    full, quick = demo.Options(), demo.quick(demo.Options())
    assert full.n_stimuli == STIMULI
    text = " ".join(run("demo", "--help")[1].split())
    assert f"default: {full.n_stimuli}, demo --quick: {quick.n_stimuli}" in text
    assert f"default: {full.trials}, quick: {quick.trials}" in text


@pytest.mark.filterwarnings("default")
def test_compare_reports_warnings_and_all_provenance(
    run: Run,
    brain_and_network: tuple[xr.Dataset, xr.Dataset],
    files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brain, network = brain_and_network
    io.save(brain.assign_attrs(cortexres_provenance='{"seed": 98765}'), files[0])
    io.save(network.assign_attrs(cortexres_provenance="{" + '"a":[' * 5000), files[1])
    score = summary.score

    def warn(*args: xr.Dataset, **options: int) -> xr.Dataset:
        warnings.warn("mind the gap", UserWarning, stacklevel=2)
        return score(*args, **options)

    monkeypatch.setattr(summary, "score", warn)
    code, _, error = run("compare", *files, "--permutations", 20, "--out", "c")
    assert code == 0
    assert "note: mind the gap" in error
    page = Path("c/report.html").read_text()
    assert all(word in page for word in ("mind the gap", "98765", "brain&#34;: {", "scores&#34;: {"))


@pytest.mark.parametrize("text", ["[" * 200_000, '{"circuit":' + "[" * 500 + "]" * 500 + "}", '{"circuit": 3}', "no"])
def test_provenance_of_strangers_holds_no_circuit(text: str) -> None:
    assert commands._circuit_of(text) is None


# What is typed wrongly


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["demoo"], ["'demoo'", "did you mean 'demo'?"]),
        (["demo", "--trails", "3"], ["--trails", "did you mean '--trials'?"]),
        (["demo", "--trials", "0"], ["got '0'", "whole number from 1"]),
        (["demo", "--trials", "many"], ["got 'many'"]),
        (["demo", "--seed", "-1"], ["got '-1'", "whole number from 0"]),
        (["demo", "--target", "cuda"], ["'cuda'", "cpp_standalone"]),
        (["demo", "--name", "a/b"], ["'a/b'", "plain word"]),
        (["record", "ei_assemblies", "--dt", "nan"], ["got 'nan'", "time in ms above 0 and below 1e+06"]),
        (["record", "ei_assemblies", "--dt", "fast"], ["got 'fast'"]),
        (["record", "ei_assemblies", "--dt", "3"], ["whole number of blocks"]),
        (["record", "ei_assemblies", "--dt", "1e6"], ["got '1e6'", "below 1e+06"]),
        (["simulate"], ["MODEL"]),
        (["simulate", "ei_assemblies", "--settle", "-1"], ["got '-1'", "from 0 and below"]),
        (["simulate", "ei_assemblies", "--scale", "1.5"], ["got '1.5'", "above 0 and up to 1"]),
        (["simulate", "ei_assemblies", "--set", "dt"], ["got 'dt'", "expected PATH=VALUE"]),
        (["simulate", "ei_assemblies", "--set", "dt=fast"], ["dt"]),
        (["simulate", "ei_assemblies", "--set", "populations.X.size=3"], ["no parameter 'populations.X.size'"]),
        (["simulate", "ei_assemblies:B"], ["no variant 'B'"]),
        (["verify"], ["MODEL"]),
        ([], ["COMMAND"]),
    ],
)
def test_wrong_words_are_named(run: Run, argv: list[str], words: list[str]) -> None:
    assert_one_line(run(*argv), *words)


@pytest.mark.parametrize("command", [["record"], ["simulate"], ["verify"], ["demo", "--circuit"]])
def test_unknown_model_gives_the_near_names(run: Run, command: list[str]) -> None:
    assert_one_line(run(*command, "ei_assemblis"), "'ei_assemblis'", "did you mean 'ei_assemblies'?")


# Bad files


def test_missing_files(run: Run) -> None:
    assert_one_line(run("compare", "no.nc", "network.nc"), "no.nc", "does not exist")
    assert_one_line(run("record", "no.toml"), "no.toml")
    assert_one_line(run("demo", "--images", "nowhere"), "nowhere", "does not exist")
    assert_one_line(run("demo", "--images", "no.nc"), "no.nc", "does not exist")


def test_a_file_that_is_no_netcdf(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.nc").write_text("not HDF5")
    assert_one_line(run("compare", "x.nc", "x.nc"), "x.nc")


def test_folder_without_images(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_one_line(run("demo", "--images", tmp_path / "empty"), "empty", "images")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "', 'colour = "red"\ntitle = "', ["colour"]),
        ("size = 500", "size = -500", ["size", "-500"]),
        ('tau_m = "20 ms"', 'tau_m = "-20 ms"', ["tau_m"]),
        ("[drive]", "[drive", ["mine.toml", "TOML"]),
    ],
)
def test_bad_definition_is_named(run: Run, tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    text = next(model for model in list_models("circuits") if model.name == "ei_assemblies").path.read_text()
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    assert_one_line(run("record", "mine.toml"), *words)


def test_nan_in_a_dataset(run: Run, brain_and_network: tuple[xr.Dataset, xr.Dataset], files: tuple[Path, Path]) -> None:
    brain, _ = brain_and_network
    brain["response"].values[3, 0, 0, 0] = np.nan
    brain.to_netcdf(files[0], engine="h5netcdf")
    assert_one_line(run("compare", *files), "response", "NaN")


def test_negative_rate_in_a_dataset(
    run: Run, brain_and_network: tuple[xr.Dataset, xr.Dataset], files: tuple[Path, Path]
) -> None:
    brain, _ = brain_and_network
    brain["response"].values[3, 0, 0, 0] = -1.0
    brain.to_netcdf(files[0], engine="h5netcdf")
    assert_one_line(run("compare", *files), "response", "negative")


def test_other_stimuli(run: Run, brain_and_network: tuple[xr.Dataset, xr.Dataset], files: tuple[Path, Path]) -> None:
    _, network = brain_and_network
    io.save(network.assign_coords(stimulus=np.arange(12) + 2), files[1])
    assert_one_line(run("compare", *files), "stimulus ids differ", "12, 13")


def test_brain_and_network_swapped(run: Run, files: tuple[Path, Path]) -> None:
    assert_one_line(run("compare", *reversed(files)), "brain")


# What the machine does


@pytest.mark.parametrize("command", [["simulate", "ei_assemblies"], ["record", "ei_assemblies"], ["compare", "x", "y"]])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    run: Run, tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuits, "simulate", None)
    (tmp_path / "file").write_text("")
    assert_one_line(run(*command, "--out", "file/in/it"), "cannot write file/in/it", "file is not a folder")


def test_full_disk_leaves_the_older_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "n.nc").write_bytes(b"older")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert_one_line(run("record", "ei_assemblies", "--stimuli", 4, "--out", "n.nc"), "No space left")
    assert (tmp_path / "n.nc").read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir()] == ["n.nc"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "brain.nc"), ["brain.nc: No space", "free some space"]),
        (PermissionError(errno.EACCES, "Permission denied", "x"), ["x: Permission denied", "permissions"]),
        (OSError(), ["OSError"]),
        (MemoryError(), ["not enough memory"]),
    ],
)
def test_errors_of_the_machine(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, words: list[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(circuits, "simulate", fail)
    assert_one_line(run("simulate", "ei_assemblies"), *words)


def test_ctrl_c_ends_with_130_and_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(circuits, "simulate", interrupt)
    code, _, error = run("demo", "--quick", "--stimuli", 12)
    assert code == 130
    assert error.strip().splitlines()[-1] == "cortexres: error: interrupted; what was written before stays"
    assert "Traceback" not in error
    # What was made before the simulation is there, whole.
    io.load(tmp_path / "results" / "demo" / "network.nc", kind="network")
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_reader_that_stops_early_is_no_error() -> None:
    code = "import sys; from cortexres.cli import main; sys.exit(main(['models']))"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.close()
        assert writer.stderr.read() == b""
    assert writer.returncode == 0
