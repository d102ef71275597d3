"""What the explorer shows, without widgets: one galaxy of the SED model, and a fan of others."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import traitlets

from ..errors import InputError
from ..parameters import NAMES, PARAMETERS, get_prior
from ..sps import SEDModel
from ..sps.dust import attenuation, dust_curves
from ..sps.histories import METALLICITY_RANGE
from ..sps.properties import derived

__all__ = [
    "ATTENUATION_UM",
    "BETAS",
    "LAST_MOVED",
    "LOGARITHMIC",
    "NOTHING",
    "N_FAN",
    "REDSHIFT_MIN",
    "START",
    "Curves",
    "ExplorerState",
    "Frame",
    "make_curves",
]  # fmt: skip

BETAS = NAMES[1:5]
"""The weights of the star-formation histories, which sum to one."""

LOGARITHMIC = ("tburst", "redshift")
"""What sliders and fans go through in even steps of the logarithm."""

LAST_MOVED, NOTHING = "the slider last moved", "nothing"
"""Choices of `ExplorerState.fan` beside the names of parameters and ``redshift``."""

N_FAN = 7
"""Galaxies in a fan."""

REDSHIFT_MIN = 1e-3
"""Lowest redshift to explore."""

ATTENUATION_UM = np.geomspace(0.12, 2.6, 160)
"""Rest-frame wavelengths [micron] of the attenuation curves: the 2175 Å bump is among them."""

START: Mapping[str, float] = MappingProxyType(
    dict(zip(NAMES, (10.5, 0.25, 0.25, 0.25, 0.25, 0.1, 1.0, -2.5, -2.5, 0.5, 0.5, -0.5),
             strict=True)) | {"redshift": 0.05}
)  # fmt: skip
"""Where the explorer starts: a star-forming galaxy with some dust and a small burst."""

_MICRON = 1e-4  # micron per Angstrom
_ZERO_POINT = 22.5
_YOUNGEST = 10**-2.05  # Gyr: the youngest stars are one population up to here
_REDDEST = 2.6  # micron
_PIXEL = 2.5e-3  # of the spectra, in ln λ
_LAST_DIGITS = 1e-9


@dataclass(frozen=True, eq=False)
class Curves:
    """What the model makes of N galaxies, ready to draw.

    Attributes
    ----------
    spectrum_x, spectrum : ndarray, shape (N, L)
        Observed wavelengths [micron] and AB magnitudes of the spectra, in bins of ln λ.
    photometry : ndarray, shape (N, B)
        AB magnitudes in the bands.
    time, sfr, metallicity : ndarray, shape (N, 2 T)
        Lookback times [Gyr], two for each time bin, its star-formation rate [Msun/yr] and its
        metallicity (PROVABGS label); undefined (NaN) before the Big Bang.
    attenuation : ndarray, shape (N, 2, K)
        Magnitudes that dust takes at `ATTENUATION_UM`, from stars outside and inside of birth
        clouds.
    """

    spectrum_x: np.ndarray
    spectrum: np.ndarray
    photometry: np.ndarray
    time: np.ndarray
    sfr: np.ndarray
    metallicity: np.ndarray
    attenuation: np.ndarray


@dataclass(frozen=True, eq=False)
class Frame:
    """All that is on show at one moment.

    Attributes
    ----------
    curves : Curves
        The chosen galaxy comes first, then those of the fan, if there is one.
    fanned : str
        What the fan varies: a parameter, ``redshift``, or ``""``.
    fan_values : ndarray, shape (F,)
        Its values in the fan.
    derived : dict of str to float
        Derived quantities of the chosen galaxy (see `sedflow_lab.sps.properties`).
    notes : tuple of str
        What may puzzle: sentences on parameters that do nothing here.
    seconds : float
        What it took to compute.
    """

    curves: Curves
    fanned: str
    fan_values: np.ndarray
    derived: dict[str, float]
    notes: tuple[str, ...]
    seconds: float


class ExplorerState(traitlets.HasTraits):
    """Twelve parameters and a redshift, and what the model makes of them.

    Every change makes a new `frame` before it returns, in a few milliseconds.

    Parameters
    ----------
    model : SEDModel, optional
        Default: the one of SDSS u g r i z.
    fan : str, default `LAST_MOVED`
    **values
        First values of parameters and ``redshift`` that are not those of `START`.

    Attributes
    ----------
    values : dict of str to float
        Parameters and ``redshift``; change them with `put`, `reset` and `draw`.
    fan : str
        What the fan varies: a parameter, ``redshift``, `LAST_MOVED` or `NOTHING`.
    frame : Frame
        What to show.

    Examples
    --------
    >>> state = ExplorerState()
    >>> state.put(beta1=0.7)
    >>> state.frame.curves.photometry[0]
    """

    values: traitlets.Dict = traitlets.Dict(read_only=True)
    fan = traitlets.Enum((LAST_MOVED, NOTHING, *NAMES, "redshift"), default_value=LAST_MOVED)
    frame = traitlets.Instance(Frame, read_only=True)

    def __init__(
        self, model: SEDModel | None = None, fan: str = LAST_MOVED, **values: float
    ) -> None:
        self.model = SEDModel() if model is None else model
        self.limits = {p.name: (p.low, p.high) for p in PARAMETERS}
        self.limits["redshift"] = (min(REDSHIFT_MIN, 0.1 * self.model.redshift_max),
                                   self.model.redshift_max)  # fmt: skip
        # Widgets may call back on threads of their own.
        self._lock = threading.RLock()
        # Ratios of the other weights, kept while one of them is all there is.
        self._mix = {name: np.full(3, 1 / 3) for name in BETAS}
        try:
            self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None
        super().__init__(fan=fan)
        self.reset()
        self.put(**values)
        self.last_moved = "tau_ism"
        self.observe(lambda _: self._compute(), ["values", "fan"])
        self._compute()

    @property
    def theta(self) -> np.ndarray:
        """The parameters, shape (12,)."""
        return np.array([self.values[name] for name in NAMES])

    @property
    def fanned(self) -> str:
        """What the fan varies now, or ``""``."""
        return {LAST_MOVED: self.last_moved, NOTHING: ""}.get(self.fan, self.fan)

    def put(self, **values: float) -> None:
        """Set parameters or ``redshift``, one after the other.

        The four weights of the star-formation history always sum to one: when one is set, the
        others share the rest as they did before.

        Raises
        ------
        InputError
            If a name is unknown, or a value outside the prior or the model's redshifts.
        """
        with self._lock:
            new = dict(self.values)
            for name, value in values.items():
                value = self._checked(name, value)
                if value == new[name]:
                    continue
                new[name], self.last_moved = value, name
                if name in BETAS:
                    self._share(new, name)
            self.set_trait("values", new)

    def reset(self) -> None:
        """Go back to `START`."""
        with self._lock:
            redshift = min(START["redshift"], self.model.redshift_max)
            self.set_trait("values", {**START, "redshift": redshift})

    def draw(self, seed: int | None = None) -> None:
        """Show a galaxy drawn from the prior, at the same redshift."""
        theta = get_prior().sample(1, seed=seed)[0]
        with self._lock:
            drawn = dict(zip(NAMES, theta.tolist(), strict=True))
            self.set_trait("values", {**self.values, **drawn})

    def fan_values(self, name: str) -> np.ndarray:
        """Values (F,) that a fan of a parameter, or of redshift, goes through."""
        low, high = self.limits[name]
        return (np.geomspace if name in LOGARITHMIC else np.linspace)(low, high, N_FAN)

    def _checked(self, name: str, value: float) -> float:
        if name not in self.limits:
            raise InputError(
                f"There is no parameter {name!r}: choose one of {', '.join(self.limits)}."
            )
        low, high = self.limits[name]
        room = _LAST_DIGITS * (high - low)  # sliders round
        if not low - room <= value <= high + room:
            raise InputError(f"{name} = {value:g} is outside [{low:g}, {high:g}].")
        return float(np.clip(value, low, high))

    def _share(self, values: dict[str, float], name: str, remember: bool = True) -> None:
        """Let the other weights share what one of them leaves, in the ratio they had."""
        others = [beta for beta in BETAS if beta != name]
        before = np.array([values[beta] for beta in others])
        if before.sum() > 1e-6:
            ratio = before / before.sum()
        else:
            ratio = self._mix[name]
        if remember:
            self._mix[name] = ratio
        rest = (1.0 - values[name]) * ratio
        values.update(zip(others, rest.tolist(), strict=True))

    def _rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameters (1 + F, 12) and redshifts (1 + F,) to show, and values of the fan (F,)."""
        rows, name = [dict(self.values)], self.fanned
        fan = self.fan_values(name) if name else np.empty(0)
        for value in fan:
            row = {**self.values, name: float(value)}
            if name in BETAS:
                self._share(row, name, remember=False)
            rows.append(row)
        theta = np.array([[row[n] for n in NAMES] for row in rows])
        return theta, np.array([row["redshift"] for row in rows]), fan

    def _compute(self) -> None:
        with self._lock:
            started = time.perf_counter()
            theta, redshift, fan = self._rows()
            curves = make_curves(self.model, theta, redshift)
            quantities = {
                name: float(value)
                for name, value in derived(theta[0], redshift[0], self.model).items()
            }
            notes = self._notes(curves)
            spent = time.perf_counter() - started
            frame = Frame(curves, self.fanned, fan, quantities, notes, spent)
            self.set_trait("frame", frame)

    def _notes(self, curves: Curves) -> tuple[str, ...]:
        values, notes = self.values, []
        age = float(np.nanmax(curves.time[0]))
        if values["fburst"] == 0:
            notes.append("There is no burst: f burst is 0, so t burst does nothing.")
        elif values["tburst"] > age:
            notes.append(
                f"t burst lies before the Big Bang, {age:.2f} Gyr ago at this redshift: the burst "
                "is left out."
            )
        ends = np.nanmin(curves.metallicity[0]), np.nanmax(curves.metallicity[0])
        low, high = METALLICITY_RANGE
        if ends[0] <= low * (1 + 1e-6) or ends[1] >= high * (1 - 1e-6):
            notes.append("The metallicity is clipped at the limit of the stellar populations.")
        return tuple(notes)


