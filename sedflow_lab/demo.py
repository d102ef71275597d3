"""The main job in one call: three real galaxies, the network beside emcee, and do they agree."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .anpe import AmortizedPosterior, load_posterior
from .diagnostics.comparison import compare
from .errors import InputError
from .mcmc import run_mcmc
from .nsa import showcase
from .parameters import PARAMETERS
from .photometry import Photometry
from .posterior import PosteriorResult

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["GalaxyReport", "choose_galaxies", "run_demo"]

_DRAWS = 4000
_MIN_ESS = 400  # below it the weighted draws are replaced by refined ones
_COLOUR_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class GalaxyReport:
    """What the demonstration found for one galaxy.

    Attributes
    ----------
    name : str
    results : dict of PosteriorResult
        By method: ``"fast"``, ``"weighted"`` or ``"exact"``, and ``"mcmc"``.
    seconds : dict of float
        Time of each method.
    agreement : Table
        The corrected network against emcee, one row a parameter.
    """

    name: str
    results: dict[str, PosteriorResult]
    seconds: dict[str, float]
    agreement: Table

    def to_markdown(self) -> str:
        """Report as Markdown: medians and 68 % intervals, diagnostics, agreement, times."""
        chain = self.results["mcmc"]
        columns = list(self.results)
        lines = [f"## NSA {self.name}, z = {chain.redshift[0]:.4f}", ""]
        lines += ["| | " + " | ".join(columns) + " | JS distance (floor) | shift [σ] |"]
        lines += ["|---" * (len(columns) + 3) + "|"]
        quantiles = {m: np.asarray(r.quantile([0.16, 0.5, 0.84])) for m, r in self.results.items()}
        for k, parameter in enumerate(PARAMETERS):
            cells = []
            for method in columns:
                low, middle, high = quantiles[method][:, 0, k]
                cells.append(f"{middle:.3f} +{high - middle:.3f} −{middle - low:.3f}")
            row = self.agreement[k]
            cells += [f"{row['js']:.3f} ({row['js_floor']:.3f})", f"{row['shift']:+.2f}"]
            lines.append(f"| {parameter.name} | " + " | ".join(cells) + " |")
        for label, values in self._diagnostics().items():
            lines.append(f"| {label} | " + " | ".join(values) + " | | |")
        d = chain.diagnostics
        lines += [
            "",
            f"emcee: {int(d['n_steps'][0]):,} steps, {int(d['n_evaluations'][0]):,} evaluations, "
            f"acceptance {d['acceptance'][0]:.2f}, longest autocorrelation time "
            f"{np.max(d['tau'][0]):.0f} steps, largest R-hat {np.max(d['rhat'][0]):.3f}, smallest "
            f"effective sample size {np.min(d['ess_bulk'][0]):,.0f}.",
            "",
        ]
        return "\n".join(lines)

    def _diagnostics(self) -> dict[str, list[str]]:
        results = self.results.values()
        return {
            "badge": [str(r.badge[0]) for r in results],
            "ESS": [f"{r.ess[0]:,.0f}" for r in results],
            "best χ²": [f"{r.chi2_min[0]:.2f}" for r in results],
            "seconds": [f"{self.seconds[method]:.2f}" for method in self.results],
        }


def choose_galaxies(photometry: Photometry, ids: Sequence[str] | None = None) -> Photometry:
    """Galaxies by their ids; or a blue, a typical and a red one.

    The three are those at the 10, 50 and 90 % quantiles of the colour g - r.

    Raises
    ------
    InputError
        If there is no galaxy of an id.
    """
    if ids is None:
        g, r = (photometry.magnitude[:, photometry.bands.labels.index(b)] for b in "gr")
        order = np.argsort(g - r)
        return photometry[[int(order[int(q * (len(order) - 1))]) for q in _COLOUR_QUANTILES]]
    known = list(photometry.ids)
    for name in ids:
        if name not in known:
            raise InputError(f"There is no galaxy {name!r} in the showcase: try {known[0]!r}.")
    return photometry[[known.index(name) for name in ids]]


def run_demo(
    out: str | Path,
    ids: Sequence[str] | None = None,
    *,
    posterior: AmortizedPosterior | None = None,
    max_steps: int = 6000,
    seed: int = 0,
    progress: bool = False,
) -> list[GalaxyReport]:
    """Infer galaxies with the network and with emcee, compare, and write tables and figures.

    For each galaxy the folder gets ``corner-ID.png``, ``galaxy-ID.png`` (photometry, spectrum,
    histories); and for all of them ``report.md`` and ``summary.ecsv``.

    Parameters
    ----------
    out : path
        Folder to write to.
    ids : sequence of str, optional
        Showcase galaxies; a blue, a typical and a red one when left out.
    posterior : AmortizedPosterior, optional
        The shipped one when left out.
    max_steps : int
        Steps after which emcee ends, converged or not.
    seed : int
    progress : bool

    Returns
    -------
    list of GalaxyReport
    """
    from astropy.table import vstack

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    posterior = posterior if posterior is not None else load_posterior()
    galaxies = choose_galaxies(showcase(), ids)
    # What is made once, however many galaxies follow, is not part of a galaxy's time.
    posterior.infer(galaxies[0], draws=100, method="weighted")
    reports = []
    for i in range(len(galaxies)):
        reports.append(_one(galaxies[i], posterior, max_steps, seed, progress))
        _draw(out, galaxies[i], reports[-1], posterior)
    (out / "report.md").write_text("\n".join(r.to_markdown() for r in reports), encoding="utf-8")
    rows = []
    for report in reports:
        for method, result in report.results.items():
            table = result.summary()
            table["method"], table["seconds"] = method, report.seconds[method]
            rows.append(table)
    vstack(rows, metadata_conflicts="silent").write(out / "summary.ecsv", overwrite=True)
    return reports


def _one(
    galaxy: Photometry, posterior: AmortizedPosterior, max_steps: int, seed: int, progress: bool
) -> GalaxyReport:
    results: dict[str, PosteriorResult] = {}
    seconds: dict[str, float] = {}

    def timed(method: str) -> PosteriorResult:
        began = time.perf_counter()
        if method == "mcmc":
            # From the prior: a witness should not have talked to the network.
            result = run_mcmc(
                galaxy,
                posterior.model,
                posterior.prior,
                start="prior",
                max_steps=max_steps,
                seed=seed,
                progress=progress,
            )
        else:
            result = posterior.infer(galaxy, _DRAWS, method, seed)
        results[method], seconds[method] = result, time.perf_counter() - began
        return result

    timed("fast")
    corrected = timed("weighted")
    if corrected.ess[0] < _MIN_ESS:
        corrected = timed("exact")
    chain = timed("mcmc")
    return GalaxyReport(str(galaxy.ids[0]), results, seconds, compare(corrected, chain))


def _draw(
    out: Path, galaxy: Photometry, report: GalaxyReport, posterior: AmortizedPosterior
) -> None:
    from .plots import plot_corner, plot_galaxy

    results = list(report.results.values())
    title = f"NSA {report.name}"
    corner = plot_corner(results, title=title)
    corner.savefig(out / f"corner-{report.name}.png", dpi=80)
    shown = [results[-2], results[-1]]
    page = plot_galaxy(galaxy, shown, posterior.model, title=title)
    page.savefig(out / f"galaxy-{report.name}.png", dpi=110)
