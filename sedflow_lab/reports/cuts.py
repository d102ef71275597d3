"""The cuts of the paper's sample: what each removes alone and in sequence, and who is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from ..anpe.support import FALSE_ALARM_RATE, PARTS
from ..observations.sdss import PAPER_CUTS, paper_cuts
from .pages import markdown_table

if TYPE_CHECKING:
    from ..anpe import AmortizedPosterior
    from ..observations.photometry import Photometry

__all__ = ["SAMPLES", "Cuts", "cut_sample", "sample_table"]

_NETWORK_CUTS = {
    "measured": "fluxes, uncertainties and redshift that the network can use",
    **{part: f"{part} as in the training set" for part in PARTS},
}

SAMPLES = {
    "all": (),
    "paper": tuple(PAPER_CUTS),
    "supported": (*PAPER_CUTS, *_NETWORK_CUTS),
}
"""Samples by name: the cuts that their galaxies pass."""

_PUBLISHED = 33_884  # galaxies that remain in Hahn & Melchior (2022)


@dataclass(frozen=True)
class Cuts:
    """Named cuts of N galaxies.

    Attributes
    ----------
    masks : dict of str to ndarray of bool, shape (N,)
        Whether each galaxy passes each cut: first those of the paper, then whether the network can
        use what is measured, and whether it looks like the training set. Looks of galaxies that
        cannot be used are not judged: there they pass.
    p_value : ndarray, shape (N,)
        How like the training set (`AmortizedPosterior.support`); NaN where it cannot be told.
    """

    masks: dict[str, np.ndarray]
    p_value: np.ndarray

    def sample(self, name: str) -> np.ndarray:
        """Whether each galaxy is in one of `SAMPLES`, (N,) bool."""
        passes = np.ones(len(self.p_value), dtype=bool)
        for cut in SAMPLES[name]:
            passes &= self.masks[cut]
        return passes

    def table(self) -> Table:
        """One row a cut: how many galaxies it removes alone, and in sequence, and are left then.

        ``alone_of_paper`` counts those of the paper's sample alone.
        """
        left, paper, rows = self.sample("all"), self.sample("paper"), []
        for name, passes in self.masks.items():
            counts = (~passes).sum(), (left & ~passes).sum(), (left & passes).sum()
            rows.append((name, *map(int, counts), int((paper & ~passes).sum())))
            left = left & passes
        return Table(rows=rows, names=["cut", "alone", "in_sequence", "left", "alone_of_paper"])

    def to_markdown(self, about: Sequence[str]) -> str:
        """Report what is cut; `about` are sentences on what was cut, and how."""
        table, n, paper = self.table(), len(self.p_value), int(self.sample("paper").sum())
        asked = PAPER_CUTS | _NETWORK_CUTS
        sequence, beside = [], []
        for row in table:
            name, removed = row["cut"], row["alone_of_paper"]
            counts = [f"{row[k]:,}" for k in ("alone", "in_sequence", "left")]
            sequence.append([f"`{name}`: {asked[name]}", *counts])
            if name in _NETWORK_CUTS:
                beside.append([f"`{name}`", f"{removed:,}", f"{removed / max(1, paper):.2%}"])
        every = markdown_table(["what remains has", "alone", "in sequence", "left"], sequence)
        of_paper = markdown_table(["cut", "galaxies", "share"], beside)
        return f"""# Cuts of the NASA-Sloan Atlas

{" ".join(about)}

Of {n:,} galaxies {paper:,} pass the paper's cuts on photo flags of the SDSS (Hahn & Melchior 2022
keep {_PUBLISHED:,}), and {int(self.sample("supported").sum()):,} of these look like what the \
network was trained on. Each cut alone, and one after another:

{every}

The last four are the network's and not the paper's: it looks at colours, uncertainties and
brightness beside its training set, at a false-alarm rate of {FALSE_ALARM_RATE:g} for the three \
together.
Of the paper's sample each alone removes

{of_paper}

In the paper 490 galaxies failed for their uncertainties and 98 for their colours.
"""


def cut_sample(photometry: Photometry, flags: Any, posterior: AmortizedPosterior) -> Cuts:
    """Judge N galaxies by the paper's cuts, and by what a posterior was trained on.

    Parameters
    ----------
    photometry : Photometry
        In the posterior's bands.
    flags : array_like of int64 or uint64, shape (N,)
        SDSS photo flags of band r, 0 without a match.
    posterior : AmortizedPosterior
        One that describes no training set finds all galaxies like it.

    Raises
    ------
    InputError
        If the bands differ, or flags have lost bits.
    """
    usable = posterior.check(photometry) == ""
    inside = {part: np.ones(len(photometry), dtype=bool) for part in PARTS}
    p_value = np.full(len(photometry), np.nan)
    if usable.any() and (score := posterior.support(photometry[usable])) is not None:
        p_value[usable] = score.p_value
        for k, part in enumerate(PARTS):
            inside[part][usable] = len(PARTS) * score.parts[:, k] >= FALSE_ALARM_RATE
    return Cuts({**paper_cuts(flags), "measured": usable, **inside}, p_value)


def sample_table(photometry: Photometry, flags: Table, cuts: Cuts, name: str) -> Table:
    """The galaxies of one of `SAMPLES`, as a catalogue to infer, with the cuts that they pass.

    Beside the photometry it has positions, ``flags_r``, ``support_p_value``, and for each cut
    ``passes_<cut>``. The flags are those of `observations.photo_flags`.
    """
    chosen = cuts.sample(name)
    table = photometry[chosen].to_table()
    for column in ("ra", "dec", "flags_r"):
        table[column] = flags[column][chosen]
    table["support_p_value"] = cuts.p_value[chosen]
    for cut, passes in cuts.masks.items():
        table[f"passes_{cut}"] = passes[chosen]
    table.meta["sample"] = name
    return table