def make_curves(model: SEDModel, theta: np.ndarray, redshift: np.ndarray) -> Curves:
    """Compute all that is drawn of galaxies.

    Parameters
    ----------
    model : SEDModel
    theta : ndarray, shape (N, 12)
    redshift : ndarray, shape (N,)

    Returns
    -------
    Curves
    """
    with torch.no_grad():
        wavelength, spectrum = model.observed_spectrum(theta, redshift)
        flux = model.photometry(theta, redshift)
        time_gyr, sfr, metallicity = _steps(model, theta, redshift)
        starts, counts = _pixels(model)
        wavelength, spectrum = (
            np.add.reduceat(array, starts, axis=1)[:, : len(counts)] / counts
            for array in (wavelength, spectrum)
        )
        return Curves(
            wavelength * _MICRON,
            _magnitude(spectrum),
            _magnitude(flux),
            time_gyr,
            sfr,
            metallicity,
            _attenuation(theta),
        )


def _pixels(model: SEDModel) -> tuple[np.ndarray, np.ndarray]:
    """Where bins of the spectrum begin, and how many of its wavelengths each averages.

    Finer spectra than a screen has pixels would only slow the figures down. The last beginning
    is the end of what is shown.
    """
    reddest = max(_REDDEST, 1.1 * max(band.support[1] for band in model.bands.bands) * _MICRON)
    position = np.floor(np.log(model.wavelength) / _PIXEL)
    starts = np.flatnonzero(np.diff(position, prepend=-1))
    starts = starts[model.wavelength[starts] * _MICRON < reddest]
    return starts, np.diff(starts)


