"""Star-formation and metallicity histories: non-negative bases, and a burst.

References
----------
Hahn et al. 2022, arXiv:2202.01809, section 3.1 (the bases and the time bins).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from scipy.interpolate import CubicSpline

__all__ = [
    "METALLICITY_RANGE",
    "N_YOUNG_BINS",
    "TIME_EDGES",
    "Cosmology",
    "Histories",
    "StarFormation",
    "load_bases",
]

TIME_EDGES = np.concatenate([[0.0], 10.0 ** (6.05 + 0.1 * np.arange(41)) * 1e-9, [13.8]])
"""Lookback-time edges [Gyr] of the 42 bins, each of which is one stellar population."""

N_YOUNG_BINS = 10
"""The youngest bins (below 8.9 Myr), which the SSP grid holds as one mean spectrum."""

METALLICITY_RANGE = (4.49043431e-5, 4.49043431e-2)
"""Limits to which metallicities (PROVABGS labels) are clipped."""


@dataclass(frozen=True)
class Histories:
    """Star-formation and metallicity histories on common lookback-time bins.

    Attributes
    ----------
    edges_gyr : ndarray, shape (T + 1,)
        Bin edges in lookback time [Gyr].
    sfr : array, shape (..., T)
        Mean star-formation rate in the bin, burst included [Msun/yr]; zero before the Big Bang.
    metallicity : array, shape (..., T)
        Metallicity of the stars formed at the bin's middle (PROVABGS label: solar is 0.019).
    """

    edges_gyr: np.ndarray
    sfr: Any
    metallicity: Any

    @property
    def lookback_gyr(self) -> np.ndarray:
        """Middles of the bins [Gyr], shape (T,)."""
        return 0.5 * (self.edges_gyr[1:] + self.edges_gyr[:-1])


@cache
def load_bases() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times [Gyr] (50,), SFH bases (50, 4) and metallicity bases (50, 2) shipped as data."""
    with (files("sedflow_lab.data") / "nmf_bases.csv").open() as stream:
        table = np.loadtxt(stream, delimiter=",", skiprows=1)
    return table[:, 0], table[:, 1:5], table[:, 5:7]


class Cosmology(torch.nn.Module):
    """Age of the universe and distance against redshift (Planck 2013), tabulated from astropy.

    Both are interpolated in x = ln(1 + z); the distance as ln(D_L / z), which is smooth where
    the distance itself vanishes.
    """

    age_table: torch.Tensor
    distance_table: torch.Tensor

    def __init__(self, redshift_max: float, dtype: torch.dtype) -> None:
        super().__init__()
        step, age, distance = _planck13(float(redshift_max))
        self.step = step
        self.register_buffer("age_table", torch.as_tensor(age, dtype=dtype))
        self.register_buffer("distance_table", torch.as_tensor(distance, dtype=dtype))

    def _interpolate(self, table: torch.Tensor, redshift: torch.Tensor) -> torch.Tensor:
        x = torch.log1p(redshift) / self.step
        low = x.floor().long().clamp(0, table.shape[0] - 2)
        return torch.lerp(table[low], table[low + 1], x - low)

    def age(self, redshift: torch.Tensor) -> torch.Tensor:
        """Age of the universe [Gyr]."""
        return self._interpolate(self.age_table, redshift)

    def log_distance(self, redshift: torch.Tensor) -> torch.Tensor:
        """Natural log of the luminosity distance [Mpc]."""
        return self._interpolate(self.distance_table, redshift) + torch.log(redshift)


