"""Provenance survives JSON and loses neither a seed's bits nor a unit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from cortexres.errors import ArgumentError
from cortexres.provenance import MAX_CHARACTERS, indented, provenance, read, versions


@dataclass(frozen=True)
class Spec:
    rate: float
    sizes: tuple[int, ...]


def test_says_what_ran_and_what_the_caller_adds() -> None:
    seed = 2**127 + 1
    record = json.loads(
        provenance(
            seed=seed,
            spec=Spec(2.5, (1, 2)),
            path=Path("a/b"),
            values=np.arange(3),
            scalar=np.float32(0.5),
            when=datetime(2020, 1, 2),
            mapping=MappingProxyType({"a": 1}),
        )
    )
    assert record["seed"] == seed
    assert record["spec"] == {"rate": 2.5, "sizes": [1, 2]}
    assert (record["path"], record["values"], record["scalar"]) == ("a/b", [0, 1, 2], 0.5)
    assert (record["when"], record["mapping"]) == ("2020-01-02T00:00:00", {"a": 1})
    assert record["python"].startswith("3.")
    assert record["versions"]["numpy"] == metadata.version("numpy")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["time_utc"])


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexres.provenance.PACKAGES", ("numpy", "surely-not-installed"))
    assert set(versions()) == {"numpy"}


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        (object(), "object <object"),
        (float("nan"), "cannot write as JSON"),
        (np.array(1.0).view(type("Quantity", (np.ndarray,), {"dim": "volt"})), "physical quantity"),
    ],
)
def test_what_json_cannot_say_is_refused(fact: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        provenance(fact=fact)


def test_standard_entries_cannot_be_overwritten() -> None:
    with pytest.raises(ArgumentError, match="python are standard entries"):
        provenance(python="2.7")


def test_it_imports_none_of_the_packages_it_names() -> None:
    code = (
        "import sys, cortexres.provenance as p; p.provenance();"
        " sys.exit(' '.join({'brian2', 'torch', 'sklearn', 'xarray', 'h5py'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_reads_what_it_wrote() -> None:
    record = read(provenance(seed=3, nested={"a": [{"b": 1.5}]}))
    assert record is not None
    assert (record["seed"], record["nested"]) == (3, {"a": [{"b": 1.5}]})
    assert indented('{"a": "é"}') == '{\n  "a": "é"\n}'


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[1]",
        '{"a":' * 100_000,
        '{"a":' + "[" * 40 + "]" * 40 + "}",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "' + "x" * MAX_CHARACTERS + '"}',
    ],
    ids=["text", "list", "very deep", "deep", "NaN", "infinite", "long"],
)
def test_texts_of_strangers_are_none_and_shown_as_they_are(text: str) -> None:
    assert read(text) is None
    assert indented(text) == text


def test_half_a_surrogate_is_shown_as_it_was_written() -> None:
    assert indented('{"a": "\\ud800"}') == '{"a": "\\ud800"}'
