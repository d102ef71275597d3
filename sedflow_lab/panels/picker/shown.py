"""What the picker shows of a catalogue: magnitudes, colours, positions, and what is inferred."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import InputError
from ...observations.photometry import Photometry
from ...observations.sky import position_columns
from ...observations.tables import understood
from ...posterior.result import PosteriorResult
from ...quantities import QUANTITIES
from ...sps import SEDModel
from ...units import LN10, numbers
from ..kit.choice import main_bands
from ..kit.listed import Listed

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Shown", "planes_of"]

_MOST_COLUMNS = 60  # of the table's own
_TOLD = {
    "distance": "Distance of network and posterior",
    "support": "Likeness to the training set (p)",
}


@dataclass(frozen=True, eq=False)
class Shown(Listed):
    """Columns of a catalogue, and badges and medians of the galaxies that have been inferred.

    Attributes
    ----------
    labels : mapping of str to str
        Labels of the axes, with their units.
    """

    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """Label of an axis, with its unit."""
        return self.labels[name]

    @classmethod
    def of(
        cls,
        photometry: Photometry,
        positions: np.ndarray | None,
        table: Table | None,
        model: SEDModel,
    ) -> Shown:
        """Take what is known before anything is inferred.

        Parameters
        ----------
        photometry : Photometry
        positions : ndarray, shape (N, 2), optional
            Right ascension and declination [deg].
        table : Table, optional
            Other numbers of the galaxies, in the same rows.
        model : SEDModel
            For the distances.
        """
        made = {name: (label, values) for name, label, values in _measured(photometry, model)}
        if positions is not None:
            made["ra"] = "RA [deg]", positions[:, 0]
            made["dec"] = "Dec [deg]", positions[:, 1]
        nothing = np.full(len(photometry), np.nan)
        for name, quantity in QUANTITIES.items():
            made[name] = quantity.axis_text, nothing
        for name, label in _TOLD.items():
            made[name] = label, nothing
        if table is not None:
            known = made.keys()
            extra = {n: v for n, v in _others(table, photometry).items() if n not in known}
            made |= dict(list(extra.items())[:_MOST_COLUMNS])
        badges = np.where(photometry.usable, "", "bad photometry").astype("U16")
        columns = {name: values for name, (_, values) in made.items()}
        labels = {name: label for name, (label, _) in made.items()}
        return cls(columns, photometry.ids, badges, photometry.problems, labels)

    def with_posteriors(self, rows: np.ndarray, table: Table, result: PosteriorResult) -> Shown:
        """Put in what has been inferred of some rows: their summaries, and their posteriors."""
        badges, new = self.badges.copy(), dict(self.columns)
        badges[rows] = table["badge"]
        for name in QUANTITIES:
            new[name] = new[name].copy()
            new[name][rows] = table[name]
        for name in _TOLD:
            if name in result.diagnostics:
                new[name] = new[name].copy()
                new[name][rows] = result.diagnostics[name]
        return replace(self, columns=new, badges=badges)


def planes_of(found: Shown, photometry: Photometry) -> tuple[tuple[str, str], ...]:
    """What five planes show at first: magnitude, colours, sky, redshift, and what is inferred."""
    labels = photometry.bands.labels
    first, second = sorted(main_bands(photometry.bands))
    color, main = f"{labels[first]}-{labels[second]}", labels[main_bands(photometry.bands)[1]]
    # Another colour beside it: the bluer one, if there is one.
    pair = (first - 1, first) if first else (second, second + 1)
    known = pair[1] < len(labels)
    other = f"{labels[pair[0]]}-{labels[pair[1]]}" if known else f"snr_{main}"
    sky = ("ra", "dec") if "ra" in found.columns else ("redshift", f"snr_{main}")
    return (
        (f"abs_{main}", color),
        (color, other),
        sky,
        ("redshift", f"mag_{main}"),
        ("log_mstar", "log_ssfr_1gyr"),
    )


def _measured(photometry: Photometry, model: SEDModel) -> list[tuple[str, str, np.ndarray]]:
    """Names, labels and values (N,) of what was measured."""
    labels, magnitudes, z = photometry.bands.labels, photometry.magnitude, photometry.redshift
    far = torch.as_tensor(np.where(z > 0, z, np.nan).clip(max=model.redshift_max))
    modulus = 25 + 5 / LN10 * model.cosmology.log_distance(far).numpy()
    made = [("redshift", "Redshift", z)]
    pairs = [(a, b) for k, a in enumerate(labels) for b in labels[k + 1 :]]
    for a, b in sorted(pairs, key=lambda pair: labels.index(pair[1]) - labels.index(pair[0])):
        first, second = (magnitudes[:, labels.index(label)] for label in (a, b))
        made.append((f"{a}-{b}", f"{a}−{b} [mag]", first - second))
    for k, label in enumerate(labels):
        made.append((f"mag_{label}", f"{label} [mag]", magnitudes[:, k]))
        # Without the k-correction, which would need the spectrum that is to be found.
        made.append((f"abs_{label}", f"M {label}, no k-corr. [mag]", magnitudes[:, k] - modulus))
        made.append((f"snr_{label}", f"S/N {label}", photometry.snr[:, k]))
    return made


def _others(table: Table, photometry: Photometry) -> dict[str, tuple[str, np.ndarray]]:
    """Other columns of a table that hold a number a row: their labels and values."""
    used = {name for name, _ in understood(table, photometry.bands).values()}
    used |= set(position_columns(table) or ())
    found = {}
    for name in table.colnames:
        column: Any = table[name]
        if name in used or column.dtype.kind not in "fiuSU" or len(column.shape) != 1:
            continue
        with suppress(InputError):  # a column of words
            unit = f" [{column.unit}]" if getattr(column, "unit", None) else ""
            values = numbers(column, f"column {name!r}")
            if column.dtype.kind in "fiu" or 2 * np.isfinite(values).sum() > len(values):
                found[name] = name + unit, values
    return found
