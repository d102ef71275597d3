"""What the commands share that sample the exact posterior of one galaxy of a catalogue."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InputError
from . import cores, shared
from .robust import add_robust, with_floor
from .shared import option

if TYPE_CHECKING:
    from ..anpe import AmortizedPosterior
    from ..observations.photometry import Photometry
    from ..parameters import Prior
    from ..posterior.result import PosteriorResult
    from ..sps import SEDModel

__all__ = ["Target", "add_galaxy", "add_output", "print_posterior", "read_galaxy"]


class Target(NamedTuple):
    """A galaxy with what its posterior depends on."""

    galaxy: Photometry
    model: SEDModel
    prior: Prior
    network: AmortizedPosterior | None
    """None where the command line describes the model itself."""


def add_galaxy(parser: shared.Parser) -> None:
    """Add the catalogue, which of its galaxies, and model and prior."""
    shared.add_catalog(parser)
    which = parser.add_mutually_exclusive_group()
    option(which, "--row N", "row of the galaxy, counting from 0", type=int)
    option(which, "--id ID", "id of the galaxy")
    shared.add_posterior(parser)
    add_robust(parser)
    option(parser, "--bands SET", f"use no network, but a model in this {shared.BANDS_HELP}")
    option(parser, "--prior NAME", "with --bands", default="flat-dirichlet")
    option(parser, "--birth-cloud-age GYR", "with --bands (default: %(default)s Gyr)", default=0.1)


def add_output(parser: shared.Parser) -> None:
    """Add how many draws to keep, and where."""
    option(parser, "--draws N", "draws to keep", default=4000, least=1)
    shared.add_seed(parser)
    cores.add_threads(parser)
    option(
        parser,
        "--out FILE",
        "HDF5 file to write with the draws, for PosteriorResult.load",
        required=True,
    )


def read_galaxy(args: argparse.Namespace) -> Target:
    """Read the galaxy that the arguments name, with its model and prior."""
    from ..parameters import get_prior
    from ..samplers.walkers import reach_of
    from ..sps import SEDModel, load_ssp_grid

    if args.bands is None:
        network = shared.load(args)
        galaxy = with_floor(args, _pick(args, shared.read_catalog(args, network.bands, "flag")))
        _refuse(network.check(galaxy)[0])
        return Target(galaxy, network.model, network.prior, network)
    galaxy = with_floor(args, _pick(args, shared.read_catalog(args, args.bands, "flag")))
    _refuse(galaxy.problems[0])
    model = SEDModel(
        galaxy.bands,
        birth_cloud_age=args.birth_cloud_age,
        ssp=load_ssp_grid(args.ssp),
        redshift_max=reach_of(galaxy),
    )
    return Target(galaxy, model, get_prior(args.prior), None)


def _pick(args: argparse.Namespace, photometry: Photometry) -> Photometry:
    """The galaxy that is asked for; another row's problem is no reason to stop."""
    if args.id is not None:
        rows = [row for row, name in enumerate(photometry.ids) if name == args.id]
        if len(rows) != 1:
            few = ", ".join(photometry.ids[:5])
            raise InputError(
                f"{args.catalog} has {len(rows)} galaxies with the id {args.id!r}: give one of its "
                f"ids ({few}{', ...' if len(photometry) > 5 else ''}), or --row."
            )
        return photometry[rows[0]]
    if args.row is None and len(photometry) > 1:
        raise InputError(
            f"{args.catalog} has {len(photometry)} galaxies: choose one with --row or --id."
        )
    row = args.row or 0
    if not 0 <= row < len(photometry):
        raise InputError(f"{args.catalog} has the rows 0 to {len(photometry) - 1}, but no {row}.")
    return photometry[row]


def _refuse(problem: str) -> None:
    if problem:
        raise InputError(shared.as_sentence(problem))


def print_posterior(
    result: PosteriorResult, quality: Mapping[str, tuple[Any, str]] | None = None
) -> None:
    """Print medians and 68 % intervals of one galaxy.

    Further columns have, by their heads, values of all parameters and their format.
    """
    from ..quantities import NAMES

    quality = quality or {}
    summary = result.summary()
    print(f"Galaxy {result.ids[0]} at redshift {result.redshift[0]:g}: {result.badge[0]}")
    heads = "".join(f"{head:>9}" for head in quality)
    print(f"{'parameter':<12}{'median':>10}{'16 %':>10}{'84 %':>10}{heads}  unit")
    uncertain = ["redshift"] if "redshift_lo" in summary.colnames else []
    for k, name in enumerate([*NAMES, *uncertain]):
        middle, low, high = (summary[f"{name}{end}"][0] for end in ("", "_lo", "_hi"))
        more = "".join(f"{format(values[k], form):>9}" for values, form in quality.values())
        unit = summary[name].unit or ""
        print(f"{name:<12}{middle:>10.3f}{low:>10.3f}{high:>10.3f}{more}  {unit}")
    if "bad_band" in summary.colnames:
        band, probability = summary["bad_band"][0], summary["bad_band_probability"][0]
        print(f"The band most likely bad is {band}, with a probability of {probability:.2g}.")
