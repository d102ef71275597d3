"""The figures of the paper, and those that it leaves out, from runs that are kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..._files import write_text
from ...anpe import AmortizedPosterior
from ...anpe.simulate import mock_photometry
from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.runs import run_calibration
from ...errors import InputError
from ...methods import METHODS
from ...observations.nsa import showcase
from ...observations.photometry import Photometry
from ...plots import (
    plot_conditional,
    plot_contraction,
    plot_corner,
    plot_coverage_map,
    plot_joint_coverage,
    plot_pp,
    plot_ranks,
    plot_sed,
    plot_training_set,
)
from ...plots.style import LabFigure
from ...posterior.result import PosteriorResult
from ...samplers.mcmc import run_mcmc
from ..figures import save_figure
from ..study import Store
from .chains import chains_of_study, numbers_of

__all__ = ["FIGURES", "FigureSettings", "make_figures"]

_TRAINING = 50_000
_DRAWS = 4000
_DPI = 110


@dataclass(frozen=True)
class FigureSettings:
    """How large the runs are, and what they are made of.

    Attributes
    ----------
    simulations, draws : int
        Of the calibration runs of the network.
    methods : tuple of str
        ``"fast"``, ``"weighted"`` or ``"exact"``.
    mcmc_simulations : int
        Simulations that MCMC infers, unless a study has them; 0 leaves MCMC out.
    galaxy : str
        NSAID of the galaxy of Fig. 2; without one, a galaxy of the showcase that the study has.
    seed : int
    """

    simulations: int = 1000
    draws: int = 1000
    methods: tuple[str, ...] = ("fast", "weighted")
    mcmc_simulations: int = 100
    galaxy: str | None = None
    seed: int = 0


@dataclass
class _Maker:
    """Makes the runs that figures need, each at most once."""

    posterior: AmortizedPosterior
    settings: FigureSettings
    store: Path
    study: Store | None
    progress: bool
    stop: threading.Event | None
    notes: dict[str, Any] = field(default_factory=dict)
    _runs: dict[str, CalibrationRun] = field(default_factory=dict)

    def run(self, method: str) -> CalibrationRun | None:
        """The calibration run of a method; None where MCMC is left out."""
        if method not in self._runs:
            run = self._make_run(method)
            if run is None:
                return None
            self._runs[method] = run
            if len(run) >= 20:
                self.notes[method] = numbers_of(run) | self.notes.get(method, {})
        return self._runs[method]

    def runs(self) -> dict[str, CalibrationRun]:
        """All runs, by the labels of their curves."""
        found = [self.run(method) for method in (*self.settings.methods, "mcmc")]
        return {
            f"{METHODS[r.method].label}, {len(r)} simulations": r for r in found if r is not None
        }

    def _make_run(self, method: str) -> CalibrationRun | None:
        settings = self.settings
        if method != "mcmc":
            return self._calibrate(method, settings.simulations)
        if self.study is not None:
            run, left_out = chains_of_study(self.study, self.posterior)
            self.notes["mcmc"] = {"left_out_as_not_converged": left_out}
            return run
        if settings.mcmc_simulations == 0:
            return None
        return self._calibrate(method, settings.mcmc_simulations)

    def _calibrate(self, method: str, simulations: int) -> CalibrationRun:
        run = run_calibration(
            self.posterior,
            method,
            simulations,
            self.settings.draws,
            self.settings.seed,
            path=self.store / f"{method}.npz",
            progress=self.progress,
            stop=self.stop,
        )
        if len(run) < simulations:
            raise KeyboardInterrupt(
                f"{len(run)} of {simulations} simulations ({method}) are kept in {self.store}: "
                "run the same command again to go on."
            )
        return run

    def fast_and_chains(self) -> dict[str, CalibrationRun]:
        """The first method and MCMC: what the paper's figures compare."""
        first = self.first()
        return {k: r for k, r in self.runs().items() if r is first or r.method == "mcmc"}

    def chain(self) -> tuple[Photometry, PosteriorResult]:
        """A real galaxy with its chain."""
        galaxies = showcase()
        wanted = self.settings.galaxy
        if self.study is not None:
            found = self.study.sample("showcase").photometry
            names = [wanted] if wanted else [str(name) for name in found.ids]
            for name in names:
                chain = self.study.load("showcase", "mcmc", name)
                if chain is not None and chain.badge[0] == "converged":
                    return found[found.ids == name], chain
        rows = np.flatnonzero(galaxies.ids == wanted) if wanted else np.array([0])
        if len(rows) != 1:
            raise InputError(f"The showcase has no galaxy {wanted!r}.")
        galaxy = galaxies[rows]
        chain = run_mcmc(
            galaxy,
            self.posterior.model,
            self.posterior.prior,
            start=self.posterior,
            draws=_DRAWS,
            seed=self.settings.seed,
            progress=self.progress,
            stop=self.stop,
        )
        if chain.badge[0] == "unfinished":
            raise KeyboardInterrupt("the chain of Fig. 2 was not finished.")
        return galaxy, chain

    def first(self) -> CalibrationRun:
        """The run of the first method."""
        run = self.run(self.settings.methods[0])
        assert run is not None  # only MCMC can be left out
        return run


