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

from ..units import LN10

__all__ = [
    "METALLICITY_RANGE",
    "N_YOUNG_BINS",
    "TIME_EDGES",
    "Cosmology",
    "Histories",
    "RedshiftTable",
    "StarFormation",
    "between",
    "load_bases",
    "planck13",
    "youngest_bins",
]

TIME_EDGES = np.concatenate([[0.0], 10.0 ** (6.05 + 0.1 * np.arange(41)) * 1e-9, [13.8]])
"""Lookback-time edges [Gyr] of the 42 bins, each of which is one stellar population."""

N_YOUNG_BINS = 10
"""The youngest bins (below 8.9 Myr), which the SSP grid holds as one mean spectrum."""

METALLICITY_RANGE = (4.49043431e-5, 4.49043431e-2)
"""Limits to which metallicities (PROVABGS labels) are clipped."""


def youngest_bins() -> tuple[np.ndarray, np.ndarray]:
    """Middles [Gyr] of the youngest bins, and their shares of the time: both (10,).

    With these weights the populations there make the one mean spectrum that an SSP grid holds.
    """
    edges = TIME_EDGES[: N_YOUNG_BINS + 1]
    return 0.5 * (edges[:-1] + edges[1:]), np.diff(edges) / edges[-1]


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
    age_gyr : array, shape (...)
        Age of the universe [Gyr].
    """

    edges_gyr: np.ndarray
    sfr: Any
    metallicity: Any
    age_gyr: Any

    @property
    def lookback_gyr(self) -> np.ndarray:
        """Middles of the bins [Gyr], shape (T,)."""
        return 0.5 * (self.edges_gyr[1:] + self.edges_gyr[:-1])

    def steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Histories as steps that end at the Big Bang, to be drawn.

        Returns
        -------
        edges : ndarray, shape (..., T + 1)
            Bin edges in lookback time [Gyr], none before the Big Bang.
        sfr, metallicity : ndarray, shape (..., T)
            As in the histories, but NaN in bins before the Big Bang.
        """
        edges = np.minimum(self.edges_gyr, np.asarray(self.age_gyr)[..., None])
        # Rates are means over whole bins; the oldest has stars after the Big Bang only.
        share = np.diff(edges) / np.diff(self.edges_gyr)
        share = np.where(share > 0, share, np.nan)
        return edges, self.sfr / share, np.where(np.isnan(share), np.nan, self.metallicity)


@cache
def load_bases() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times [Gyr] (50,), SFH bases (50, 4) and metallicity bases (50, 2) shipped as data."""
    with (files("sedflow_lab.data") / "nmf_bases.csv").open() as stream:
        table = np.loadtxt(stream, delimiter=",", skiprows=1)
    return table[:, 0], table[:, 1:5], table[:, 5:7]


class RedshiftTable(torch.nn.Module):
    """K functions, with values (T, K) at T redshifts in even steps of ln(1 + z), from 0.

    They are linear in between.
    """

    values: torch.Tensor

    def __init__(self, redshift: np.ndarray, values: np.ndarray, dtype: torch.dtype) -> None:
        super().__init__()
        self.step = float(np.log1p(redshift[1]))
        self.register_buffer("values", torch.as_tensor(values).to(dtype), persistent=False)

    def forward(self, redshift: torch.Tensor) -> torch.Tensor:
        """Values (N, K) at redshifts (N,)."""
        x = torch.log1p(redshift) * (1.0 / self.step)
        low = x.to(torch.int32).clamp_(0, len(self.values) - 2)
        return between(self.values, low, (x - low).to(self.values.dtype)[:, None])


def between(table: torch.Tensor, low: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Entries of a table at `low` (N,), moved by `fraction` towards the next ones."""
    return torch.lerp(table.index_select(0, low), table.index_select(0, low + 1), fraction)


class Cosmology(torch.nn.Module):
    """Age of the universe and distance against redshift (Planck 2013)."""

    def __init__(self, redshift_max: float, dtype: torch.dtype) -> None:
        super().__init__()
        redshift, values = planck13(float(redshift_max))
        self.table = RedshiftTable(redshift, values, dtype)

    def _column(self, redshift: torch.Tensor, column: int) -> torch.Tensor:
        return self.table(redshift.reshape(-1))[:, column].reshape(redshift.shape)

    def age(self, redshift: torch.Tensor) -> torch.Tensor:
        """Age of the universe [Gyr], in the shape of `redshift`."""
        return self._column(redshift, 0)

    def log_distance(self, redshift: torch.Tensor) -> torch.Tensor:
        """Natural log of the luminosity distance [Mpc], in the shape of `redshift`."""
        return self._column(redshift, 1) + torch.log(redshift)


