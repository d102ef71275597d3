r"""The noise model: how uncertain a measured flux is, and how to add that noise.

In band X the uncertainty of a source with noiseless flux f is

.. math:: \sigma^2 = (\kappa f)^2 + s^2, \qquad
          \ln s = a + b \ln \sqrt{f^2 + f_0^2} + c \, \epsilon_{\rm source} + d \, \epsilon_X,

a calibration floor κ and an excess s that scatters, partly in common to all bands of a source.
The scatter :math:`\epsilon_X` is Student-t: surveys have wild outliers.

The posterior is conditional on the uncertainties, so a flow trained on these draws need not know
how uncertainties are distributed; it needs to have seen enough of them. But it must not learn
the flux from the uncertainty: the Gaussian likelihood holds no such term. A floor that is an
exact fraction of the noiseless flux would betray the flux better than the measurement does.
Therefore κ scatters too (`floor_scatter`), by much more than the floor is worth.

For the same reason sources need not be as faint as their mass and distance make them: a prior
that is flat in log M* would waste most simulations on galaxies that no survey measures. Mass only
scales the flux, so uncertainties are drawn as if the source had a magnitude between the limits
`bright` and `faint`, and scaled back. Every simulation then has the signal-to-noise of the survey.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts load when they are first used; statistics take 60 MB

from .._files import read_json, reading, write_text
from ..errors import InputError
from ..units import POGSON, flux_of_magnitude, magnitude
from .photometry import Photometry

if TYPE_CHECKING:
    import torch

    from ..sps.bands import BandSet

__all__ = ["NoiseModel", "find_noise", "fit_noise", "load_noise", "shipped_noise"]

_PREFIX = "noise_"  # of the files of noise models that ship
_PER_BAND = {
    "floor": (0.0, 10.0),
    "intercept": (-100.0, 100.0),
    "slope": (-10.0, 10.0),
    "softening": (0.0, 1e12),
    "band_scatter": (0.0, 10.0),
}
_PER_MODEL = {
    "common_scatter": (0.0, 10.0),
    "bright": (-50.0, 60.0),
    "faint": (-50.0, 60.0),
    "degrees_of_freedom": (1.0, 1000.0),
    "floor_scatter": (0.0, 10.0),
}  # limits far beyond what any survey has, and within what single precision holds
_MOST = 2000  # galaxies, or few more, to which a line is fitted
_MARGIN = 2.0  # magnitudes beyond the faintest percent of the fitted sample


@dataclass(frozen=True)
class NoiseModel:
    """Coefficients of the noise model, one value per band in every tuple.

    Attributes
    ----------
    bands : tuple of str
        Filter names.
    floor : tuple of float
        Calibration floor κ as a fraction of the flux.
    intercept, slope : tuple of float
        a and b: the excess s [nanomaggies] at one nanomaggy, and how it grows with flux.
    softening : tuple of float
        f_0 [nanomaggies]: below it the sky sets the excess.
    common_scatter : float
        c, in ln σ.
    band_scatter : tuple of float
        d, in ln σ: the scale of the Student-t scatter.
    bright, faint : float
        Limits [AB mag] in the middle band between which sources are drawn, uniformly.
    degrees_of_freedom : float
        Of the Student-t scatter.
    floor_scatter : float
        Scatter of ln κ.
    """

    bands: tuple[str, ...]
    floor: tuple[float, ...]
    intercept: tuple[float, ...]
    slope: tuple[float, ...]
    softening: tuple[float, ...]
    common_scatter: float
    band_scatter: tuple[float, ...]
    bright: float
    faint: float
    degrees_of_freedom: float = 3.0
    floor_scatter: float = 0.35

    def __post_init__(self) -> None:
        bands = self.bands if isinstance(self.bands, tuple) else ()
        if not bands or not all(isinstance(band, str) for band in bands):
            raise InputError(f"Noise model: bands needs names of filters, it is {self.bands!r}.")
        for name, (low, high) in _PER_BAND.items():
            values = getattr(self, name)
            right = isinstance(values, tuple) and len(values) == len(bands)
            if not right or not all(_is_number(v, low, high) for v in values):
                raise InputError(
                    f"Noise model: {name} needs one number from {low:g} to {high:g} per band "
                    f"({len(bands)}), it is {values!r}."
                )
        for name, (low, high) in _PER_MODEL.items():
            if not _is_number(getattr(self, name), low, high):
                raise InputError(
                    f"Noise model: {name} needs a number from {low:g} to {high:g}, it is "
                    f"{getattr(self, name)!r}."
                )

    def draw_sigma(
        self, flux: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Draw uncertainties of sources as they are, of noiseless fluxes (N, B) [nanomaggies]."""
        import torch

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=flux.dtype, device=flux.device)

        floor, a, b, f0, d = (
            flux.new_tensor(v)
            for v in (self.floor, self.intercept, self.slope, self.softening, self.band_scatter)
        )
        n, n_bands = flux.shape
        # Student-t by an inverse-gamma mixture of normals; chi-squared from its normals.
        dof = max(1, round(self.degrees_of_freedom))
        chi2 = normal(dof, n, n_bands).square().sum(0)
        student = normal(n, n_bands) * torch.sqrt(dof / chi2)
        log_s = a + b * torch.log(torch.sqrt(flux.square() + f0.square()))
        log_s = log_s + self.common_scatter * normal(n, 1) + d * student
        floor = floor * torch.exp(self.floor_scatter * normal(n, n_bands))
        # Beyond e^30 nothing is measured any more; single precision must survive it.
        return torch.sqrt((floor * flux).square() + torch.exp(log_s.clamp(max=30.0)).square())

    def observe(
        self, flux: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Observe sources as a survey would that sees them between its limits.

        Noisy fluxes and uncertainties from noiseless fluxes, all of them (N, B) [nanomaggies].
        """
        import torch

        n, n_bands = flux.shape
        uniform = torch.rand(n, 1, generator=generator, dtype=flux.dtype, device=flux.device)
        source = self.bright + (self.faint - self.bright) * uniform
        middle = flux[:, n_bands // 2, None].clamp_min(torch.finfo(flux.dtype).tiny)
        scale = flux_of_magnitude(source) / middle
        sigma = self.draw_sigma(flux * scale, generator) / scale
        unit = torch.randn(flux.shape, generator=generator, dtype=flux.dtype, device=flux.device)
        return flux + sigma * unit, sigma

    @classmethod
    def from_depths(
        cls, bands: tuple[str, ...], depth: float | list[float], floor: float = 0.02
    ) -> NoiseModel:
        """Noise of a survey known only by its 5σ depths [AB mag] and calibration floor [mag].

        Sources are drawn from the depth of the middle band up to 8 magnitudes brighter.
        """
        depths = np.broadcast_to(np.asarray(depth, dtype=float), (len(bands),))
        middle = float(depths[len(bands) // 2])
        sky = flux_of_magnitude(depths) / 5
        n = len(bands)
        return cls(
            bands=tuple(bands),
            floor=(floor / POGSON,) * n,
            intercept=tuple(float(x) for x in np.log(sky)),
            slope=(0.0,) * n,
            softening=(1.0,) * n,
            common_scatter=0.3,
            band_scatter=(0.3,) * n,
            bright=middle - 8.0,
            faint=middle,
        )

    def to_dict(self) -> dict[str, object]:
        """Coefficients as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> NoiseModel:
        """Inverse of `to_dict`."""
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        try:
            return cls(**fields)
        except TypeError as error:
            raise InputError(f"These are not the coefficients of a noise model: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the coefficients as JSON, in one step."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and low <= value <= high


def shipped_noise() -> tuple[str, ...]:
    """Names of the noise models in the package's data: a new one is a new file there."""
    return tuple(_shipped())


def _shipped() -> dict[str, Traversable]:
    """Files of the package's noise models by name: noise_nsa_ugriz.json is that of nsa-ugriz."""
    found = sorted(files("sedflow_lab.data").iterdir(), key=lambda file: file.name)
    return {
        file.name[len(_PREFIX) : -len(".json")].replace("_", "-"): file
        for file in found
        if file.name.startswith(_PREFIX)
    }


def load_noise(name: str | Path = "nsa-ugriz") -> NoiseModel:
    """Read a noise model: a shipped one by name, or a JSON file.

    Raises
    ------
    InputError
        If there is no such model or the file is not one.
    """
    shipped, what = _shipped(), "the noise model"
    remedy = f"give a JSON file of sedflow-lab noise or one of {', '.join(shipped)}"
    with as_file(shipped[str(name)]) if str(name) in shipped else nullcontext(name) as path:
        values = read_json(path, what, remedy)
        with reading(path, what, remedy):
            return NoiseModel.from_dict(values)


def find_noise(bands: BandSet, noise: str | Path | None = None) -> NoiseModel:
    """Read the noise model for a band set: the one that is named, else the shipped one.

    Raises
    ------
    InputError
        If it cannot be read or is of other bands, or if none is named and none ships.
    """
    if noise is not None:
        model = load_noise(noise)
        if model.bands != bands.names:
            raise InputError(
                f"The noise model {noise} is of the bands {', '.join(model.bands)}, not of "
                f"{', '.join(bands.names)}: fit one to galaxies in these (sedflow-lab noise)."
            )
        return model
    for name in shipped_noise():
        if (model := load_noise(name)).bands == bands.names:
            return model
    raise InputError(
        f"No noise model ships for {bands.name}: fit one to a catalogue (sedflow-lab noise) and "
        "give it with --noise, or give the survey's 5-sigma depths with --depth."
    )


def fit_noise(photometry: Photometry) -> NoiseModel:
    """Fit the noise model to measured galaxies.

    The floor is the lower edge of the relative uncertainties. The excess is fitted by the
    median line of ln s against ln f, and its residuals by a Student-t. Scatter common to all
    bands comes from the residuals' robust covariance. What is left is the bands' own.

    Raises
    ------
    InputError
        If fewer than 100 galaxies have positive fluxes in all bands.
    """
    good = photometry.usable & photometry.mask.all(1) & (photometry.flux > 0).all(1)
    if good.sum() < 100:
        raise InputError(
            f"Fitting the noise needs at least 100 galaxies with positive fluxes in every band, "
            f"but there are {int(good.sum())}."
        )
    flux, sigma = photometry.flux[good], photometry.sigma[good]
    relative = sigma / flux
    floor = np.percentile(relative, 0.5, axis=0)
    lines, residuals = [], np.full(flux.shape, np.nan)
    for k in range(flux.shape[1]):
        excess = np.sqrt(np.clip(sigma[:, k] ** 2 - (floor[k] * flux[:, k]) ** 2, 0, None))
        # Where the excess is lost under the floor it says nothing; wild errors say too much.
        use = (excess > 0.1 * floor[k] * flux[:, k]) & (relative[:, k] < 1)
        x, y = np.log(flux[use, k]), np.log(excess[use])
        # The median slope is that of all pairs, whose number grows with the square.
        step = max(1, len(x) // _MOST)
        slope, intercept, _, _ = scipy.stats.theilslopes(y[::step], x[::step])
        lines.append((intercept, slope))
        residuals[use, k] = y - intercept - slope * x
    common = _common_scatter(residuals)
    middle = magnitude(flux[:, flux.shape[1] // 2])
    bright, faint = np.percentile(middle, [10, 99])
    scale = [_own_scatter(residuals[:, k], common) for k in range(flux.shape[1])]
    return NoiseModel(
        bands=photometry.bands.names,
        floor=_rounded(floor),
        intercept=_rounded([line[0] for line in lines]),
        slope=_rounded([line[1] for line in lines]),
        softening=_rounded(np.percentile(flux, 1, axis=0)),
        common_scatter=_rounded([common])[0],
        band_scatter=_rounded(scale),
        bright=float(round(bright, 1)),
        faint=float(round(faint + _MARGIN, 1)),
    )


def _common_scatter(residuals: np.ndarray) -> float:
    """Square root of the median robust covariance between bands."""
    covariances = []
    for a, b in combinations(residuals.T, 2):
        # Gnanadesikan & Kettenring: cov = (var(a + b) - var(a - b)) / 4, with MAD scales.
        plus, minus = (
            scipy.stats.median_abs_deviation(x, scale="normal", nan_policy="omit") ** 2
            for x in (a + b, a - b)
        )
        covariances.append((plus - minus) / 4)
    return float(np.sqrt(max(np.median(covariances), 0.0)))


def _own_scatter(residual: np.ndarray, common: float) -> float:
    """Scale of a band's Student-t scatter, with the common part taken out."""
    values = residual[np.isfinite(residual)]
    _, _, scale = scipy.stats.t.fit(values, fdf=3)
    # Keep some scatter of the band's own, lest ratios of uncertainties betray colours.
    return float(max(np.sqrt(max(scale**2 - common**2, 0.0)), 0.5))


def _rounded(values: object) -> tuple[float, ...]:
    return tuple(float(f"{v:.4g}") for v in np.asarray(values, dtype=float))
