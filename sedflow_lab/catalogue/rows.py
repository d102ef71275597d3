"""The galaxies of a catalogue, as many at a time as are asked for, and what they all are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..observations.blocks import read_blocks
from ..observations.photometry import Photometry

if TYPE_CHECKING:
    from ..anpe import AmortizedPosterior

__all__ = ["Scan", "Source", "identity", "in_chunks", "scan", "source_of"]

Source = Callable[[], Iterator[Photometry]]
"""Reads a catalogue from its beginning, in blocks of any size."""

_AT_ONCE = 4096
_SHOWN = 5  # problems


class Scan(NamedTuple):
    """What a catalogue holds.

    Attributes
    ----------
    galaxies : int
    identity : str
        Hash of all that is measured.
    settings : dict
        Of the photometry, as `Photometry.settings` has them; and whether redshifts are uncertain.
    problems : list of str
        Sentences about galaxies that cannot be inferred, the first few and how many more.
    """

    galaxies: int
    identity: str
    settings: dict[str, Any]
    problems: list[str]


def source_of(
    catalogue: str | Path | Photometry,
    posterior: AmortizedPosterior,
    error_floor: float | Mapping[str, float] | None,
    **reading: Any,
) -> Source:
    """What reads a catalogue for a posterior; `reading` are keywords of `read_blocks`."""

    def blocks() -> Iterator[Photometry]:
        if isinstance(catalogue, Photometry):
            parts: Iterable[Photometry] = [catalogue]
        else:
            parts = read_blocks(catalogue, posterior.bands, **reading)
        for part in parts:
            yield part if error_floor is None else part.with_error_floor(error_floor)

    return blocks


def in_chunks(blocks: Iterator[Photometry], size: int) -> Iterator[Photometry]:
    """Blocks of any size, cut and joined to chunks of one, of which the last may have less."""
    kept: Photometry | None = None
    for block in blocks:
        kept = block if kept is None or not len(kept) else Photometry.concatenate([kept, block])
        whole = len(kept) - len(kept) % size
        for first in range(0, whole, size):
            yield kept[first : first + size]
        kept = kept[whole:]
    if kept is not None and len(kept):
        yield kept


def scan(source: Source, posterior: AmortizedPosterior, on_bad: str = "flag") -> Scan:
    """Read a catalogue once, to know what it holds and that all of it can be read.

    Raises
    ------
    InputError
        If it cannot, or for the first galaxy that cannot be inferred where `on_bad` is "raise".
    """
    digest, galaxies, bad, uncertain = hashlib.sha256(), 0, 0, False
    settings, shown = dict[str, Any](), list[str]()
    for chunk in in_chunks(source(), _AT_ONCE):
        if galaxies == 0 and (warning := chunk.warning):
            shown.append(warning)
        problems = posterior.check(chunk, "raise" if on_bad == "raise" else "flag")
        found = problems[problems != ""]
        shown += [_sentence(text) for text in found[: max(0, _SHOWN - bad)]]
        digest.update(identity(chunk).encode())
        galaxies, bad, settings = galaxies + len(chunk), bad + len(found), chunk.settings()
        uncertain |= bool(chunk.redshift_sigma.any())
    if uncertain:
        settings["uncertain_redshifts"] = True
    if bad > _SHOWN:
        shown.append(
            f"{bad - _SHOWN:,} more galaxies cannot be used; the column 'problem' says why."
        )
    return Scan(galaxies, digest.hexdigest()[:16], settings, shown)


def identity(photometry: Photometry) -> str:
    """First 16 hexadecimal digits of the SHA-256 of galaxies."""
    found = hashlib.sha256("\n".join([*photometry.ids, *photometry.problems]).encode())
    for array in (photometry.flux, photometry.sigma, photometry.mask, photometry.redshift):
        found.update(np.ascontiguousarray(array).tobytes())
    if photometry.redshift_sigma.any():
        found.update(photometry.redshift_sigma.tobytes())
    return found.hexdigest()[:16]


def _sentence(problem: str) -> str:
    return f"{problem[:1].upper()}{problem[1:].rstrip('.')}."
