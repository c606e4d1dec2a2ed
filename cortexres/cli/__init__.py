"""The `cortexres` command: every expected error is one line on stderr and exit code 2; Ctrl-C is 130."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from cortexres.cli.parser import build_parser
from cortexres.errors import CortexresError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    0; 1 where `verify` missed a target; 2 for an error the user can mend; 130 for Ctrl-C.
    """
    arguments = build_parser().parse_args(argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted; what was written before stays", 130)
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted; keep Python from flushing into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CortexresError as error:
        return _fail(str(error), 2)
    except MemoryError as error:
        return _fail(f"not enough memory ({error or 'no details'}); use fewer stimuli, trials or jobs", 2)
    except OSError as error:
        return _fail(_describe(error), 2)


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that --help, --version and a mistyped option need not wait for anything.
    from cortexres.cli import commands

    code = commands.run(arguments)
    sys.stdout.flush()
    return code


def _fail(message: str, code: int) -> int:
    # A message may quote something with line breaks in it; it is one line all the same.
    print(f"cortexres: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _describe(error: OSError) -> str:
    """What happened to which file, and what to do about the common causes."""
    advice = {
        errno.ENOSPC: "free some space or choose another --out",
        errno.EACCES: "check the permissions or choose another path",
        errno.EROFS: "choose another path",
        errno.ENOENT: "check the path",
    }
    what = error.strerror or str(error) or type(error).__name__
    where = f"{error.filename}: " if error.filename else ""
    hint = advice.get(error.errno or 0)
    return f"{where}{what}" + (f"; {hint}" if hint else "")
