"""Write a file beside its place and rename it there, so that no reader ever sees half of it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from cortexres.errors import DataFileError

ABANDONED_S = 24 * 3600  # age at which a temporary file of another machine counts as left over


def check_writable(path: str | Path) -> Path:
    """Return `path` if a file can be written there, so that long work need not end in a refusal.

    No missing folder is made: a file is made, and removed at once, in the nearest folder that exists.

    Raises
    ------
    DataFileError
        Where `path` is a folder or a device, its folder cannot be made or is a file, or takes no new file.
    """
    path = Path(path)
    try:
        _refuse_other_than_file(path)
        folder = path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise DataFileError(f"cannot write {path}: {folder} is not a folder; choose another place")
        # Permissions do not tell: they let root write everywhere, also in /proc, where nothing can be made.
        probe = _temporary(folder / path.name)
        probe.touch(exist_ok=False)
        probe.unlink()
    except DataFileError:
        raise
    except (OSError, ValueError) as error:
        raise DataFileError(f"cannot write {path}: {_reason(error)}; choose another place") from error
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Return `path`, which now holds `text` in UTF-8; what stood there before stays until all is written.

    Raises
    ------
    DataFileError
        Where it cannot be written; an older file stays as it was.
    """
    return write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes | memoryview) -> Path:
    """Return `path`, which now holds `data`; what stood there before stays until all is written.

    Missing folders are made. A full disk, Ctrl-C or any other interruption leaves the older file and nothing beside
    it; what a killed process left behind is removed when the same file is written again.

    Raises
    ------
    DataFileError
        Where it cannot be written; an older file stays as it was.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield an empty file beside `path`, which takes its name where the block ends without an error.

    What stood there before stays until then; an error or Ctrl-C in the block leaves it, and nothing beside it.

    Raises
    ------
    DataFileError
        Where the file cannot be written.
    """
    try:
        path = Path(path)
        _refuse_other_than_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        temporary = _temporary(path)
        temporary.touch(exist_ok=False)  # refuses to write through a link that someone else put in the way
    except DataFileError:
        raise
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:  # Ctrl-C too must leave nothing behind
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, DataFileError):
            raise _cannot_write(path, error) from error
        raise
    _sync_folder(path.parent)


def _cannot_write(path: str | Path, error: OSError | ValueError) -> DataFileError:
    return DataFileError(
        f"cannot write {path}: {_reason(error)}; nothing was changed, make room or choose another place"
    )


def _refuse_other_than_file(path: Path) -> None:
    if path.is_dir():
        raise DataFileError(f"cannot write {path}: it is a folder; give the name of a file")
    if path.exists() and not path.is_file():  # root would put a file in the place of /dev/null
        raise DataFileError(f"cannot write {path}: it is a device or pipe; give the name of a file")


def _reason(error: OSError | ValueError) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_machine()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power failure, where the system can."""
    # The file is complete either way, so a file system that cannot do this is no error.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:32] or "unknown"


def _remove_left_over(path: Path) -> None:
    """Remove temporary files of `path` whose writer is no longer alive."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.([A-Za-z0-9-]+)\.(\d+)\.[0-9a-f]{{8}}\.tmp")
    for file in path.parent.iterdir():
        match = pattern.fullmatch(file.name)
        if match and _is_abandoned(file, match[1], int(match[2])):
            with contextlib.suppress(OSError):
                file.unlink()


def _is_abandoned(file: Path, machine: str, process: int) -> bool:
    # On Windows os.kill ends the process it is asked about.
    if machine == _machine() and os.name == "posix":
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            return False
        return False
    try:
        return time.time() - file.stat().st_mtime > ABANDONED_S
    except OSError:
        return False
