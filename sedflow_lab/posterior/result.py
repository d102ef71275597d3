"""The one result type of every inference method: weighted posterior draws of N galaxies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import with_rows
from .._keywords import renamed
from ..errors import InputError
from ..parameters import N_THETA
from ..sps.bands import BandSet, get_bands
from .weighting import kish_ess, systematic_resample, weighted_quantile

if TYPE_CHECKING:
    from astropy.table import Table

    from ..observations.photometry import Photometry
    from ..sps.model import SEDModel

__all__ = ["GALAXY_FIELDS", "PosteriorResult"]

_PER_DRAW = "draw_"
GALAXY_FIELDS = tuple(
    "samples weights redshift ids badge ess chi2_min log_evidence problems".split()
)
"""Arrays that every result has."""

_WORDS = ("ids", "badge", "problems")


@dataclass(eq=False, repr=False)
class PosteriorResult:
    """Weighted posterior draws of N galaxies, with what is known about their quality.

    Rows that could not be inferred keep their place: ``problems`` holds the reason, the draws
    are NaN and the weights zero.

    Attributes
    ----------
    samples : ndarray, shape (N, D, 12)
        Draws of the reported parameters, in the order and units of `parameters.PARAMETERS`.
    weights : ndarray, shape (N, D)
        Weights of the draws; they sum to 1 for each usable galaxy.
    redshift : ndarray, shape (N,)
    ids : ndarray of str, shape (N,)
    bands : BandSet
        The bands of the photometry; a name is accepted.
    method : str
        How the draws were made, a word of `methods.METHODS`.
    badge : ndarray of str, shape (N,)
        How far to trust each posterior.
    ess : ndarray, shape (N,)
        Effective number of independent draws; by default Kish's (Σw)² / Σw².
    chi2_min : ndarray, shape (N,)
        Smallest χ² that was met (`LogPosterior.best_chi2`), NaN where it was not computed.
    log_evidence : ndarray, shape (N,)
        Natural log of the evidence, NaN where the method gives none.
    diagnostics : dict of ndarray
        Anything else, one row a galaxy. Names that begin with ``draw_`` have shape (N, D) and
        follow the draws when these are resampled; ``draw_chain`` is the number of the
        independent chain that a draw is from, and ``draw_redshift`` its redshift where that is
        uncertain, else NaN.
    provenance : dict
        What made the result (JSON-able): bundle, prior, settings, seed, versions.
    problems : ndarray of str, shape (N,)
        Why a galaxy has no posterior, ``""`` where it has one.
    """

    samples: np.ndarray
    weights: np.ndarray
    redshift: np.ndarray
    ids: np.ndarray
    bands: BandSet
    method: str
    badge: np.ndarray
    ess: np.ndarray = None  # type: ignore[assignment]  # filled in __post_init__
    chi2_min: np.ndarray = None  # type: ignore[assignment]  # filled in __post_init__
    log_evidence: np.ndarray = None  # type: ignore[assignment]  # filled in __post_init__
    diagnostics: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    problems: np.ndarray = None  # type: ignore[assignment]  # filled in __post_init__

    def __post_init__(self) -> None:
        """Bring every field to its type and check that the shapes agree."""
        self.samples = np.asarray(self.samples, dtype=np.float64)
        if self.samples.ndim != 3 or self.samples.shape[-1] != N_THETA:
            raise InputError(
                f"Posterior samples need the shape (galaxies, draws, {N_THETA}), "
                f"not {self.samples.shape}."
            )
        n, draws = self.samples.shape[:2]
        self.bands = get_bands(self.bands)
        unsaid = {
            "ess": kish_ess(np.asarray(self.weights, dtype=np.float64)),
            "chi2_min": np.full(n, np.nan),
            "log_evidence": np.full(n, np.nan),
            "problems": [""] * n,
        }
        for name in GALAXY_FIELDS:
            given = unsaid[name] if getattr(self, name) is None else getattr(self, name)
            setattr(self, name, np.asarray(given, np.str_ if name in _WORDS else np.float64))
        self.diagnostics = {k: np.asarray(v) for k, v in self.diagnostics.items()}
        per_galaxy = {name: getattr(self, name) for name in GALAXY_FIELDS} | self.diagnostics
        for name, array in per_galaxy.items():
            per_draw = name == "weights" or name.startswith(_PER_DRAW)
            wanted = (n, draws) if per_draw else (n,)
            if array.shape[: len(wanted)] != wanted:
                raise InputError(
                    f"{name} of a posterior result has shape {array.shape}, but the samples of "
                    f"shape {self.samples.shape} need {wanted}."
                )

    @classmethod
    def of(
        cls,
        photometry: Photometry,
        samples: np.ndarray,
        method: str,
        badge: str | np.ndarray,
        *,
        weights: np.ndarray | None = None,
        **fields: Any,
    ) -> PosteriorResult:
        """Make the result of N galaxies from their draws (N, D, 12) and a badge, or one for each.

        All draws weigh the same without weights (N, D); `fields` are other attributes.
        """
        n, draws = samples.shape[:2]
        return cls(
            samples=samples,
            weights=np.full((n, draws), 1.0 / draws) if weights is None else weights,
            redshift=photometry.redshift,
            ids=photometry.ids,
            bands=photometry.bands,
            method=method,
            badge=np.full(n, badge) if isinstance(badge, str) else badge,
            **fields,
        )

    @classmethod
    def blank(
        cls,
        photometry: Photometry,
        draws: int,
        method: str,
        problems: np.ndarray | None = None,
        badge: str = "bad photometry",
    ) -> PosteriorResult:
        """Make the result of galaxies that have no posterior, or none yet (see `put`).

        The draws are NaN, their weights zero; the problems are those of the photometry where
        none are given.
        """
        n = len(photometry)
        return cls.of(
            photometry,
            np.full((n, draws, N_THETA), np.nan),
            method,
            badge,
            weights=np.zeros((n, draws)),
            problems=photometry.problems if problems is None else problems,
        )

    def put(self, rows: Any, part: PosteriorResult) -> None:
        """Take over everything about some galaxies, by row, from another result, in place.

        It has as many draws. Diagnostics that one of the two lacks are NaN there.
        """
        for name in GALAXY_FIELDS:
            setattr(self, name, with_rows(getattr(self, name), rows, getattr(part, name)))
        for name, values in part.diagnostics.items():
            if name not in self.diagnostics:
                self.diagnostics[name] = np.full((len(self), *values.shape[1:]), np.nan)
        for name, values in self.diagnostics.items():
            self.diagnostics[name] = with_rows(values, rows, part.diagnostics.get(name, np.nan))

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[PosteriorResult]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> PosteriorResult:
        """Galaxies by number (a result of length 1), slice, mask or index array."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"There is no galaxy {index} in a result of {len(self)}.")
            index = [index]
        picked: dict[str, Any] = {name: getattr(self, name)[index] for name in GALAXY_FIELDS}
        return replace(
            self, **picked, diagnostics={k: v[index] for k, v in self.diagnostics.items()}
        )

    def __repr__(self) -> str:
        n, draws = self.samples.shape[:2]
        counts = Counter(self.badge.tolist()).most_common()
        badges = ", ".join(f"{count} {name!r}" for name, count in counts)
        galaxies = f"galaxy {self.ids[0]}" if n == 1 else f"{n} galaxies"
        usable = self.usable
        ess = f"{np.median(self.ess[usable]):.0f}" if usable.any() else "-"
        without = f"; {n - usable.sum()} without a posterior" if not usable.all() else ""
        return (
            f"<PosteriorResult: {galaxies} x {draws} draws, method {self.method!r}, bands "
            f"{self.bands.name}; badges: {badges or 'none'}; median ESS {ess}{without}>"
        )

    @property
    def usable(self) -> np.ndarray:
        """Whether each galaxy has a posterior: bool array, shape (N,)."""
        return self.weights.sum(axis=1) > 0

    @property
    def draw_redshift(self) -> np.ndarray:
        """Redshift of each draw, shape (N, D): that of its galaxy where it is known."""
        known = np.broadcast_to(self.redshift[:, None], self.weights.shape)
        drawn = self.diagnostics.get("draw_redshift")
        return known if drawn is None else np.where(np.isnan(drawn), known, drawn)

    def hold_redshifts(self) -> PosteriorResult:
        """The same with redshifts of draws, NaN if there are none, as other parts may have them."""
        shapes = {"draw_redshift": self.weights.shape, "redshift_cut": (len(self),)}
        nothing = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
        return replace(self, diagnostics=nothing | self.diagnostics)

    def mean(self) -> np.ndarray:
        """Posterior means, shape (N, 12); NaN where there is no posterior."""
        return np.einsum("nd,ndp->np", self.weights, self.samples)

    def quantile(self, q: float | Sequence[float]) -> np.ndarray:
        """Weighted quantiles, shape (N, 12) for a number, (len(q), N, 12) for a sequence."""
        return weighted_quantile(self.samples, self.weights, q)

    def summary(
        self,
        levels: tuple[float, float, float] = (0.16, 0.5, 0.84),
        model: SEDModel | None = None,
        rest_frame: str | BandSet | None = None,
    ) -> Table:
        """One row a galaxy: medians and 68 % intervals of all parameters, and the quality.

        The levels are quantiles for the columns ``<name>_lo``, ``<name>`` and ``<name>_hi``. With
        the model that made the posterior there are derived quantities as well, and those in bands
        at rest where these are given (see `derived`).
        """
        from .export import summary_table

        if rest_frame is not None and model is None:
            raise InputError("Quantities at rest need the model that made the posterior: give it.")
        return summary_table(self, levels, model, rest_frame)

    @renamed(n="draws")
    def resample(self, draws: int, seed: int = 0) -> PosteriorResult:
        """So many equally weighted draws a galaxy, by `weighting.systematic_resample`.

        They are in the order in which draws are stored. The effective sample size stays what it
        was, but is not more than the draws.
        """
        pick = systematic_resample(self.weights, draws, seed)
        along = {
            k: np.take_along_axis(v, pick, 1) if k.startswith(_PER_DRAW) else v
            for k, v in self.diagnostics.items()
        }
        return replace(
            self,
            samples=np.take_along_axis(self.samples, pick[..., None], axis=1),
            weights=np.where(self.usable[:, None], 1.0 / draws, 0.0) * np.ones((1, draws)),
            ess=np.minimum(self.ess, draws),
            diagnostics=along,
        )

    def reweight(
        self, names: Sequence[str], model: SEDModel, prior: str | None = None, seed: int = 0
    ) -> PosteriorResult:
        """The same draws under a prior that is flat in derived quantities (see `reweight`).

        Draws where the old prior is too thin to tell its density get no weight; their share of it
        is the diagnostic ``flat_outside``. Badges speak of the draws as they were. A `UserWarning`
        tells where the effective sample size falls below 100 or a tenth of before.

        Parameters
        ----------
        names : sequence of str
            One to three parameters or derived quantities.
        model : SEDModel
            The model that made the posterior.
        prior : str, optional
            Under which the draws were made; by default what the provenance says.
        seed : int
            Of the draws that tell the density of the prior.
        """
        from .reweight import flat_fields

        return replace(self, **flat_fields(self, names, model, prior, seed))

    def derived(
        self, model: SEDModel, rest_frame: str | BandSet | None = None
    ) -> dict[str, np.ndarray]:
        """What `sps.properties.derived` computes of every draw (N, D), by name.

        With bands in the rest frame, such as ``"sdss-ugriz"``, there are absolute magnitudes,
        colours, K-corrections and mass-to-light ratios as well (`sps.rest_frame.RestFrame`). The
        model is that which made the posterior. NaN where there is no posterior.
        """
        from ..sps.properties import derived
        from ..sps.rest_frame import at_rest

        good, redshift = np.flatnonzero(self.usable), self.draw_redshift
        parts = []
        # One by one, so that the last digits of a galaxy depend on no other.
        for rows in good[:, None] if len(good) else [good]:
            at = (self.samples[rows], redshift[rows])
            parts.append(derived(*at, model))
            if rest_frame is not None:
                parts[-1] |= at_rest(model, rest_frame)(*at)
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        nothing = np.full(self.weights.shape, np.nan)
        return {name: with_rows(nothing.copy(), good, values) for name, values in found.items()}

    def to_table(self, i: int = 0) -> Table:
        """Draws of one galaxy with their weights, as an astropy Table of D rows."""
        from .export import draws_table

        return draws_table(self[i])

    def to_arviz(self, i: int = 0, seed: int = 0) -> Any:
        """Draws of one galaxy as the installed ArviZ holds them, for its statistics and plots.

        That is an `InferenceData` before ArviZ 1.0, and from then on xarray's `DataTree`. MCMC
        results keep their independent ensembles as chains. Draws with unequal weights become one
        chain of as many draws by systematic resampling.

        Raises
        ------
        InputError
            If the galaxy has no posterior.
        """
        from .export import to_arviz

        return to_arviz(self[i], seed)

    @classmethod
    def concatenate(cls, results: Sequence[PosteriorResult]) -> PosteriorResult:
        """Stack results of one method, bands and number of draws; InputError if they differ."""
        if not results:
            raise InputError("There are no results to concatenate.")
        first = results[0]
        for other in results[1:]:
            for what, a, b in (
                ("method", first.method, other.method),
                ("bands", first.bands, other.bands),
                ("number of draws", first.samples.shape[1], other.samples.shape[1]),
                ("diagnostics", sorted(first.diagnostics), sorted(other.diagnostics)),
            ):
                if a != b:
                    raise InputError(f"Results differ in {what}: {a!r} and {b!r}.")
        joined: dict[str, Any] = {
            n: np.concatenate([getattr(r, n) for r in results]) for n in GALAXY_FIELDS
        }
        diagnostics = {
            k: np.concatenate([r.diagnostics[k] for r in results]) for k in first.diagnostics
        }
        parts = [r.provenance for r in results]
        distinct = [p for k, p in enumerate(parts) if p not in parts[:k]]
        provenance = distinct[0] if len(distinct) == 1 else {"parts": distinct}
        return replace(first, **joined, diagnostics=diagnostics, provenance=provenance)

    def save(self, path: str | Path) -> None:
        """Write everything to one HDF5 file; a file of that name is replaced in one step."""
        from .hdf5 import write

        write(self, path)

    @classmethod
    def load(cls, path: str | Path) -> PosteriorResult:
        """Read a result that `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, damaged, or something else.
        """
        from .hdf5 import read

        return read(path, cls)
