"""What commands share: parsers, options, catalogues and progress."""

from __future__ import annotations

import argparse
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from .._files import expanded
from ..errors import InputError
from ..methods import AMORTIZED

if TYPE_CHECKING:
    from ..anpe import AmortizedPosterior
    from ..observations.photometry import Photometry

__all__ = [
    "BANDS_HELP",
    "DRAWS",
    "TABLES",
    "Commands",
    "Parser",
    "add_catalog",
    "add_command",
    "add_methods",
    "add_model_options",
    "add_posterior",
    "add_seed",
    "as_sentence",
    "check_path",
    "columns_of",
    "end_like_ctrl_c",
    "is_interactive",
    "load",
    "new_parser",
    "option",
    "read_catalog",
    "say",
    "spoken_warnings",
    "stop_on_interrupt",
    "warn_of",
]

BANDS_HELP = """\
band set: sdss-ugriz, sdss-2mass, sdss-wise, galex-sdss, decam-grz, legacy-south, legacy-north,
des-grizy, panstarrs-grizy, hsc-grizy, lsst-ugrizy or euclid; or filters with commas between them:
speclite's by name, your own as files of two columns (mine.txt: Angstrom, response per photon)"""

_MOST_WARNINGS = 5
_LARGEST = 2**31 - 1  # a seed that every generator takes, and more than can be made of anything

TABLES = (".ecsv", ".csv", ".fits")
"""Endings of tables that commands write."""

DRAWS = (".h5", ".hdf5")
"""Endings of the files of draws."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions, and names with hyphens in one piece."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=98)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are ours to print."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(f"{message} (see {self.prog} --help).")


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]
else:
    Commands = Any


def new_parser(prog: str, description: str, epilog: str) -> Parser:
    """Make a parser that keeps the line breaks of its texts."""
    return Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )


def add_command(
    commands: Commands,
    name: str,
    summary: str,
    description: str,
    example: str,
    run: Callable[[argparse.Namespace], int | None],
    when_stopped: str,
) -> Parser:
    """Add a command, with its help, what does the work, and what Ctrl-C leaves behind.

    The work may return an exit code. The last is the end of a sentence.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, when_stopped=when_stopped)
    return parser


def option(
    parser: argparse._ActionsContainer,
    names: str,
    meaning: str,
    *,
    least: int | None = None,
    **how: Any,
) -> None:
    """Add an option or argument, by its names as the help shows them: ``"-n, --number N"``.

    One that has no name for its value is a switch. A default settles the type, and is told at the
    end of the help. Whole numbers below `least` are refused; all else is as for argparse.
    """
    words = names.replace(",", "").split()
    flags = [word for word in words if word.startswith("-")] or words[:1]
    default, values = how.get("default"), words[len(flags) :]
    if values:
        how["metavar"] = values[0] if len(values) == 1 else tuple(values)
    elif not how:
        how["action"] = "store_true"
    if least is not None:
        how["type"] = _whole_number(least)
    elif isinstance(default, int | float):
        how.setdefault("type", type(default))
    if default not in (None, []) and "(default:" not in meaning:
        shown = " ".join(default) if isinstance(default, tuple) else "%(default)s"
        meaning += f" (default: {shown})"
    parser.add_argument(*flags, help=meaning, **how)


