"""The cache of compiled circuits: builds are whole, shared by processes, and do not stay for ever."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from cortexres.circuits import build_cache

NOW = 2e9
DAY = 24 * 3600


def build(folder: Path, said: str) -> Path:
    """Return `folder`, which has what a build consists of."""
    (folder / "static_arrays").mkdir(parents=True)
    (folder / "main").write_text(said)
    (folder / "layout.json").write_text(json.dumps({"synapses": [], "replay": {}}))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return a folder in which something was compiled."""
    build(tmp_path / "new" / "code", "new")
    return tmp_path / "new"


def test_an_account_without_a_home_still_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CORTEXRES_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert build_cache.folder() == Path("/somewhere/cortexres/builds")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert build_cache.folder().parts[-2:] == ("cortexres", "builds")


def test_what_another_process_built_meanwhile_is_kept(made: Path, tmp_path: Path) -> None:
    build(tmp_path / "place", "other")
    build_cache.keep(made, tmp_path / "place")
    assert (tmp_path / "place" / "main").read_text() == "other"


def test_a_build_that_something_half_removed_is_replaced(made: Path, tmp_path: Path) -> None:
    (build(tmp_path / "place", "half") / "main").unlink()
    build_cache.keep(made, tmp_path / "place")
    assert (tmp_path / "place" / "main").read_text() == "new"


def test_what_is_completed_between_look_and_removal_is_kept(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    (build(place, "half") / "main").unlink()
    rename = os.rename

    def late(old: Path, new: Path) -> None:
        if old == place:  # the other process is faster by a moment
            shutil.rmtree(place)
            build(place, "other")
        rename(old, new)

    monkeypatch.setattr(os, "rename", late)
    build_cache.keep(made, place)
    assert (place / "main").read_text() == "other"


def test_only_a_complete_build_is_used_and_use_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = build(tmp_path / "place", "built")
    os.utime(place, (1e9, 1e9))
    assert build_cache.use(place)
    assert place.stat().st_mtime > 1.5e9

    def refuse(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert build_cache.use(place)
    (place / "main").unlink()
    assert not build_cache.use(place)


def test_what_was_abandoned_or_not_used_for_long_goes(tmp_path: Path) -> None:
    ages = {
        **{"build-old": 1.1, "build-new": 0.9, "a" * 32: 31.0, "b" * 32: 29.0},
        **{"something else": 1000.0, "e" * 31: 1000.0},
    }
    for name, days in ages.items():
        build(tmp_path / name, name)
        os.utime(tmp_path / name, (NOW - days * DAY,) * 2)
    build_cache.tidy(tmp_path, now=NOW)
    assert {path.name for path in tmp_path.iterdir()} == {"build-new", "b" * 32, "something else", "e" * 31}


def test_what_cannot_be_removed_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_cache.tidy(tmp_path / "nowhere", now=NOW)
    place = build(tmp_path / ("a" * 32), "built")
    os.utime(place, (0, 0))

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "rename", refuse)
    build_cache.tidy(tmp_path, now=NOW)
    assert build_cache.use(place)
