r"""Posteriors under a prior that is flat in derived quantities.

A prior that is flat in the parameters is not flat in the specific star-formation rate, the age or
the metallicity, which are functions y of them. The prior nearest to it, in the sense of relative
entropy, under which y is flat is the one that divides by the density that it implies for y,

.. math:: \pi'(\theta) \propto \pi(\theta) / p(y(\theta) \mid z),

and draws of the old posterior follow the new one with weights :math:`1 / p(y \mid z)`. The density
is that of draws of the prior at the galaxy's redshift, in bins. Where these hold fewer than ten of
them it is not known, and the flat prior ends: draws there have no weight.

References
----------
Handley & Millea 2019, Entropy 21, 272 (maximum-entropy priors); Hahn et al. 2023, ApJ 945, 16
(PROVABGS).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import distance_transform_edt

from ..errors import InputError
from ..parameters import NAMES, Prior, get_prior
from ..quantities import QUANTITIES, get_quantity
from ..sps.properties import derived
from ..sps.rest_frame import at_rest
from .weighting import kish_ess

if TYPE_CHECKING:
    from ..sps.model import SEDModel

__all__ = ["flat_fields", "implied_prior", "log_flat_over", "values_of"]

_DRAWS = 200_000  # of the prior, at each redshift
_BINS = (100, 40, 20)  # along each of one, two or three quantities
_FEWEST = 10
_REDSHIFT_STEP = 0.005  # in which the universe ages by 0.07 Gyr
_LEAST_ESS, _LEAST_SHARE = 100, 0.1


def values_of(names: Sequence[str], theta: np.ndarray, redshift: Any, model: Any) -> np.ndarray:
    """Parameters and derived quantities by name, shape (..., K), of parameters (..., 12).

    Those at rest are in the model's own bands (`sps.rest_frame.RestFrame`). The model may be None
    where there are only parameters among them.

    Raises
    ------
    InputError
        If there is no such quantity of the model.
    """
    found = {} if set(names) <= set(NAMES) else derived(theta, redshift, model)
    if not set(names) <= set(QUANTITIES):
        found |= at_rest(model)(theta, redshift)
        if unknown := [n for n in names if n not in {*NAMES, *found}]:
            raise InputError(
                f"The model has no quantity {unknown[0]!r}: use one of {', '.join(found)}, or a "
                "parameter."
            )
    columns = [theta[..., NAMES.index(n)] if n in NAMES else found[n] for n in names]
    return np.stack(columns, axis=-1)


def implied_prior(
    model: SEDModel,
    redshift: float,
    names: Sequence[str],
    prior: Prior | str = "flat-dirichlet",
    draws: int = _DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """Draws (draws, K) of K parameters or derived quantities under the prior, at one redshift.

    They are called by their names in `sedflow_lab.quantities.QUANTITIES`.
    """
    return values_of(names, get_prior(prior).sample(draws, seed), redshift, model)


def log_flat_over(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Log of a flat density over that of draws (M, K) of the prior, at values (D, K), shape (D,).

    Both densities are normalised. Minus infinity where too few draws tell the density.
    """
    size = drawn.shape[1]
    bins = _BINS[size - 1]
    low, high = drawn.min(0), drawn.max(0)
    step = (high - low) / bins
    counts, _ = np.histogramdd(drawn, bins, list(zip(low, high, strict=True)))
    known = counts >= _FEWEST
    # What is not known takes the next known value, so that interpolation has something to use.
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    log_density = np.log(counts[tuple(nearest)] / (len(drawn) * step.prod()))
    centres = low + (np.arange(bins) + 0.5)[:, None] * step
    interpolate = RegularGridInterpolator(tuple(centres.T), log_density)
    found = interpolate(np.clip(values, centres[0], centres[-1]))
    inside = ((values >= low) & (values <= high)).all(-1)
    cell = np.clip((values - low) / step, 0, bins - 1).astype(int)
    inside &= known[tuple(cell.T)]
    return np.where(inside, -np.log(known.sum() * step.prod()) - found, -np.inf)


def flat_fields(
    result: Any, names: Sequence[str], model: SEDModel, prior: str | None, seed: int
) -> dict[str, Any]:
    """What is new of a posterior under the flat prior, for `PosteriorResult.reweight`.

    Raises
    ------
    InputError
        If a name is unknown, or the prior under which the draws were made is not known.
    """
    names = _checked(names)
    prior = prior or result.provenance.get("prior")
    if prior is None:
        raise InputError("The result does not say under which prior it was made: give prior.")
    old, weights = result.weights, np.zeros_like(result.weights)
    log_ratio, outside = np.full((2, len(old)), np.nan)  # of the evidences; share of the weight
    good = np.flatnonzero(result.usable)
    step = (np.floor(result.redshift[good] / _REDSHIFT_STEP) + 0.5) * _REDSHIFT_STEP
    for at in np.unique(step):
        drawn = implied_prior(model, min(at, model.redshift_max), names, prior, seed=seed)
        for row in good[step == at]:
            values = values_of(names, result.samples[row], result.draw_redshift[row], model)
            ratio = old[row] * np.exp(log_flat_over(values, drawn))
            total = ratio.sum()
            weights[row] = ratio / (total or 1.0)
            log_ratio[row] = np.log(total) if total else -np.inf
            outside[row] = old[row][ratio == 0].sum()
    before, after = kish_ess(old), kish_ess(weights)
    _warn(before[good], after[good], result.ids[good], names)
    return {
        "weights": weights,
        "ess": result.ess * after / np.where(before > 0, before, 1.0),
        "log_evidence": result.log_evidence + log_ratio,
        "diagnostics": result.diagnostics | {"flat_outside": outside},
        "provenance": result.provenance
        | {"prior": f"{prior}, made flat in {', '.join(names)}", "reweight_seed": seed},
    }


def _checked(names: Any) -> list[str]:
    """Names of quantities, if they are a few, each once."""
    known = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else []
    if not 1 <= len(known) <= len(_BINS) or len(set(map(str, known))) < len(known):
        raise InputError(
            f"The prior is to be flat in {names!r}: give a list of one to {len(_BINS)} quantities, "
            "each of them once."
        )
    for name in known:
        get_quantity(name)
    return known


def _warn(before: np.ndarray, after: np.ndarray, ids: np.ndarray, names: Sequence[str]) -> None:
    low = np.flatnonzero((after < _LEAST_ESS) | (after < _LEAST_SHARE * before))
    if len(low):
        worst = low[after[low].argmin()]
        warnings.warn(
            f"A prior flat in {', '.join(names)} leaves few effective draws of {len(low)} of "
            f"{len(after)} galaxies, {after[worst]:.0f} of {before[worst]:.0f} of galaxy "
            f"{ids[worst]}: take more draws, or fewer quantities.",
            UserWarning,
            stacklevel=4,
        )
