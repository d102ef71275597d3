"""What the what-if panel shows, without widgets: a galaxy whose photometry is changed by hand."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import traitlets

from ...errors import InputError
from ...observations.photometry import Photometry
from ...posterior.information import information_gain
from ...quantities import QUANTITIES
from ...sps import BandSet
from ..kit.choice import GalaxyChoice, Outcome, Source
from ..kit.jobs import Job
from ..kit.state import Traits

__all__ = ["MOST_BRIGHTER", "NOISE_RANGE", "Preset", "WhatIfState", "presets"]

MOST_BRIGHTER = 2.0
"""Magnitudes by which a band may be made brighter or fainter."""

NOISE_RANGE = (0.05, 20.0)
"""Factors on an uncertainty."""

_LEAST_REDSHIFT = 0.001


class Preset(NamedTuple):
    """A change with a name."""

    meaning: str
    bands: tuple[str, ...]  # labels of those that are kept
    noise: float = 1.0  # factor on all uncertainties


def presets(bands: BandSet) -> dict[str, Preset]:
    """Changes by name, of photometry in these bands."""
    order = np.argsort(bands.effective_wavelength, kind="stable")
    labels = tuple(bands.labels[k] for k in order)
    made = {
        "errors halved": Preset("Observe four times longer", labels, 0.5),
        "10 × S/N": Preset("Observe a hundred times longer", labels, 0.1),
    }
    if len(labels) == 2:  # none can be spared
        return made
    first, last = labels[0], labels[-1]
    return {
        f"no {first} band": Preset("Leave out the bluest band", labels[1:]),
        **made,
        f"{first} and {last} only": Preset("Keep the two ends of the spectrum", (first, last)),
    }


class WhatIfState(GalaxyChoice):
    """A galaxy as it was measured, and as it would be with another photometry.

    Each change is inferred in a thread that always takes the newest and leaves out what came
    between: so the posterior follows a mouse. Once nothing changes any more, the bands are left
    out in turn, to see which of them matters for what.

    Parameters
    ----------
    posterior, photometry
        As of `GalaxyChoice`.
    **choice
        First values of `index`, `draws` and `exact`.

    Examples
    --------
    >>> state = WhatIfState(index=3)
    >>> state.put(brighter={"u": 0.5}, noisier={"g": 2.0})
    >>> state.wait()
    """

    shared = ("index", "draws", "exact", "error_floor", "outliers")

    draws = traitlets.Int(1000, min=100, max=20_000)
    exact = traitlets.Bool(False)  # make the newest posterior exact, once nothing changes
    brighter: traitlets.Dict = traitlets.Dict(read_only=True)  # magnitudes, by band
    noisier: traitlets.Dict = traitlets.Dict(read_only=True)  # factors on uncertainties, by band
    redshift = traitlets.Float(read_only=True)
    observed: traitlets.Tuple = traitlets.Tuple(read_only=True)  # labels of bands in use
    before = traitlets.Instance(Outcome, allow_none=True)  # of the photometry as measured
    now = traitlets.Instance(Outcome, allow_none=True)  # of the photometry as changed
    # By quantity: the band without which most is lost, and how many bits that is.
    matters: traitlets.Dict = traitlets.Dict()
    busy = traitlets.Bool(False)  # whether something is being inferred

    def __init__(
        self, posterior: Source = None, photometry: Photometry | None = None, **choice: Any
    ) -> None:
        self._wanted: Photometry | None = None  # the newest, if it is not being inferred yet
        self._gains: WeakKeyDictionary[Outcome, dict[str, float]] = WeakKeyDictionary()
        self._pursuing = False  # whether a thread will take it
        super().__init__(posterior, photometry, **choice)
        self.observe(lambda _: self.reset(), ["index", "draws"])
        self.observe(lambda _: self._follow(), "exact")
        self.reset()

    @property
    def bands(self) -> tuple[str, ...]:
        """Labels of the bands in which the galaxy was observed."""
        one = self.galaxy
        return tuple(np.array(one.bands.labels)[one.mask[0]].tolist())

    @property
    def changed(self) -> Photometry:
        """The galaxy as it would be."""
        one, labels = self.galaxy, self.galaxy.bands.labels
        brighter = np.array([self.brighter.get(label, 0.0) for label in labels])
        noisier = np.array([self.noisier.get(label, 1.0) for label in labels])
        flux, sigma = one.flux * 10 ** (0.4 * brighter), one.sigma * noisier
        new = Photometry(
            flux,
            sigma,
            self.redshift,
            one.bands,
            one.ids,
            one.mask,
            rows=one.rows,
            redshift_sigma=one.redshift_sigma,
        )
        return new.select_bands(*self.observed)

    def put(
        self,
        brighter: Mapping[str, float] | None = None,
        noisier: Mapping[str, float] | None = None,
        redshift: float | None = None,
        observed: tuple[str, ...] | None = None,
    ) -> None:
        """Change the photometry, and let the posterior follow.

        Parameters
        ----------
        brighter : mapping, optional
            Magnitudes by which bands become brighter than they were measured.
        noisier : mapping, optional
            Factors on uncertainties, against those that were measured.
        redshift : float, optional
        observed : tuple of str, optional
            Labels of the bands to use, two or more.

        Raises
        ------
        InputError
            If there is no such band, or fewer than two are left.
        """
        for name in (*(brighter or ()), *(noisier or ()), *(observed or ())):
            if name not in self.bands:
                raise InputError(
                    f"The galaxy was not observed in {name!r}: choose of {', '.join(self.bands)}."
                )
        if observed is not None and len(set(observed)) < 2:
            raise InputError("A posterior needs two bands or more: leave two of them.")
        with self.jobs.lock:
            if brighter is not None:
                self.set_trait("brighter", self.brighter | _within(brighter, -MOST_BRIGHTER))
            if noisier is not None:
                self.set_trait("noisier", self.noisier | _within(noisier, *NOISE_RANGE))
            if redshift is not None:
                most = self.posterior.bundle.redshift_max
                self.set_trait("redshift", float(np.clip(redshift, _LEAST_REDSHIFT, most)))
            if observed is not None:
                self.set_trait("observed", tuple(b for b in self.bands if b in observed))
        self._follow()

    def reset(self) -> None:
        """Go back to the photometry as it was measured."""
        with self.jobs.lock:
            self.jobs.stop()
            self._wanted, self._pursuing = None, False
            one = self.galaxy
            self._put({"busy": False, "matters": {}, "before": None})
            self.set_trait("brighter", dict.fromkeys(self.bands, 0.0))
            self.set_trait("noisier", dict.fromkeys(self.bands, 1.0))
            self.set_trait("redshift", float(one.redshift[0]))
            self.set_trait("observed", self.bands)
        self._follow()

    def preset(self, name: str) -> None:
        """Make one of the `presets` of the photometry as it was measured.

        Raises
        ------
        InputError
            If there is none of that name, or the galaxy was not observed in two of its bands.
        """
        bands, known = self.bands, presets(self.posterior.bands)
        if name not in known:
            raise InputError(f"There is no {name!r}: choose of {', '.join(known)}.")
        kept = tuple(band for band in bands if band in known[name].bands)
        noise = dict.fromkeys(bands, known[name].noise)
        self.put(dict.fromkeys(bands, 0.0), noise, float(self.galaxy.redshift[0]), kept)

    def gain(self, outcome: Outcome, name: str) -> float:
        """What an outcome says of a quantity [bits]."""
        known = self._gains.setdefault(outcome, {})
        if name not in known:
            prior = self.implied_prior(float(outcome.result.redshift[0]))
            weights = outcome.result.weights[0]
            known[name] = information_gain(outcome.values[name], weights, prior[name])
        return known[name]

    def _follow(self) -> None:
        """Let a thread infer the newest photometry, unless one is at it already."""
        with self.jobs.lock:
            self._wanted = self.changed
            self._put({"message": "", "matters": {}})
            self.jobs.stop("settle")
            if not self._pursuing:
                self._pursuing = True
                self._start("follow", "busy", "The posterior failed", self._pursue)

    def _pursue(self, job: Job) -> Traits:
        """Infer what is wanted, until nothing is."""
        while True:
            with self.jobs.lock:
                if job.stop.is_set():
                    return {}
                wanted, self._wanted = self._wanted, None
                self._pursuing = wanted is not None
            if wanted is None:
                job.post(self._settle)
                return {}
            try:
                now = self._run(wanted, self.draws, "fast", job.stop)
            except Exception:  # whatever it was, the next change finds nobody at work
                with self.jobs.lock:
                    self._pursuing = self._pursuing and job.stop.is_set()
                raise
            job.post(self._put, {"now": now} | ({"before": now} if self.before is None else {}))

    def _settle(self) -> None:
        """Once nothing changes: see which band matters, and make the posterior exact if asked."""
        now = self.now
        if now is None or not now.result.usable[0]:
            return

        def work(job: Job) -> Traits:
            job.post(self._put, {"matters": self._without_each(now, job.stop)})
            if self.exact and not job.stop.is_set():
                job.post(
                    self._put, {"now": self._run(now.photometry, self.draws, "exact", job.stop)}
                )
            return {}

        self._start("settle", None, "The exact posterior failed", work)

    def _without_each(self, now: Outcome, stop: threading.Event) -> dict[str, tuple[str, float]]:
        used = [b for b in self.bands if b in self.observed]
        if len(used) < 3:
            return {}
        most: dict[str, tuple[str, float]] = {}
        known = {name: self.gain(now, name) for name in QUANTITIES}
        for band in used:
            if stop.is_set():
                break
            less = self._run(now.photometry.drop_bands(band), self.draws, "fast")
            for name in QUANTITIES:
                lost = float(known[name] - self.gain(less, name))
                if lost > most.get(name, ("", 0.0))[1]:
                    most[name] = (band, lost)
        return most


def _within(
    values: Mapping[str, float], low: float, high: float = MOST_BRIGHTER
) -> dict[str, float]:
    return {name: float(np.clip(value, low, high)) for name, value in values.items()}