@cache
def planck13(redshift_max: float) -> tuple[np.ndarray, np.ndarray]:
    """Table of the cosmology: redshifts (T,), and for each the age [Gyr] and ln(D_L [Mpc] / z).

    Redshifts are in even steps of ln(1 + z). The distance over z is smooth where the distance
    itself vanishes. astropy integrates slowly, so splines fill in between a few exact values.
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
    columns = np.stack([Planck13.age(z).value, np.log(ratio)], axis=1)
    return np.expm1(fine), CubicSpline(x, columns)(fine)


class StarFormation(torch.nn.Module):
    """Masses formed per time bin, and metallicities, for batches of parameters.

    The SFH is piecewise linear between the nodes of the bases, and beyond them it goes on along
    the last segment. Its integral from now back to t is a piecewise parabola, evaluated exactly.
    """

    nodes: torch.Tensor
    sfh_segments: torch.Tensor
    zh_segments: torch.Tensor
    edges: torch.Tensor
    edge_integrals: torch.Tensor
    middle_zh: torch.Tensor

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        times, sfh, zh_bases = load_bases()
        slope = np.diff(sfh, axis=0) / np.diff(times)[:, None]
        # Segment s covers [left_s, left_(s+1)]; the first one reaches down to now (t = 0).
        left = np.concatenate([[0.0], times[1:-1]])
        value = sfh[:-1] + slope * (left - times[:-1])[:, None]
        width = np.diff(np.append(left, times[-1]))[:, None]
        steps = value * width + 0.5 * slope * width**2
        integral = np.concatenate([np.zeros((1, 4)), np.cumsum(steps, axis=0)[:-1]])
        zh_slope = np.diff(zh_bases, axis=0) / np.diff(times)[:, None]
        zh_value = zh_bases[:-1] + zh_slope * (left - times[:-1])[:, None]
        buffers = {
            "nodes": times[1:-1],
            "sfh_segments": np.column_stack([left, integral, value, 0.5 * slope]),
            "zh_segments": np.column_stack([left, zh_value, zh_slope]),
            "edges": TIME_EDGES,
        }
        for name, array in buffers.items():
            self.register_buffer(name, torch.tensor(array, dtype=torch.float64), persistent=False)
        middles = 0.5 * (self.edges[1:] + self.edges[:-1])
        integrals, zh = self.basis_integrals(self.edges), self.basis_metallicity(middles)
        self.register_buffer("edge_integrals", integrals, persistent=False)
        self.register_buffer("middle_zh", zh, persistent=False)
        self.to(dtype)

    def _segment(self, table: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Rows of a table of segments for each time."""
        time = time.detach().contiguous()
        segment = torch.bucketize(time, self.nodes, right=True)
        return table.index_select(0, segment.reshape(-1)).reshape(*time.shape, table.shape[1])

    def basis_integrals(self, time: torch.Tensor) -> torch.Tensor:
        """Integrals (..., 4) of the SFH bases from now back to `time` [Gyr]."""
        left, integral, value, half_slope = self._segment(self.sfh_segments, time).split_with_sizes(
            [1, 4, 4, 4], dim=-1
        )
        x = time[..., None] - left
        return integral + x * (value + x * half_slope)

    def basis_metallicity(self, time: torch.Tensor) -> torch.Tensor:
        """Metallicity bases (..., 2) at lookback `time` [Gyr]."""
        left, value, slope = self._segment(self.zh_segments, time).split_with_sizes(
            [1, 2, 2], dim=-1
        )
        return torch.addcmul(value, time[..., None] - left, slope)

    def cumulative(
        self, beta: torch.Tensor, age: torch.Tensor, time: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Fraction (..., T) of the smooth SFH's mass that formed since each lookback time.

        From weights of the bases (..., 4), the age of the universe (...) [Gyr], and times (T,)
        [Gyr], which are the 43 bin edges when left out.
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
        gamma = torch.exp(log_gamma * LN10)
        z = gamma[..., :1] * bases[..., 0] + gamma[..., 1:] * bases[..., 1]
        return z.clamp(*METALLICITY_RANGE)
