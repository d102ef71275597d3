"""The command `sedflow-lab`."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper

from .._files import cannot_write
from .._version import __version__
from ..errors import SedflowError, WriteError
from . import GROUPS
from .claims import claimed
from .cores import at_most
from .shared import Parser, end_like_ctrl_c, new_parser, spoken_warnings

__all__ = ["build_parser", "main"]

_DESCRIPTION = """\
Posteriors of galaxies from broad-band photometry: twelve parameters of a stellar-population model,
from a trained network in milliseconds, corrected to the exact posterior, or by MCMC.
"""

_EPILOG = """\
to begin with:
  sedflow-lab demo                                   three real galaxies, in a few minutes
  sedflow-lab infer galaxies.csv --out results.ecsv  a catalogue of your own

"sedflow-lab COMMAND --help" explains a command, with an example."""

# Messages of the package speak of Python's arguments; on the command line they are options.
_OPTIONS = (
    (r"on_bad='(\w+)'", r"--on-bad \1"),
    (r"columns=\{'(\w+)': '([^']*)'\}", r"--column \1='\2'"),
    (r"columns=\{'(\w+)': None\}", r"--column \1="),
    (r"other_libraries=True", "--other-libraries"),
    (r"\burl=", "--url"),
    (r"\bfile=", "--file"),
    (r"\bssp=", "--ssp"),
    (r"\bhdu=", "--hdu"),
)
_OBSTACLES = {
    errno.ENOENT: "make its folder first, or give another name",
    errno.EEXIST: "a folder is to be there, so give another name, or move what stands in its place",
    errno.EISDIR: "a file is to be there, so give another name, or move what stands in its place",
    errno.ENOTDIR: "a file stands where a folder is to be, so give another name",
    errno.ENAMETOOLONG: "give a shorter name",
}
"""What to do about paths that nothing can be written to."""


def build_parser() -> Parser:
    """Build the parser of the whole command line."""
    parser = new_parser("sedflow-lab", _DESCRIPTION, _EPILOG)
    parser.add_argument("--version", action="version", version=f"sedflow-lab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for add_commands in GROUPS:
        add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 means done, 1 that a file cannot be written or that a check has found something wrong, 2 that
    the input cannot be used, 130 that Ctrl-C or the system (SIGTERM) ended it.
    """
    _steady_streams()
    parser = build_parser()
    try:
        args = parser.parse_args(argv)
        if args.command is None:
            parser.print_help()
            return 2
        threads = at_most(getattr(args, "threads", None))
        with end_like_ctrl_c(), claimed(args), threads, spoken_warnings():
            code = args.run(args) or 0
        sys.stdout.flush()
    except WriteError as error:
        return _complain(str(error), 1)
    except SedflowError as error:
        return _complain(_for_command_line(str(error)))
    except BrokenPipeError:
        # Whoever read the output, such as "head", has gone: no more of it, and no complaint.
        _leave_output()
        return 0
    except MemoryError as error:
        reason = str(error).strip().rstrip(".")
        text = f"This needs more memory than there is{f' ({reason})' if reason else ''}"
        return _complain(f"{text}: ask for fewer draws or galaxies at a time.", 1)
    except OSError as error:
        if (sentence := cannot_write(error)) is not None:
            if error.filename is None:  # the output itself
                _leave_output()
            return _complain(str(sentence), 1)
        if error.filename is None or error.strerror is None:
            raise
        remedy = _OBSTACLES.get(error.errno or 0, "give another name")
        return _complain(f"{error.filename} cannot be used ({error.strerror}): {remedy}")
    except KeyboardInterrupt as interrupt:
        print(f"\nsedflow-lab: stopped{_what_is_kept(args, interrupt)}", file=sys.stderr)
        return 130
    return code


def _steady_streams() -> None:
    """Escape what a terminal cannot show; what goes to a closed stream goes nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))
        elif isinstance(stream, TextIOWrapper):
            with suppress(OSError, ValueError):  # a file that a pipe has taken the place of
                stream.reconfigure(errors="backslashreplace")


def _leave_output() -> None:
    """Let what has been printed but cannot be written go nowhere."""
    with suppress(OSError, ValueError):  # it may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str, code: int = 2) -> int:
    sentence = " ".join(message.split()).rstrip(".")
    print(f"sedflow-lab: error: {sentence}.", file=sys.stderr)
    return code


def _for_command_line(message: str) -> str:
    for python, option in _OPTIONS:
        message = re.sub(python, option, message)
    return message


def _what_is_kept(args: object, interrupt: KeyboardInterrupt) -> str:
    text = str(interrupt) or getattr(args, "when_stopped", "")
    return f"; {text}" if text else "."


if __name__ == "__main__":
    sys.exit(main())
