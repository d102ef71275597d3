"""What the catalogue panel shows, without widgets: a run, its results, a selection, a galaxy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from astropy.table import Table, vstack

from ..._files import expanded
from ...anpe.bundle import fetched_bundles, shipped_bundles
from ...catalogue.atlas import Progress, infer_catalogue
from ...errors import InputError
from ...exact import Outliers
from ...methods import AMORTIZED
from ...observations import Photometry, read_photometry
from ...posterior.result import PosteriorResult
from ...sps import BandSet
from ..kit.choice import Outcome, Source, open_posterior
from ..kit.jobs import Job
from ..kit.selection import LinkedState
from ..kit.state import Traits
from ..kit.summary import summaries
from .results import WIDTH, Results, made_by, opened

__all__ = ["PLANES", "CatalogueState"]

PLANES = (
    ("log_mstar", "log_sfr_1gyr"),
    ("log_mstar", "log_z_mw"),
    ("log_mstar", "age_mw"),
    ("redshift", "log_mstar"),
    ("log_mstar", f"log_ssfr_1gyr{WIDTH}"),
    ("log_ssfr_1gyr", "tau_ism"),
)
"""Quantities that the planes show at first, horizontally and vertically."""

_EVERY = 1.0  # seconds between looks at a run


class CatalogueState(LinkedState):
    """Galaxies, a run that infers them, its results, and what is chosen of these.

    A run goes on in a thread while its first results are shown. Cancelled, it goes on where it
    stopped: a galaxy's numbers do not depend on the others.

    Parameters
    ----------
    results : table, path, PosteriorResult or Catalogue, optional
        Posteriors that were inferred before: a table that the command ``infer`` wrote, or a store,
        such as ``atlas.zarr``.
    photometry : Photometry or path, optional
        The galaxies, to infer them, or to see the posterior of one. Default: those of the store,
        or `sedflow_lab.example_galaxies` if there are no results either.
    posterior : AmortizedPosterior, str or Path, optional
        A posterior, a shipped bundle by name, or a folder; default, the one on the shelf that made
        the results, or `DEFAULT_BUNDLE`.
    out : path, optional
        A store for the run, ``atlas.zarr``, in which it outlives the notebook; default, memory.
    **choice
        First values of `method`, `draws`, `seed` and `planes`.
    """

    method = traitlets.Enum(AMORTIZED, default_value="fast")
    draws = traitlets.Int(1000, min=100, max=20_000)
    seed = traitlets.Int(0, min=0)
    running = traitlets.Bool(False)
    done = traitlets.Int(0)  # galaxies of the run
    total = traitlets.Int(0)
    finished = traitlets.Bool(False)  # whether the run with these settings has come to its end
    results = traitlets.Instance(Results, allow_none=True)
    planes: traitlets.Tuple = traitlets.Tuple(default_value=PLANES)
    outcome = traitlets.Instance(Outcome, allow_none=True)  # its posterior
    opening = traitlets.Bool(False)  # whether its posterior is on its way

    def __init__(
        self,
        results: Any = None,
        photometry: Photometry | str | Path | None = None,
        posterior: Source = None,
        *,
        out: str | Path | None = None,
        **choice: Any,
    ) -> None:
        self.out = None if out is None else expanded(out)
        if results is None and self.out is not None and self.out.exists():
            results = self.out
        self.can_run = photometry is not None or results is None
        self._parts: list[Table] = []
        results = opened(results)
        maker = made_by(results)
        if posterior is None and maker in (*shipped_bundles(), *fetched_bundles()):
            posterior = maker
        posterior = open_posterior(posterior)
        if isinstance(results, PosteriorResult):
            _check_bands(results.bands, posterior.bands)
        found = None if results is None else Results.of(results, posterior.model)
        if isinstance(photometry, str | Path):
            photometry = read_photometry(photometry, posterior.bands, on_bad="flag")
        super().__init__(posterior, photometry, **choice)
        if not self.can_run:
            self.examples = None  # they are not looked at
        self.total = len(self.galaxies)
        self.observe(lambda _: self._show_galaxy(), "tapped")
        self.observe(lambda _: self._forget(), ["method", "draws", "seed"])
        if found is not None:
            self._set_results(found)

    # The run

    def run(self) -> None:
        """Infer all galaxies, or go on where a run was cancelled."""
        with self.jobs.lock:
            if not self.running and not self.finished:
                self._put({"message": "", "tapped": None})
                work = self._infer if self.out is None else self._infer_into_store
                self._start("run", "running", "The run failed", work)

    def cancel(self) -> None:
        """Stop the run; what is finished stays."""
        with self.jobs.lock:
            self.jobs.stop("run")
            if self.running:
                self.running = False
                self._look()

    def _forget(self) -> None:
        """Begin anew, as other settings give other numbers; what is shown stays till then."""
        with self.jobs.lock:
            self.cancel()
            self._parts = []
            self._put({"finished": False, "done": 0, "total": len(self.galaxies)})

    def _infer(self, job: Job) -> Traits:
        """Infer what is left, and now and then show what is there; runs in a thread."""
        method, draws, seed = self.method, self.draws, self.seed
        pace, first = _Pace(), self.done
        how = (self.posterior, self.galaxies, draws, method, seed, job.stop, first)
        for _, table, _ in summaries(*how):
            job.post(self._take, table)
            pace.look(lambda: job.post(self._look))
        if job.stop.is_set():
            return {}
        job.post(self._look)
        return {"finished": True}

    def _take(self, part: Table) -> None:
        self._parts.append(part)
        self.done += len(part)

    def _look(self) -> None:
        """Show what the run has found."""
        if self._parts:
            self._parts = [vstack(self._parts, metadata_conflicts="silent")]
            self._set_results(Results.of(self._parts[0]))

    def _infer_into_store(self, job: Job) -> Traits:
        """Infer what a store lacks, and now and then show what it has; runs in a thread."""
        out, pace = self.out, _Pace()
        assert out is not None

        def watch(progress: Progress) -> None:
            job.post(self._put, {"done": progress.done, "total": progress.total})
            pace.look(lambda: job.post(self._set_results, Results.of(out)))

        how: Any = {"posterior": self.posterior, "stop": job.stop, "watch": watch}
        infer_catalogue(self.galaxies, out, self.draws, self.method, self.seed, **how)
        job.post(self._set_results, Results.of(out))
        return {"finished": True}

    @property
    def table(self) -> Table | None:
        """What the run in memory has found so far, one row a galaxy."""
        return vstack(self._parts, metadata_conflicts="silent") if self._parts else None

    # Results

    def _set_results(self, found: Results) -> None:
        planes = _with_what_there_is(self.planes, list(found.columns))
        chosen = self.chosen[self.chosen < len(found)]
        with self.hold_trait_notifications():
            self._put({"planes": planes, "results": found, "chosen": chosen})

    # One galaxy

    def _show_galaxy(self) -> None:
        """Get the posterior of the galaxy that was tapped."""
        with self.jobs.lock:
            self.jobs.stop("open")
            row, found = self.tapped, self.results
            self._put({"outcome": None, "opening": False, "message": ""})
            if row is None or found is None:
                return
            if problem := str(found.problems[row]):
                self.message = problem
                return

            def work(job: Job) -> Traits:
                return {"outcome": self._open(found, row, job)}

            self._start("open", "opening", "There is no posterior to show", work)

    def _open(self, found: Results, row: int, job: Job) -> Outcome:
        began, photometry = time.perf_counter(), self._photometry(found, row)
        _check_bands(photometry.bands, self.posterior.bands)
        if found.store is not None:
            try:
                result = found.store.posterior(found.which(row))
                return self._outcome(photometry, result, time.perf_counter() - began)
            except InputError:
                pass  # it has kept no draws: they are made again
        meta = found.meta
        method = meta["method"] if meta.get("method") in AMORTIZED else "fast"
        draws, seed = int(meta.get("draws", self.draws)), int(meta.get("seed", 0))
        outliers = Outliers(meta["outliers"]) if "outliers" in meta and method != "fast" else None
        how: Any = {"outliers": outliers, "stop": job.stop}
        result = self.posterior.infer(photometry, draws, method, seed, **how)
        return self._outcome(photometry, result, time.perf_counter() - began)

    def _photometry(self, found: Results, row: int) -> Photometry:
        """Photometry of one galaxy of the results, as it was inferred."""
        if not self.can_run and found.store is not None:
            return found.store.photometry(found.which(row))
        name, ids = found.ids[row], self.galaxies.ids
        rows = np.flatnonzero(ids == name) if self.can_run else np.zeros(0, int)
        if row in rows:  # several may have one name
            rows = np.array([row])
        if len(rows) != 1:
            raise InputError(f"the photometry of galaxy {name} is not here: give photometry=.")
        floor = {
            label: found.meta[f"error_floor_{label}"]
            for label in self.galaxies.bands.labels
            if f"error_floor_{label}" in found.meta
        }
        one = self.galaxies[int(rows[0])]
        return one.with_error_floor(floor) if floor else one


def _check_bands(made: BandSet, here: BandSet) -> None:
    """Refuse results of a network for other bands than the panel's."""
    if made != here:
        raise InputError(
            f"These results are in {', '.join(made.names)}, and this panel's network is for "
            f"{', '.join(here.names)}: give the one that made them, as posterior=."
        )


class _Pace:
    """Looks at what is there every second, or so rarely that they take a fifth of the time."""

    def __init__(self) -> None:
        self._looked, self._pause = time.monotonic(), _EVERY

    def look(self, look: Callable[[], None]) -> None:
        """Look, if it is time."""
        began = time.monotonic()
        if began - self._looked > self._pause:
            look()
            self._looked = time.monotonic()
            self._pause = max(_EVERY, 4 * (self._looked - began))


def _with_what_there_is(
    planes: tuple[tuple[str, str], ...], names: list[str]
) -> tuple[tuple[str, str], ...]:
    """Planes with other quantities in place of those that there are not."""
    used = {name for plane in planes for name in plane}
    left = [name for name in names if name not in used and not name.endswith(WIDTH)]
    spare = iter(sorted(left, key=lambda name: name.startswith("beta")))  # which tell the least

    def known(name: str) -> str:
        return name if name in names else next(spare, names[0])

    return tuple((known(x), known(y)) for x, y in planes)