def _training_set(maker: _Maker) -> dict[str, LabFigure]:
    posterior = maker.posterior
    simulations, theta = mock_photometry(
        posterior.model, posterior.prior, posterior.bundle.noise, _TRAINING, maker.settings.seed
    )
    galaxies = showcase()
    same = galaxies.bands == simulations.bands
    return {"fig1-training": plot_training_set(theta, simulations, galaxies if same else None)}


def _galaxy(maker: _Maker) -> dict[str, LabFigure]:
    galaxy, chain = maker.chain()
    posterior, seed = maker.posterior, maker.settings.seed
    layers = [
        *(posterior.infer(galaxy, _DRAWS, method, seed) for method in ("fast", "exact")),
        chain,
    ]
    maker.notes["galaxy"] = {"id": str(galaxy.ids[0]), "chain": str(chain.badge[0])}
    return {
        "fig2-corner": plot_corner(layers, prior=posterior.prior),
        "fig2-sed": plot_sed(galaxy, layers, posterior.model),
    }


def _pp(maker: _Maker) -> dict[str, LabFigure]:
    return {"fig3-pp": plot_pp(maker.fast_and_chains())}


def _ranks(maker: _Maker) -> dict[str, LabFigure]:
    return {"fig4-ranks": plot_ranks(maker.fast_and_chains())}


def _joint(maker: _Maker) -> dict[str, LabFigure]:
    return {"fig5-joint": plot_joint_coverage(maker.runs())}


def _conditional(maker: _Maker) -> dict[str, LabFigure]:
    run = maker.first()
    bins = min(5, len(run) // 20)
    if bins < 2:
        raise InputError(
            f"{len(run)} simulations are too few to be sorted into groups: take 40 or more."
        )
    cells = (min(4, bins), min(4, bins))
    return {
        "fig6-conditional": plot_conditional(run, bins=bins),
        "fig6-map": plot_coverage_map(run, bins=cells),
    }


def _contraction(maker: _Maker) -> dict[str, LabFigure]:
    return {"fig7-contraction": plot_contraction(maker.first())}


class Figure(NamedTuple):
    """A figure that can be made: what it shows, and what makes its files, by name."""

    shows: str
    make: Callable[[_Maker], dict[str, LabFigure]]


FIGURES = {
    "1": Figure("training distribution with real galaxies over it", _training_set),
    "2": Figure("corner plot and spectrum of a galaxy against MCMC", _galaxy),
    "3": Figure("p–p curves with MCMC in grey", _pp),
    "4": Figure("rank histograms with MCMC in grey", _ranks),
    "5": Figure("joint coverage: TARP, regions of highest density, and the fit", _joint),
    "6": Figure("coverage by signal-to-noise ratio, magnitude, redshift and colour", _conditional),
    "7": Figure("posterior z-scores and contraction", _contraction),
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
        If there is no such figure, or the study has no simulations.
    KeyboardInterrupt
        If `stop` was set: says what is kept.
    """
    unknown = [key for key in only if key not in FIGURES]
    if unknown:
        raise InputError(f"There is no figure {unknown[0]!r}: choose of {', '.join(FIGURES)}.")
    folder = Path(folder).expanduser()
    runs = folder / "runs" if store is None else Path(store).expanduser()
    for each in (folder, runs):
        each.mkdir(parents=True, exist_ok=True)
    maker = _Maker(
        posterior,
        settings or FigureSettings(),
        runs,
        None if study is None else Store(Path(study).expanduser()),
        progress,
        stop,
    )
    for key in only:
        for name, figure in FIGURES[key].make(maker).items():
            for ending in ("pdf", "png"):
                save_figure(figure, folder / f"{name}.{ending}", dpi=_DPI, bbox_inches="tight")
            tell(f"Fig. {key}, {FIGURES[key].shows}: {folder / name}.pdf and .png")
    numbers = {"settings": vars(maker.settings) | {"methods": list(maker.settings.methods)}}
    numbers |= maker.notes
    write_text(folder / "figures.json", json.dumps(numbers, indent=2) + "\n")
    return numbers
