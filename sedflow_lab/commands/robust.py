"""Options for data that the model cannot make: an error floor, and bands that may be bad."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .shared import Parser, option

if TYPE_CHECKING:
    from ..exact import Outliers
    from ..observations.photometry import Photometry

__all__ = ["add_robust", "floor_of", "outliers_of", "robust_words", "with_floor"]


def add_robust(parser: Parser) -> None:
    """Add the error floor and the probability of bad bands."""
    option(
        parser,
        "--error-floor FRACTION",
        "add this fraction of the flux to the uncertainties in quadrature, in all bands (0.05) or "
        "in some (u=0.1,z=0.05); results record it (default: none)",
    )
    option(
        parser,
        "--outliers P",
        "let each band be bad with this probability, which is summed over in the likelihood "
        "(0.01 where no number follows); not with the method fast (default: all bands are good)",
        nargs="?",
        const=0.01,
        type=float,
    )


def with_floor(args: argparse.Namespace, photometry: Photometry) -> Photometry:
    """The photometry with the error floor that the arguments give."""
    floor = floor_of(args)
    return photometry if floor is None else photometry.with_error_floor(floor)


def floor_of(args: argparse.Namespace) -> float | dict[str, float] | None:
    """The error floor, as `Photometry.with_error_floor` takes it; None where none is given."""
    if args.error_floor is None:
        return None
    named = [part.partition("=") for part in args.error_floor.split(",")]
    try:
        if len(named) == 1 and not named[0][1]:
            return float(args.error_floor)
        return {name.strip(): float(value) for name, _, value in named}
    except ValueError:
        raise InputError(
            f"--error-floor {args.error_floor} is no fraction of the flux: give it as 0.05, or by "
            "bands as u=0.1,z=0.05."
        ) from None


def outliers_of(args: argparse.Namespace) -> Outliers | None:
    """Bands that may be bad, as the arguments say."""
    from ..exact import Outliers

    return None if args.outliers is None else Outliers(args.outliers)


def robust_words(args: argparse.Namespace) -> list[str]:
    """The options as they are given on a command line."""
    given: dict[str, Any] = {"--error-floor": args.error_floor, "--outliers": args.outliers}
    return [f"{name} {value}" for name, value in given.items() if value is not None]
