"""A place is checked before the work, and nothing stays behind of the check."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortexres import io
from cortexres.errors import DataFileError


def test_a_file_old_or_new_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("older")
    for path in (tmp_path / "old", tmp_path / "new", tmp_path / "a" / "b" / "new"):
        assert io.check_writable(path) == path
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="it is a folder; give the name of a file"):
        io.check_writable(tmp_path)
    with pytest.raises(DataFileError, match=r"^cannot write [^:]*: [^:]*file is not a folder; choose another place$"):
        io.check_writable(tmp_path / "file" / "in" / "it")
    with pytest.raises(DataFileError, match=r"cannot write .*; choose another place"):
        io.check_writable(tmp_path / ("x" * 5000))
    with pytest.raises(DataFileError, match="File name too long"):  # the file beside it has a longer name
        io.check_writable(tmp_path / "new" / ("x" * 250))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_takes_no_file_is_found_by_trying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)  # what root meets where permissions would let it write
    with pytest.raises(DataFileError, match="Read-only file system; choose another place"):
        io.check_writable(tmp_path / "a" / "new")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux has /proc")
def test_nothing_is_written_in_a_folder_of_the_kernel_or_over_a_device() -> None:
    with pytest.raises(DataFileError, match=r"cannot write /proc/x.nc: .*; choose another place"):
        io.check_writable("/proc/x.nc")
    for write in (io.check_writable, lambda path: io.write_text(path, "text")):
        with pytest.raises(DataFileError, match="cannot write /dev/null: it is a device or pipe"):
            write("/dev/null")
    assert Path("/dev/null").is_char_device()