@cache
def _planck13(redshift_max: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Step in ln(1 + z), and tables from z = 0 of the age [Gyr] and of ln(D_L [Mpc] / z).

    astropy integrates slowly, so splines fill in between a few exact values.
    """
    from astropy.cosmology import Planck13

    top = float(np.log1p(redshift_max))
    n = max(64, int(np.ceil(top / 5e-4)))
    fine = top / n * np.arange(n + 2)
    x = np.linspace(0.0, fine[-1], max(17, int(np.ceil(top / 1e-2)) + 1))
    z = np.expm1(x)
    # For z -> 0 the distance is c z / H0.
    ratio = np.append(
        Planck13.hubble_distance.value, Planck13.luminosity_distance(z[1:]).value / z[1:]
    )
    age = CubicSpline(x, Planck13.age(z).value)
    return float(top / n), age(fine), CubicSpline(x, np.log(ratio))(fine)


class StarFormation(torch.nn.Module):
    """Masses formed per time bin, and metallicities, for batches of parameters.

    The SFH is piecewise linear between the nodes of the bases, and beyond them it goes on along
    the last segment. Its integral from now back to t is a piecewise parabola, evaluated exactly.
    """

    nodes: torch.Tensor
    left: torch.Tensor
    sfh_value: torch.Tensor
    sfh_slope: torch.Tensor
    sfh_integral: torch.Tensor
    zh_value: torch.Tensor
    zh_slope: torch.Tensor
    edges: torch.Tensor
    middles: torch.Tensor
    edge_integrals: torch.Tensor
    middle_zh: torch.Tensor

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        times, sfh, zh = load_bases()
        slope = np.diff(sfh, axis=0) / np.diff(times)[:, None]
        # Segment s covers [left_s, left_(s+1)]; the first one reaches down to now (t = 0).
        left = np.concatenate([[0.0], times[1:-1]])
        value = sfh[:-1] + slope * (left - times[:-1])[:, None]
        width = np.diff(np.append(left, times[-1]))[:, None]
        steps = value * width + 0.5 * slope * width**2
        integral = np.concatenate([np.zeros((1, 4)), np.cumsum(steps, axis=0)[:-1]])
        zh_slope = np.diff(zh, axis=0) / np.diff(times)[:, None]
        zh_value = zh[:-1] + zh_slope * (left - times[:-1])[:, None]
        buffers = {
            "nodes": times[1:-1].copy(),
            "left": left,
            "sfh_value": value,
            "sfh_slope": slope,
            "sfh_integral": integral,
            "zh_value": zh_value,
            "zh_slope": zh_slope,
            "edges": TIME_EDGES,
            "middles": 0.5 * (TIME_EDGES[1:] + TIME_EDGES[:-1]),
        }
        for name, array in buffers.items():
            self.register_buffer(name, torch.as_tensor(array, dtype=torch.float64).contiguous())
        self.register_buffer("edge_integrals", self.basis_integrals(self.edges))
        self.register_buffer("middle_zh", self.basis_metallicity(self.middles))
        self.to(dtype)

    def _segment(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        segment = torch.bucketize(time.detach().contiguous(), self.nodes, right=True)
        return segment, (time - self.left[segment])[..., None]

    def basis_integrals(self, time: torch.Tensor) -> torch.Tensor:
        """Integrals (..., 4) of the SFH bases from now back to `time` [Gyr]."""
        segment, x = self._segment(time)
        value, slope = self.sfh_value[segment], self.sfh_slope[segment]
        return self.sfh_integral[segment] + x * (value + 0.5 * x * slope)

    def basis_metallicity(self, time: torch.Tensor) -> torch.Tensor:
        """Metallicity bases (..., 2) at lookback `time` [Gyr]."""
        segment, x = self._segment(time)
        return self.zh_value[segment] + x * self.zh_slope[segment]

    def cumulative(
        self, beta: torch.Tensor, age: torch.Tensor, time: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Fraction of the smooth SFH's mass that formed since each lookback time.

        Parameters
        ----------
        beta : tensor, shape (..., 4)
            Weights of the bases.
        age : tensor, shape (...)
            Age of the universe at the galaxy's redshift [Gyr].
        time : tensor, shape (T,), optional
            Lookback times [Gyr]; the 43 bin edges when left out.

        Returns
        -------
        tensor, shape (..., T)
            From 0 now to 1 at the age of the universe and beyond.
        """
        if time is None:
            time, integrals = self.edges, self.edge_integrals
        else:
            integrals = self.basis_integrals(time)
        total = (beta * self.basis_integrals(age)).sum(-1, keepdim=True)
        fraction = (beta @ integrals.T) / total
        return torch.where(time < age[..., None], fraction, torch.ones_like(fraction))

    def metallicity(self, log_gamma: torch.Tensor, bases: torch.Tensor) -> torch.Tensor:
        """Metallicity (PROVABGS label) from log10 γ (..., 2) and bases (..., T, 2) or (T, 2)."""
        gamma = torch.exp(log_gamma * float(np.log(10.0)))
        z = gamma[..., :1] * bases[..., 0] + gamma[..., 1:] * bases[..., 1]
        return z.clamp(*METALLICITY_RANGE)
