"""What the explorer shows, without widgets: one galaxy of the SED model, and a fan of others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import traitlets

from ...errors import InputError
from ...parameters import NAMES, PARAMETERS, get_prior
from ...sps import SEDModel
from ...sps.histories import METALLICITY_RANGE
from ...sps.properties import derived
from ..kit.choice import Source, open_posterior
from ..kit.state import State
from .curves import Curves, make_curves

__all__ = [
    "BETAS",
    "LAST_MOVED",
    "LOGARITHMIC",
    "NOTHING",
    "N_FAN",
    "REDSHIFT_MIN",
    "START",
    "ExplorerState",
    "Frame",
]

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

START: Mapping[str, float] = MappingProxyType(
    {
        "log_mstar": 10.5,
        **dict.fromkeys(BETAS, 0.25),
        "fburst": 0.1,
        "tburst": 1.0,
        "log_gamma1": -2.5,
        "log_gamma2": -2.5,
        "tau_bc": 0.5,
        "tau_ism": 0.5,
        "n_dust": -0.5,
        "redshift": 0.05,
    }
)
"""Where the explorer starts: a star-forming galaxy with some dust and a small burst."""

_LAST_DIGITS = 1e-9


@dataclass(frozen=True, eq=False)
class Frame:
    """All that is on show at one moment."""

    curves: Curves  # of the chosen galaxy, then of those of the fan, if there is one
    fanned: str  # what the fan varies: a parameter, "redshift", or ""
    fan_values: np.ndarray  # (F,), its values
    derived: dict[str, float]  # quantities of the chosen galaxy
    notes: tuple[str, ...]  # what may puzzle: sentences on parameters that do nothing here
    seconds: float  # that it took to compute


class ExplorerState(State):
    """Twelve parameters and a redshift, and what the model makes of them.

    Every change makes a new `frame` before it returns, in a few milliseconds.

    Parameters
    ----------
    model : SEDModel, AmortizedPosterior, str or Path, optional
        A model, or a network for whose it stands: one that ships by name, or a folder. Default:
        the model of SDSS u g r i z.
    fan : str, default `LAST_MOVED`
    **values
        First values of parameters and ``redshift`` that are not those of `START`.

    Examples
    --------
    >>> state = ExplorerState()
    >>> state.put(beta1=0.7)
    >>> state.frame.curves.photometry[0]
    """

    # Parameters and redshift: `put`, `reset` and `draw` change them.
    values: traitlets.Dict = traitlets.Dict(read_only=True)
    fan = traitlets.Enum((LAST_MOVED, NOTHING, *NAMES, "redshift"), default_value=LAST_MOVED)
    frame = traitlets.Instance(Frame, read_only=True)  # what to show

    def __init__(
        self, model: SEDModel | Source = None, fan: str = LAST_MOVED, **values: float
    ) -> None:
        if not isinstance(model, SEDModel):
            model = SEDModel() if model is None else open_posterior(model).model
        self.model = model
        self.limits = {p.name: (p.low, p.high) for p in PARAMETERS}
        farthest = self.model.redshift_max
        self.limits["redshift"] = (min(REDSHIFT_MIN, 0.1 * farthest), farthest)
        # Ratios of the other weights, kept while one of them is all there is.
        self._mix = {name: np.full(3, 1 / 3) for name in BETAS}
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
        with self.jobs.lock:
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
        with self.jobs.lock:
            redshift = min(START["redshift"], self.model.redshift_max)
            self.set_trait("values", {**START, "redshift": redshift})

    def draw(self, seed: int | None = None) -> None:
        """Show a galaxy drawn from the prior, at the same redshift."""
        theta = get_prior().sample(1, seed=seed)[0]
        with self.jobs.lock:
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
        ratio = before / before.sum() if before.sum() > 1e-6 else self._mix[name]
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
        with self.jobs.lock:
            started = time.perf_counter()
            theta, redshift, fan = self._rows()
            curves = make_curves(self.model, theta, redshift)
            found = derived(theta[0], redshift[0], self.model)
            quantities = {name: float(value) for name, value in found.items()}
            notes = self._notes(curves)
            spent = time.perf_counter() - started
            self.set_trait("frame", Frame(curves, self.fanned, fan, quantities, notes, spent))

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
