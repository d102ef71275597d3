"""Draws as a store keeps them: in single precision, or as steps of each parameter's range."""

from __future__ import annotations

import numpy as np

from ..parameters import PARAMETERS

__all__ = ["KEEP", "decoded", "encoded", "largest_error"]

KEEP = ("float32", "uint16", "none")
"""What can be kept of draws."""

_STEPS, _NOTHING = 65_534, 65_535  # of uint16; no draw is called by what is left over
_LOW, _HIGH = (np.array(x) for x in zip(*((p.low, p.high) for p in PARAMETERS), strict=True))
_STEP = (_HIGH - _LOW) / _STEPS


def encoded(samples: np.ndarray, keep: str) -> np.ndarray:
    """Draws (N, D, 12) as they are kept; those of galaxies without a posterior are NaN.

    Steps of uint16 are equal, from one end of a parameter's prior to the other.
    """
    if keep == "float32":
        return samples.astype(np.float32)
    with np.errstate(invalid="ignore"):
        steps = np.rint((samples - _LOW) / _STEP).clip(0, _STEPS)
    return np.where(np.isfinite(samples), steps, _NOTHING).astype(np.uint16)


def decoded(kept: np.ndarray) -> np.ndarray:
    """Draws (N, D, 12) in double precision, of what `encoded` gave."""
    if kept.dtype.kind == "f":
        return kept.astype(np.float64)
    samples = _LOW + _STEP * kept
    # The last step may end a rounding beyond the prior.
    return np.where(kept == _NOTHING, np.nan, samples.clip(_LOW, _HIGH))


def largest_error(keep: str) -> dict[str, float]:
    """How far a draw that is kept can be from what was drawn, by parameter, within the prior."""
    if keep == "uint16":
        errors = 0.5 * _STEP
    else:  # half of the last digit
        errors = 0.5 * np.spacing(np.maximum(np.abs(_LOW), np.abs(_HIGH)).astype(np.float32))
    return {p.name: float(error) for p, error in zip(PARAMETERS, errors, strict=True)}
