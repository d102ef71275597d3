"""The figures of the paper, and those that it leaves out, from runs that are kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ... import plots
from ..._files import expanded, write_text
from ...anpe import AmortizedPosterior
from ...anpe.simulate import mock_photometry
from ...diagnostics.calibration_run import OBSERVABLES, CalibrationRun
from ...diagnostics.runs import run_calibration
from ...errors import InputError
from ...observations.nsa import NSA_BANDS, showcase
from ...observations.photometry import Photometry
from ...plots.style import LabFigure
from ...posterior.result import PosteriorResult
from ...samplers.mcmc import run_mcmc
from ..pages import save_figure
from ..study import Store
from .chains import chains_of_study, numbers_of

__all__ = ["FIGURES", "FigureSettings", "make_figures"]

_TRAINING = 50_000
_DRAWS = 4000
_DPI = 110
_LEAST_GROUP = 20  # simulations of each group of Fig. 6, of which there are two or more


@dataclass(frozen=True)
class FigureSettings:
    """How large the runs are, and what they are made of."""

    simulations: int = 1000  # of each calibration run of the network
    draws: int = 1000  # of each of them
    methods: tuple[str, ...] = ("fast", "weighted")
    mcmc_simulations: int = 100  # that MCMC infers, unless a study has them; 0 leaves MCMC out
    galaxy: str | None = None  # NSAID, for Fig. 2; by default one of the showcase or the study
    seed: int = 0


@dataclass
class _Maker:
    """Makes the runs that figures need, each at most once."""

    posterior: AmortizedPosterior
    settings: FigureSettings
    store: Path
    study: Store | None
    how: dict[str, Any]  # whether what takes long shows its progress, and what stops it
    where: dict[str, Any]  # the workers that make calibration runs
    notes: dict[str, Any] = field(default_factory=dict)
    _runs: dict[str, CalibrationRun | None] = field(default_factory=dict)

    def runs(self, *methods: str) -> list[CalibrationRun]:
        """Calibration runs of methods; that of MCMC may be left out."""
        for method in (m for m in methods if m not in self._runs):
            run = self._runs[method] = self._make_run(method)
            if run is not None and len(run) >= 20:
                self.notes[method] = numbers_of(run) | self.notes.get(method, {})
        return [run for run in map(self._runs.get, methods) if run is not None]

    @property
    def paper(self) -> tuple[str, str]:
        """The methods that the paper's figures compare: the first one, and MCMC."""
        return self.settings.methods[0], "mcmc"

    def _make_run(self, method: str) -> CalibrationRun | None:
        settings, n = self.settings, self.settings.simulations
        if method == "mcmc":
            if self.study is not None:
                run, left_out = chains_of_study(self.study, self.posterior)
                self.notes["mcmc"] = {"left_out_as_not_converged": left_out}
                return run
            n = settings.mcmc_simulations
            if n == 0:
                return None
        path = self.store / f"{method}.npz"
        how = {"path": path, **self.where, **self.how}
        run = run_calibration(self.posterior, method, n, settings.draws, settings.seed, **how)
        if len(run) < n:
            raise KeyboardInterrupt(
                f"{len(run)} of {n} simulations ({method}) are kept in {self.store}: "
                "run the same command again to go on."
            )
        return run

    def chain(self) -> tuple[Photometry, PosteriorResult]:
        """A real galaxy with its chain."""
        galaxies = showcase()
        wanted = self.settings.galaxy
        if self.study is not None:
            found = self.study.sample("showcase").photometry
            for name in [wanted] if wanted else found.ids.tolist():
                chain = self.study.load("showcase", "mcmc", name)
                if chain is not None and chain.badge[0] == "converged":
                    return found[found.ids == name], chain
        rows = np.flatnonzero(galaxies.ids == wanted) if wanted else np.array([0])
        if len(rows) != 1:
            raise InputError(f"The showcase has no galaxy {wanted!r}.")
        galaxy, posterior = galaxies[rows], self.posterior
        settings: Any = {"start": posterior, "draws": _DRAWS, "seed": self.settings.seed}
        chain = run_mcmc(galaxy, posterior.model, posterior.prior, **settings, **self.how)
        if chain.badge[0] == "unfinished":
            raise KeyboardInterrupt("the chain of Fig. 2 was not finished.")
        return galaxy, chain


def _training_set(maker: _Maker) -> dict[str, LabFigure]:
    posterior = maker.posterior
    simulations, theta = mock_photometry(
        posterior.model, posterior.prior, posterior.bundle.noise, _TRAINING, maker.settings.seed
    )
    known = set(simulations.bands.names) <= set(NSA_BANDS)
    galaxies = showcase(simulations.bands) if known else None
    return {"fig1-training": plots.plot_training_set(theta, simulations, galaxies)}


def _galaxy(maker: _Maker) -> dict[str, LabFigure]:
    galaxy, chain = maker.chain()
    posterior, seed = maker.posterior, maker.settings.seed
    layers = [posterior.infer(galaxy, _DRAWS, method, seed) for method in ("fast", "exact")]
    layers.append(chain)
    maker.notes["galaxy"] = {"id": str(galaxy.ids[0]), "chain": str(chain.badge[0])}
    return {
        "fig2-corner": plots.plot_corner(layers, prior=posterior.prior),
        "fig2-sed": plots.plot_sed(galaxy, layers, posterior.model),
    }