def _magnitude(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes of nanomaggies; fluxes that underflow are far out of any figure."""
    return _ZERO_POINT - 2.5 * np.log10(np.maximum(flux, 1e-30))


def _steps(
    model: SEDModel, theta: np.ndarray, redshift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Histories as steps: times, star-formation rates and metallicities, each (N, 2 T)."""
    history = model.histories(theta, redshift)
    age = model.cosmology.age(model.check_inputs(theta, redshift)[1]).double().numpy()
    edges = np.maximum(history.edges_gyr, _YOUNGEST)
    used = np.flatnonzero(np.diff(edges) > 0)
    start, stop = edges[used], edges[used + 1]
    # The model means over whole bins; the oldest has stars after the Big Bang only.
    share = ((age[:, None] - start) / (stop - start)).clip(0, 1)
    before = share <= 0
    sfr = history.sfr[:, used] / np.where(before, 1.0, share)
    ends = np.stack([np.broadcast_to(start, share.shape), np.minimum(stop, age[:, None])], axis=-1)
    columns = []
    for values in (sfr, history.metallicity[:, used]):
        columns.append(np.repeat(np.where(before, np.nan, values), 2, axis=1))
    ends = np.where(before[..., None], np.nan, ends)
    return ends.reshape(len(theta), -1), columns[0], columns[1]


def _attenuation(theta: np.ndarray) -> np.ndarray:
    """Magnitudes (N, 2, K) that dust takes from old and from young stars."""
    curves = dust_curves(torch.as_tensor(ATTENUATION_UM / _MICRON))
    parts: list[Any] = [torch.as_tensor(theta[:, k : k + 1]) for k in (9, 10, 11)]
    diffuse, cloud = (part.numpy() for part in attenuation(curves, *parts))
    old = -2.5 / math.log(10) * np.log(np.maximum(diffuse, 1e-300))
    young = -2.5 / math.log(10) * np.log(np.maximum(cloud, 1e-300))
    return np.stack([old, old + young], axis=1)
