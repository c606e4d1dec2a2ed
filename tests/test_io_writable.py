"""A place is checked before the work, and nothing is made by looking."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortexres import io
from cortexres.errors import DataFileError


def test_a_file_old_or_new_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("older")
    for path in (tmp_path / "old", tmp_path / "new", tmp_path / "a" / "b" / "new"):
        assert io.check_writable(path) == path
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="it is a folder; give the name of a file"):
        io.check_writable(tmp_path)
    with pytest.raises(DataFileError, match="file is not a folder"):
        io.check_writable(tmp_path / "file" / "in" / "it")
    with pytest.raises(DataFileError, match=r"cannot write .*; choose another place"):
        io.check_writable(tmp_path / ("x" * 5000))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DataFileError, match="no permission to write in"):
        io.check_writable(tmp_path / "new")
