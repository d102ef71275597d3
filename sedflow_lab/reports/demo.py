"""The main job in one call: real galaxies, the network beside emcee, and do they agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table, vstack

from .._files import write_text
from ..anpe import AmortizedPosterior, load_posterior
from ..diagnostics.comparison import compare
from ..errors import InputError
from ..observations.nsa import showcase
from ..observations.photometry import Photometry
from ..observations.write import write_table
from ..parameters import NAMES
from ..plots import plot_corner, plot_galaxy
from ..posterior.result import PosteriorResult
from ..samplers.mcmc import run_mcmc
from .pages import markdown_table, save_figure
from .study import NETWORK

__all__ = ["DemoReport", "GalaxyReport", "choose_galaxies", "run_demo"]

_DRAWS = 4000
_MIN_ESS = 400  # below it the weighted draws are replaced by exact ones
_QUANTILES = (0.1, 0.9)  # of the colour: the bluest and the reddest galaxy that are chosen


@dataclass(frozen=True)
class GalaxyReport:
    """What the demonstration found for one galaxy.

    Methods are ``"fast"``, ``"weighted"``, ``"exact"`` where too few of the weighted draws count,
    and ``"mcmc"``.
    """

    name: str  # NSAID
    colour: float  # g - r [mag]
    results: dict[str, PosteriorResult]  # by method
    seconds: dict[str, float]  # measured time of each method
    agreement: dict[str, Table]  # `compare` with emcee, of "fast" and of the corrected method

    @property
    def corrected(self) -> str:
        """The method that corrects the network: ``"weighted"`` or ``"exact"``."""
        return "exact" if "exact" in self.results else "weighted"

    def summary(self) -> Table:
        """One row a method: medians and intervals, quality, time, and distance from emcee."""
        rows = []
        for method, result in self.results.items():
            row = result.summary()
            row.add_columns([[method], [self.colour]], names=["method", "g_r"], indexes=[1, 1])
            row["seconds"] = self.seconds[method]
            for name, value in _numbers(result).items():
                row[name] = value
            if (agreement := self.agreement.get(method)) is not None:
                for k, name in enumerate(NAMES):
                    row[f"{name}_js"], row[f"{name}_shift"] = agreement["js", "shift"][k]
            rows.append(row)
        return vstack(rows, metadata_conflicts="silent")

    def to_markdown(self) -> str:
        """Report as Markdown."""
        chain, weighted = self.results["mcmc"], self.results["weighted"]
        tables = {method: self.agreement[method] for method in ("fast", self.corrected)}
        shown = {method: self.results[method] for method in (*tables, "mcmc")}
        quantiles = {m: r.quantile((0.16, 0.5, 0.84))[:, 0] for m, r in shown.items()}
        head = ["", *shown]
        for measure in ("JS", "shift"):
            head += [*(f"{measure} {method}" for method in tables), "floor"]
        rows = []
        for k, name in enumerate(NAMES):
            floor = tables["fast"][k]
            cells = [name]
            for low, middle, high in (values[:, k] for values in quantiles.values()):
                cells.append(f"{middle:.2f} +{high - middle:.2f} −{middle - low:.2f}")
            cells += [*(f"{t['js'][k]:.2f}" for t in tables.values()), f"{floor['js_floor']:.2f}"]
            cells += [f"{t['shift'][k]:+.2f}" for t in tables.values()]
            rows.append([*cells, f"{abs(floor['shift_floor']):.2f}"])
        rows += [
            [label, *texts, *[""] * 6]
            for label, texts in (
                ("badge", [str(r.badge[0]) for r in shown.values()]),
                ("effective draws", [f"{r.ess[0]:,.0f}" for r in shown.values()]),
                ("best χ²", [f"{r.chi2_min[0]:.2f}" for r in shown.values()]),
                ("seconds", [f"{self.seconds[m]:.2f}" for m in shown]),
            )
        ]
        d = _numbers(chain)
        parts = [
            f"## NSA {self.name}: g − r = {self.colour:.2f}, z = {chain.redshift[0]:.4f}",
            markdown_table(head, rows),
            f"Network and emcee: {tables['fast'].meta['verdict']}",
            f"Corrected network ({self.corrected}) and emcee: "
            f"{tables[self.corrected].meta['verdict']}",
            f"Weights: {weighted.ess[0]:,.0f} of {weighted.samples.shape[1]:,} draws count"
            + (", too few: exact draws take their place." if self.corrected == "exact" else "."),
            f"emcee: {d['n_steps']:,.0f} steps, {d['n_evaluations']:,.0f} evaluations, acceptance "
            f"{d['acceptance']:.2f}, longest autocorrelation time {d['tau']:.0f} steps, largest "
            f"R-hat {d['rhat']:.3f}, smallest effective sample size {d['ess_bulk']:,.0f}.",
            f"Figures: [corner plot](corner-{self.name}.png), "
            f"[spectrum and histories](galaxy-{self.name}.png).",
        ]
        return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class DemoReport:
    """What the demonstration found."""

    galaxies: list[GalaxyReport] = field(default_factory=list)
    chosen: str = ""  # how the galaxies were chosen
    seconds: float = 0.0  # measured time of everything, figures and comparisons included

    def summary(self) -> Table:
        """One row for each galaxy and method."""
        return vstack([g.summary() for g in self.galaxies], metadata_conflicts="silent")

    def to_markdown(self) -> str:
        """Report as Markdown."""
        methods = (*NETWORK, "mcmc")
        rows = [
            [g.name, *(f"{g.seconds[m]:.2f}" if m in g.seconds else "" for m in methods)]
            for g in self.galaxies
        ]
        parts = [
            "# Real galaxies: the network beside emcee\n",
            f"{self.chosen} Values are medians with 68 % intervals. JS is the Jensen-Shannon "
            "distance of a marginal from emcee's, between 0 and 1; shift is the difference of the "
            "medians in standard deviations; the floor is what two halves of emcee's own chain "
            "give. emcee starts at draws of the prior: it knows nothing of the network.\n",
            *(galaxy.to_markdown() for galaxy in self.galaxies),
            "## Seconds\n",
            markdown_table(["NSAID", *methods], rows),
            f"\nAll of it, comparisons and figures included, took {self.seconds:.0f} s.\n",
        ]
        return "\n".join(parts)


def choose_galaxies(
    photometry: Photometry, ids: Sequence[str] | None = None, n: int = 3
) -> Photometry:
    """Galaxies by their ids; or n of them spread evenly from blue to red.

    Chosen are those at evenly spaced quantiles of the colour g - r from 10 to 90 %: for three
    galaxies a blue, a typical and a red one.

    Raises
    ------
    InputError
        If there is no galaxy of an id, or `n` is not a number of galaxies that there are.
    """
    if ids is None:
        if not 1 <= n <= len(photometry):
            raise InputError(f"{n} galaxies were asked for: take 1 to {len(photometry)}.")
        levels = np.linspace(*_QUANTILES, n) if n > 1 else np.array([0.5])
        order = np.argsort(_colours(photometry), kind="stable")
        return photometry[order[np.round(levels * (len(order) - 1)).astype(int)]]
    known = photometry.ids.tolist()
    for name in ids:
        if name not in known:
            raise InputError(f"There is no galaxy {name!r} in the showcase: try {known[0]!r}.")
    return photometry[[known.index(name) for name in ids]]


def run_demo(
    out: str | Path,
    ids: Sequence[str] | None = None,
    *,
    n: int = 3,
    posterior: AmortizedPosterior | None = None,
    max_steps: int = 6000,
    seed: int = 0,
    progress: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> DemoReport:
    """Infer galaxies with the network and with emcee, compare, and write tables and figures.

    For each galaxy the folder gets ``corner-ID.png`` and ``galaxy-ID.png`` (photometry, spectrum,
    histories); and for all of them ``report.md`` and ``summary.ecsv``, anew after each galaxy.

    Parameters
    ----------
    out : path
        Folder to write to.
    ids : sequence of str, optional
        Showcase galaxies; see `choose_galaxies` for which are taken when left out.
    n : int
        How many, where `ids` is left out.
    posterior : AmortizedPosterior, optional
        The shipped one when left out.
    max_steps : int
        Steps after which emcee ends, converged or not.
    seed : int
    progress : bool
        Show progress bars.
    tell : callable, optional
        Called with a sentence on what is being done.
    """
    began = time.perf_counter()
    out = Path(out)
    posterior = posterior if posterior is not None else load_posterior()
    galaxies = choose_galaxies(showcase(), ids, n)
    out.mkdir(parents=True, exist_ok=True)
    how = "at evenly spaced quantiles of the colour g − r" if ids is None else "by id"
    # What is loaded once, however many galaxies follow, is not part of a galaxy's time.
    posterior.infer(galaxies[0], draws=100, method="weighted")
    reports: list[GalaxyReport] = []
    for k, galaxy in enumerate(galaxies, start=1):
        tell(f"galaxy {k} of {len(galaxies)}, NSA {galaxy.ids[0]}: network, emcee, comparison")
        reports.append(_one(galaxy, posterior, max_steps, seed, progress))
        _draw(out, galaxy, reports[-1], posterior)
        chosen = f"Galaxies of the showcase, chosen {how}."
        report = DemoReport(list(reports), chosen, time.perf_counter() - began)
        write_text(out / "report.md", report.to_markdown())
        write_table(report.summary(), out / "summary.ecsv")
    return report


def _one(
    galaxy: Photometry, posterior: AmortizedPosterior, max_steps: int, seed: int, progress: bool
) -> GalaxyReport:
    name, colour = str(galaxy.ids[0]), float(_colours(galaxy)[0])
    report = GalaxyReport(name, colour, results={}, seconds={}, agreement={})

    def timed(infer: Callable[..., PosteriorResult], *arguments: Any, **settings: Any) -> float:
        """Keep a result and its time; returns how many of its draws count."""
        began = time.perf_counter()
        result = infer(galaxy, *arguments, seed=seed, **settings)
        report.results[result.method] = result
        report.seconds[result.method] = time.perf_counter() - began
        return result.ess[0]

    timed(posterior.infer, _DRAWS, "fast")
    if timed(posterior.infer, _DRAWS, "weighted") < _MIN_ESS:
        timed(posterior.infer, _DRAWS, "exact")
    # From the prior: a witness should not have talked to the network.
    settings = {"start": "prior", "max_steps": max_steps, "progress": progress}
    timed(run_mcmc, posterior.model, posterior.prior, **settings)
    for method in ("fast", report.corrected):
        found = compare(report.results[method], report.results["mcmc"], seed=seed)
        report.agreement[method] = found
    return report


def _draw(
    out: Path, galaxy: Photometry, report: GalaxyReport, posterior: AmortizedPosterior
) -> None:
    title = f"NSA {report.name}, z = {galaxy.redshift[0]:.4f}, g − r = {report.colour:.2f}"
    both = [report.results[report.corrected], report.results["mcmc"]]
    corner = plot_corner([report.results["fast"], *both], title=title)
    save_figure(corner, out / f"corner-{report.name}.png", dpi=80)
    page = plot_galaxy(galaxy, both, posterior.model, title=title)
    save_figure(page, out / f"galaxy-{report.name}.png", dpi=110)


def _colours(photometry: Photometry) -> np.ndarray:
    """Return g - r [mag], shape (N,)."""
    g, r = (photometry.magnitude[:, photometry.bands.labels.index(band)] for band in "gr")
    return g - r


def _numbers(result: PosteriorResult) -> dict[str, float]:
    """Diagnostics as one number each, the worst where there is one a parameter."""
    return {
        name: float(np.min(values[0]) if name.startswith("ess") else np.max(values[0]))
        for name, values in result.diagnostics.items()
        if not name.startswith("draw_") and name != "seconds"  # which are measured here
    }
