"""The commands of the shelf of networks: networks, networks fetch, networks pack."""

from __future__ import annotations

import argparse

from . import shared
from .shared import option

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add networks, and its parts fetch and pack."""
    parser = shared.add_command(
        commands,
        "networks",
        "list the networks that are here; fetch and pack others",
        "Lists the networks that ship and those that were fetched, with their bands, the highest\n"
        "redshift, and what their calibration cards found. Any of them is taken as --posterior.",
        "sedflow-lab networks\n  sedflow-lab infer galaxies.csv --posterior mine --out r.ecsv",
        _list,
        "nothing was written.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_fetch(parts)
    _add_pack(parts)


def _add_fetch(parts: shared.Commands) -> None:
    parser = shared.add_command(
        parts,
        "fetch",
        "put a network on the shelf",
        "Fetches a network, an archive that 'networks pack' wrote or a folder that 'train' wrote,\n"
        "checks it, and puts it where its name finds it. A download that was cut off is made anew.",
        "sedflow-lab networks fetch https://example.org/mine.zip --sha256 0123...",
        _fetch,
        "nothing was put on the shelf.",
    )
    option(parser, "source SOURCE", "address or path of an archive (.zip), or a folder")
    option(parser, "--sha256 DIGEST", "SHA-256 of the network; an address needs it")
    option(parser, "--name NAME", "under which it is to be known (default: that of the source)")
    option(parser, "--ssp FILE", "stellar populations that it was trained with")


def _add_pack(parts: shared.Commands) -> None:
    parser = shared.add_command(
        parts,
        "pack",
        "write a network as an archive for others",
        "Writes a network as one file, and prints the SHA-256 that others fetch it with.",
        "sedflow-lab networks pack mine mine.zip",
        _pack,
        "nothing was written.",
    )
    option(parser, "network NAME", "a network that is here, or a folder that 'train' wrote")
    option(parser, "out OUT", "archive to write, .zip")


def _list(args: argparse.Namespace) -> None:
    from ..anpe.shelf import networks

    table = networks()
    for row in table[table["problem"] != ""]:
        shared.say(f"{row['name']}: {row['problem']}")
    shown = table["name", "bands", "redshift_max", "prior", "size", "efficiency", "ok", "goals"]
    print("\n".join(shown.pformat(max_lines=-1, max_width=-1, show_unit=True)))
    print("\n".join(f"SHA-256 of {row['name']}: {row['sha256']}" for row in table))
    print(
        "efficiency: median sampling efficiency of simulations; ok: share of them whose badge is "
        "ok; goals: of the calibration card, reached."
    )


def _fetch(args: argparse.Namespace) -> None:
    from ..anpe.shelf import fetch_network
    from ..sps import load_ssp_grid

    ssp = None if args.ssp is None else load_ssp_grid(args.ssp)
    folder = fetch_network(args.source, args.sha256, args.name, ssp, shared.is_interactive())
    print(f"The network is in {folder}: use it with --posterior {folder.name}.")


def _pack(args: argparse.Namespace) -> None:
    from ..anpe.shelf import pack_network

    digest = pack_network(args.network, args.out)
    print(f"The network is in {args.out}; its SHA-256, with which others fetch it, is {digest}.")