def _whole_number(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is too few: give {least} or more")
        if value > _LARGEST:
            raise argparse.ArgumentTypeError(f"{value} is too large: give {_LARGEST} at most")
        return value

    number.__name__ = "whole number"  # as the parser calls what it cannot read
    return number


def add_model_options(parser: Parser) -> None:
    """Add the settings of model and prior; one that is left out is None."""
    group = parser.add_argument_group(
        "model and prior", "What is left out is as in the simulations, if there are any."
    )
    option(group, "--bands SET", f"{BANDS_HELP} (default: sdss-ugriz)")
    option(
        group,
        "--prior NAME",
        "flat-dirichlet, or stick-breaking as in the published code (default: flat-dirichlet)",
    )
    option(
        group,
        "--birth-cloud-age GYR",
        "age below which stars sit in birth clouds (default: 0.1 Gyr; PROVABGS: 0.01 Gyr)",
        type=float,
    )
    option(group, "--redshift-max Z", "highest redshift (default: 0.2)", type=float)
    option(
        group,
        "--ssp FILE",
        "stellar populations made by 'sedflow-lab ssp' (default: the shipped grid, MIST-MILES)",
    )


def add_catalog(parser: Parser) -> None:
    """Add the catalogue and how to read it."""
    option(
        parser,
        "catalog CATALOG",
        "CSV, ECSV, FITS or other table: id, redshift, and for each band X flux_X with sigma_X or "
        "ivar_X [nanomaggies], or mag_X with mag_err_X [AB mag], corrected for Galactic "
        "extinction; redshift_sigma where redshifts are uncertain, and limit_X where there are "
        "upper limits; or the NASA-Sloan Atlas under the file name that 'nsa fetch' gave it",
    )
    option(
        parser,
        "--column ROLE=NAME",
        "a column that has another name, such as --column flux_u=FLUX_U; nothing after the = says "
        "that the band was not observed; may be repeated",
        action="append",
        default=[],
    )
    option(parser, "--limit-sigmas N", "sigma that upper limits are of", default=3.0)
    option(parser, "--hdu HDU", "which table of a FITS file or VOTable, by number or name")
    option(
        parser,
        "--extinction LAW",
        "correct fluxes for Galactic extinction by the column ebv, E(B-V) of the SFD maps: F99, "
        "CCM89, O94 or G23 (default: they are corrected)",
    )


def add_posterior(parser: Parser) -> None:
    """Add the trained posterior and the grid that it stands on."""
    option(
        parser,
        "--posterior NAME",
        "trained posterior: nsa-ugriz, legacy-grz, panstarrs-grizy or lsst-ugrizy, which ship, one "
        "that was fetched ('sedflow-lab networks'), or a folder made by 'sedflow-lab train'",
        default="nsa-ugriz",
    )
    option(
        parser,
        "--ssp FILE",
        "stellar populations that it was trained with (default: the shipped grid)",
    )


def add_seed(parser: Parser) -> None:
    """Add the seed."""
    option(parser, "--seed N", "the same seed gives the same numbers", default=0, least=0)


def add_methods(parser: Parser, default: tuple[str, ...], meaning: str) -> None:
    """Add the choice of some of the network's methods."""
    choices = [method for method in AMORTIZED if method != "auto"]
    option(parser, "--methods METHOD", meaning, nargs="+", choices=choices, default=default)


def load(args: argparse.Namespace) -> AmortizedPosterior:
    """Load the trained posterior that the arguments name, with its grid."""
    from ..anpe import load_posterior
    from ..sps import load_ssp_grid

    return load_posterior(args.posterior, ssp=load_ssp_grid(args.ssp))


def read_catalog(args: argparse.Namespace, bands: Any, on_bad: Any) -> Photometry:
    """Read the catalogue that the arguments name."""
    from ..observations import read_photometry
    from ..observations.checks import PhotometryWarning
    from ..observations.nsa import VERSIONS, read_nsa

    path = expanded(args.catalog)
    columns = columns_of(args)
    for version in VERSIONS:
        if path.name == f"nsa_{version}.fits" and not columns:
            return read_nsa(path, version, bands, on_bad=on_bad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PhotometryWarning)  # it is said below, as we say it
        photometry = read_photometry(
            path,
            bands,
            columns or None,
            on_bad,
            args.extinction,
            args.hdu,
            limit_sigmas=args.limit_sigmas,
        )
    if photometry.warning:
        say(f"warning: {photometry.warning}")
    return photometry


def columns_of(args: argparse.Namespace) -> dict[str, str | None]:
    """Columns that have other names, by role."""
    columns: dict[str, str | None] = {}
    for text in args.column:
        role, equals, name = text.partition("=")
        if not equals:
            raise InputError(f"--column {text} has no =: give it as --column flux_u=FLUX_U.")
        columns[role.strip()] = name.strip() or None
    return columns


def warn_of(problems: Iterable[str]) -> None:
    """Name the first galaxies that cannot be used, and count the others."""
    problems = [text for text in problems if text]
    for text in problems[:_MOST_WARNINGS]:
        say(f"warning: {as_sentence(text)}")
    if len(problems) > _MOST_WARNINGS:
        say(
            f"warning: {len(problems) - _MOST_WARNINGS} more galaxies cannot be used; the column "
            "'problem' says why."
        )


def as_sentence(problem: str) -> str:
    """Give a problem of a galaxy, which begins and ends as it likes, the form of a sentence."""
    return f"{problem[:1].upper()}{problem[1:].rstrip('.')}."


def say(text: str) -> None:
    """Print a message on the standard error stream, without disturbing a progress bar."""
    from tqdm import tqdm

    tqdm.write(f"sedflow-lab: {text}", file=sys.stderr)


@contextmanager
def spoken_warnings() -> Iterator[None]:
    """Let warnings be sentences for who uses the command, without the lines of Python."""
    with warnings.catch_warnings():
        as_python_does = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, UserWarning):
                say(f"warning: {as_sentence(str(message))}")
            else:
                as_python_does(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        if any(text.startswith("error") for text in sys.warnoptions):
            # Who has Python make errors of warnings means those of programs, not our sentences.
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UserWarning)
        yield


def is_interactive() -> bool:
    """Whether a person looks on, for whom progress bars are drawn."""
    return sys.stderr.isatty()


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event, for work that ends in good order then.

    A second one interrupts at once.
    """
    stop = threading.Event()
    with ExitStack() as handled:

        def handle(number: int, frame: Any) -> None:
            stop.set()
            handled.close()

        handled.enter_context(_handling(handle, signal.SIGINT, signal.SIGTERM))
        yield stop


def end_like_ctrl_c() -> AbstractContextManager[None]:
    """Let the system's wish that the process end (SIGTERM) be one of the user's (Ctrl-C)."""
    return _handling(signal.default_int_handler, signal.SIGTERM)


@contextmanager
def _handling(handler: Callable[[int, Any], None], *numbers: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # no signals come here
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def check_path(name: str | Path, endings: Collection[str]) -> Path:
    """Make sure that a file can be written under this name, before hours are spent on it."""
    path = expanded(name)
    if path.suffix.lower() not in endings:
        raise InputError(
            f"{path} cannot be written: give a name that ends in {', '.join(endings)}."
        )
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist: make it first.")
    return path
