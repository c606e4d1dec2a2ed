"""Run the README's test command as it stands, in a fresh copy of the tree; then slow tests, and those with peers.

The copy holds what git tracks, with the changes of the working tree, so the virtual environment that the
command makes is new and no install step can hide. All together may take 60 minutes.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 60 * 60
NO_TESTS = 5  # pytest's exit code where the marker selects nothing
CLOSING_LINES = 15
SLOW = ".venv/bin/python -m pytest -m slow --timeout=3000"
OTHERS = (
    ".venv/bin/pip install -q -c constraints.txt -e '.[test,foreign,interop,peers]' && "
    ".venv/bin/python -m pytest -m 'slow or not slow' tests/test_nn_record_libraries.py tests/test_compare_peers_*.py "
    "tests/test_io_peers_*.py tests/test_io_recordings.py tests/test_io_exports.py"
)


def readme_command(heading: str) -> str:
    """Return the one command line of the fenced block under `heading` of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, flags=re.M | re.S)
    blocks = re.findall(r"^```\w*\n(.*?)^```", section.group(1), flags=re.M | re.S) if section else []
    if not blocks or len(blocks[0].strip().splitlines()) != 1:
        raise SystemExit(f".ci/run: README.md needs one fenced command line under the heading {heading!r}")
    return blocks[0].strip()


def copy_tree(target: Path) -> None:
    """Copy what git tracks, and new files it does not ignore, as they are in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run(command: str, cwd: Path, limit_s: float) -> tuple[int, list[str]]:
    """Run one shell command, passing its output on; return its exit code (124: time out) and last lines."""
    print(f"$ {command}", flush=True)
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True,
    )
    previous = signal.signal(signal.SIGALRM, lambda *_: _out_of_time(process))
    signal.alarm(max(int(limit_s), 1))
    lines: list[str] = []
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines = [*lines[-CLOSING_LINES:], line.rstrip()]
        code = process.wait()
    except TimeoutError:
        code = 124
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return code, lines[-CLOSING_LINES:]


def _out_of_time(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    raise TimeoutError


def main() -> int:
    """Run all parts until one fails, and return its exit code."""
    start = time.monotonic()
    parts = {"Test it": readme_command("Test it"), "slow tests": SLOW, "libraries of others": OTHERS}
    closing, code = [], 0
    with tempfile.TemporaryDirectory(prefix="cortexres-ci-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        for name, command in parts.items():
            lines = ["not run"]
            if code == 0:
                code, lines = run(command, tree, LIMIT_S - (time.monotonic() - start))
                code = 0 if code == NO_TESTS and command == SLOW else code
            closing += [f"-- {name}", *lines]
    print(f"\n==== closing lines, after {time.monotonic() - start:.0f} s ====")
    print("\n".join(closing))
    print("PASSED" if code == 0 else f"FAILED with exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