def _conditional(maker: _Maker) -> dict[str, LabFigure]:
    [run] = maker.runs(maker.paper[0])
    # Noise makes some fluxes negative, which have no magnitude to sort by.
    known = min(int(np.isfinite(run.observable(name)).sum()) for name in OBSERVABLES)
    bins = min(5, known // _LEAST_GROUP)
    if bins < 2:
        raise _too_few(f"{known} simulations with a magnitude")
    cells = (min(4, bins), min(4, bins))
    return {
        "fig6-conditional": plots.plot_conditional(run, bins=bins),
        "fig6-map": plots.plot_coverage_map(run, bins=cells),
    }


def _too_few(these: str) -> InputError:
    return InputError(
        f"{these} are too few to be sorted into the groups of figure 6: take more, for "
        f"{2 * _LEAST_GROUP} or more of them."
    )


class Figure(NamedTuple):
    """A figure that can be made: what it shows, and what makes its files, by name."""

    shows: str
    make: Callable[[_Maker], dict[str, LabFigure]]


FIGURES = {
    "1": Figure("training distribution with real galaxies over it", _training_set),
    "2": Figure("corner plot and spectrum of a galaxy against MCMC", _galaxy),
    "3": Figure(
        "p–p curves with MCMC in grey",
        lambda maker: {"fig3-pp": plots.plot_pp(maker.runs(*maker.paper))},
    ),
    "4": Figure(
        "rank histograms with MCMC in grey",
        lambda maker: {"fig4-ranks": plots.plot_ranks(maker.runs(*maker.paper))},
    ),
    "5": Figure(
        "joint coverage: TARP, regions of highest density, and the fit",
        lambda maker: {
            "fig5-joint": plots.plot_joint_coverage(maker.runs(*maker.settings.methods, "mcmc"))
        },
    ),
    "6": Figure("coverage by signal-to-noise ratio, magnitude, redshift and colour", _conditional),
    "7": Figure(
        "posterior z-scores and contraction",
        lambda maker: {"fig7-contraction": plots.plot_contraction(*maker.runs(maker.paper[0]))},
    ),
}
"""Figures that can be made; the first four have the paper's numbers."""


def make_figures(
    folder: str | Path,
    posterior: AmortizedPosterior,
    settings: FigureSettings | None = None,
    *,
    only: Sequence[str] = tuple(FIGURES),
    store: str | Path | None = None,
    study: str | Path | None = None,
    workers: int | None = None,
    scheduler: Any = None,
    progress: bool = False,
    stop: threading.Event | None = None,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Make the figures as PDF and PNG, and the runs behind them where these are not kept yet.

    Parameters
    ----------
    folder : path
        Where to write; it is made.
    posterior : AmortizedPosterior
    settings : FigureSettings, optional
    only : sequence of str
        Keys of `FIGURES`.
    store : path, optional
        Folder of the runs, to keep them and to go on from; by default ``runs`` in `folder`.
    study : path, optional
        Folder of a study by 'sedflow-lab compare', whose chains are used.
    workers, scheduler : optional
        As for `run_calibration`.
    progress : bool
    stop : threading.Event, optional
    tell : callable
        Called with what was made.

    Returns
    -------
    dict
        What the figures show in numbers, which ``figures.json`` holds, too.

    Raises
    ------
    InputError
        If there is no such figure, the study has no simulations, or there are too few for Fig. 6.
    KeyboardInterrupt
        If `stop` was set: says what is kept.
    """
    unknown = [key for key in only if key not in FIGURES]
    if unknown:
        raise InputError(f"There is no figure {unknown[0]!r}: choose of {', '.join(FIGURES)}.")
    settings = settings or FigureSettings()
    if "6" in only and settings.simulations < 2 * _LEAST_GROUP:  # not after all others
        raise _too_few(f"{settings.simulations} simulations")
    folder = expanded(folder)
    runs = folder / "runs" if store is None else expanded(store)
    for each in (folder, runs):
        each.mkdir(parents=True, exist_ok=True)
    kept = None if study is None else Store(expanded(study))
    how: dict[str, Any] = {"progress": progress, "stop": stop}
    where: dict[str, Any] = {"workers": workers, "scheduler": scheduler}
    maker = _Maker(posterior, settings, runs, kept, how, where)
    for key in only:
        for name, figure in FIGURES[key].make(maker).items():
            for ending in ("pdf", "png"):
                save_figure(figure, folder / f"{name}.{ending}", dpi=_DPI, bbox_inches="tight")
            tell(f"Fig. {key}, {FIGURES[key].shows}: {folder / name}.pdf and .png")
    numbers = {"settings": vars(maker.settings) | {"methods": list(maker.settings.methods)}}
    numbers |= maker.notes
    write_text(folder / "figures.json", json.dumps(numbers, indent=2) + "\n")
    return numbers
