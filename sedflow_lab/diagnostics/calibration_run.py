"""The result of a calibration run: scores of simulations, and what they may depend on."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from .._arrays import open_arrays
from .._files import reading, write_bytes
from ..errors import InputError
from ..parameters import N_THETA, NAMES
from ..sps import BandSet
from ..units import magnitude
from .mocks import Fault
from .scoring import KINDS, SCORED
from .uniformity import Uniformity, check_uniformity, holm

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["OBSERVABLES", "CalibrationRun"]

OBSERVABLES = ("snr", "magnitude", "redshift", "colour")
"""What simulations may be sorted by: see `CalibrationRun.observable`."""


@dataclass(frozen=True)
class CalibrationRun:
    """Scores of N simulations, and what is needed to ask on what they depend.

    Attributes
    ----------
    truth : ndarray, shape (N, 12)
    redshift : ndarray, shape (N,)
    flux, sigma : ndarray, shape (N, B)
        Nanomaggies, as the posterior was told.
    scores : ndarray, shape (N, 15)
        Of `SCORED`: uniform if posteriors are right; NaN where there is no posterior.
    z_scores, contraction : ndarray, shape (N, 12)
    predictive_p : ndarray, shape (N,)
        Posterior predictive p-values.
    efficiency, ess, chi2_min : ndarray, shape (N,)
        Of importance weights (NaN for MCMC); of the draws; smallest χ² among them.
    pareto_k, distance, support : ndarray, shape (N,)
        Tail of the importance weights, total variation between network and posterior, p-value of
        the photometry against the training set (NaN for MCMC, or where it is not known).
    badge : ndarray of str, shape (N,)
    settings : dict
        What the run was made of (JSON-able).
    seconds : float
        Time spent, interruptions left out.
    """

    truth: np.ndarray
    redshift: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    scores: np.ndarray
    z_scores: np.ndarray
    contraction: np.ndarray
    predictive_p: np.ndarray
    efficiency: np.ndarray
    ess: np.ndarray
    chi2_min: np.ndarray
    pareto_k: np.ndarray
    distance: np.ndarray
    support: np.ndarray
    badge: np.ndarray
    settings: dict[str, Any]
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.redshift)

    def __repr__(self) -> str:
        return (
            f"<CalibrationRun: {len(self)} simulations × {self.settings['draws']} draws, method "
            f"{self.settings['method']!r}, seed {self.settings['seed']}; {self.fault}>"
        )

    @property
    def method(self) -> str:
        """How posteriors were made."""
        return str(self.settings["method"])

    @property
    def fault(self) -> Fault:
        """What was wrong on purpose."""
        return Fault(**self.settings["fault"])

    @property
    def bands(self) -> BandSet:
        """Bands of the photometry."""
        return BandSet.from_json(self.settings["bands"])

    def check(self) -> Uniformity:
        """Test every quantity."""
        return check_uniformity(self.scores, SCORED, KINDS)

    def observable(self, name: str) -> np.ndarray:
        """What simulations may be sorted by, shape (N,).

        Parameters
        ----------
        name : str
            ``"snr"``, the median signal-to-noise ratio of the bands; ``"magnitude"`` of the
            middle band; ``"redshift"``; or ``"colour"``, between the bands next to the middle.
        """
        middle = self.flux.shape[1] // 2
        magnitudes = magnitude(self.flux)
        with np.errstate(invalid="ignore", divide="ignore"):
            choices = {
                "snr": np.nanmedian(self.flux / self.sigma, axis=1),
                "magnitude": magnitudes[:, middle],
                "redshift": self.redshift,
                "colour": magnitudes[:, max(middle - 1, 0)] - magnitudes[:, middle],
            }
        if name not in choices:
            raise InputError(f"There is no observable {name!r}: choose of {', '.join(choices)}.")
        return choices[name]

    def z_table(self) -> Table:
        """Means of z-scores and of their squares, a row a parameter, and how much was learnt.

        Right posteriors have means of 0 and mean squares of 1 up to the errors in ``mean_error``
        and ``square_error``: one standard deviation, for right posteriors exactly 1/√N for the
        mean, and from the scatter of the squares for these. ``p`` is the smaller of the two
        p-values, doubled, and ``p_holm`` the same after Holm's correction for the parameters.
        """
        from astropy.table import Table

        known = np.isfinite(self.z_scores)
        n = known.sum(0)
        square = np.square(self.z_scores)
        mean, mean_square = np.nanmean(self.z_scores, axis=0), np.nanmean(square, axis=0)
        errors = 1 / np.sqrt(n), np.nanstd(square, axis=0) / np.sqrt(n)
        off = np.maximum(np.abs(mean) / errors[0], np.abs(mean_square - 1) / errors[1])
        p = np.minimum(4 * norm.sf(off), 1.0)
        table = Table({"parameter": list(NAMES), "mean": mean, "mean_error": errors[0]})
        table["mean_square"], table["square_error"] = mean_square, errors[1]
        table["p"], table["p_holm"] = p, holm(p)
        table["contraction"] = np.nanmedian(self.contraction, axis=0)
        for name in table.colnames[1:]:
            table[name].format = ".3g"
        return table

    def save(self, path: str | Path) -> None:
        """Write everything to one .npz file, which appears complete or not at all."""
        header = json.dumps(self.settings | {"seconds": self.seconds})
        archive = io.BytesIO()
        np.savez(archive, settings=np.array(header), **{k: getattr(self, k) for k in _ARRAYS})
        write_bytes(path, archive.getbuffer())

    @classmethod
    def load(cls, path: str | Path) -> CalibrationRun:
        """Read a run.

        Raises
        ------
        InputError
            If the file is missing, damaged, or something else.
        """
        with reading(path, "a calibration run from", "run it again into another file"):
            with open_arrays(path) as file:
                settings = dict(json.loads(str(file["settings"])))
                arrays = {name: file[name] for name in _ARRAYS}
            seconds = float(settings.pop("seconds"))
            run = cls(**arrays, settings=settings, seconds=seconds)
            empty = cls.empty(settings, len(run.bands))
            for name, array in arrays.items():
                like = getattr(empty, name)
                shape = len(run), *like.shape[1:]
                if array.shape != shape or array.dtype.kind != like.dtype.kind:
                    raise ValueError(f"{name} has the shape {array.shape} and type {array.dtype}")
            if type(settings["draws"]) is not int or type(settings["seed"]) is not int:
                raise ValueError("its draws or its seed is no whole number")
            repr(run), run.method  # an error where settings are missing
        return run

    @classmethod
    def concatenate(cls, runs: Sequence[CalibrationRun]) -> CalibrationRun:
        """Put runs of the same settings one after the other."""
        joined: dict[str, Any] = {k: np.concatenate([getattr(r, k) for r in runs]) for k in _ARRAYS}
        return replace(runs[0], **joined, seconds=sum(r.seconds for r in runs))

    def head(self, n: int) -> CalibrationRun:
        """The first n simulations."""
        arrays: dict[str, Any] = {k: getattr(self, k)[:n] for k in _ARRAYS}
        return replace(self, **arrays)

    @classmethod
    def empty(cls, settings: dict[str, Any], bands: int) -> CalibrationRun:
        """A run of no simulations."""
        widths = dict.fromkeys(("truth", "z_scores", "contraction"), N_THETA)
        widths |= {"flux": bands, "sigma": bands, "scores": len(SCORED)}
        arrays: dict[str, Any] = {
            k: np.empty((0, widths[k]) if k in widths else 0) for k in _ARRAYS
        }
        arrays["badge"] = np.empty(0, "<U16")
        return cls(**arrays, settings=settings)


_ARRAYS = [f.name for f in fields(CalibrationRun) if f.name not in ("settings", "seconds")]
