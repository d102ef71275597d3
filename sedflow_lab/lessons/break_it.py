"""The bench of the lesson in which things are broken, and answers to its exercises."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..anpe import AmortizedPosterior, example_galaxies
from ..diagnostics.broken import blinded, train_badly
from ..diagnostics.calibration_run import CalibrationRun
from ..diagnostics.mocks import YOUNG, Fault, draw_mocks
from ..diagnostics.runs import run_calibration
from ..diagnostics.witnesses import CASES, WITNESSES, Sight, sights
from ..observations.photometry import Photometry
from ..parameters import NAMES
from ..plots.marginals import plot_marginals
from ..plots.style import LabFigure
from .answers import exercise, judge

__all__ = ["Bench", "check_mode", "check_prior", "check_support", "young_share"]

_DRAWS = 1000
_LINE = 0.15


@dataclass
class Bench:
    """Where posteriors are broken, and looked at by all witnesses.

    Attributes
    ----------
    posterior : AmortizedPosterior
        The network to break.
    simulations, draws : int
        Galaxies that each case is judged by, and draws of each.
    seed : int
    """

    posterior: AmortizedPosterior
    simulations: int = 100
    draws: int = 100
    seed: int = 0
    _networks: dict[str, AmortizedPosterior] = field(default_factory=dict, repr=False)
    _own: dict[str, CalibrationRun] = field(default_factory=dict, repr=False)

    def network(self, case: str) -> AmortizedPosterior:
        """The network of a case; a bad one is trained when it is first asked for."""
        kind = CASES[case].network
        if kind not in self._networks:
            if kind in ("", "blind"):
                made = blinded(self.posterior) if kind else self.posterior
            else:
                with tempfile.TemporaryDirectory() as folder:
                    trained = train_badly(kind, self.posterior, folder)
                assert trained is not None  # nothing stops it
                made = trained
            self._networks[kind] = made
        return self._networks[kind]

    def run(self, case: str = "nothing", fault: Fault | None = None) -> CalibrationRun:
        """A calibration run of a case, or of a case's network with another fault."""
        fault = CASES[case].fault if fault is None else fault
        kind = CASES[case].network
        if not fault and kind in self._own:
            return self._own[kind]
        how = self.simulations, self.draws, self.seed
        run = run_calibration(self.network(case), "fast", *how, fault=fault)
        if not fault:
            self._own[kind] = run
        return run

    def sights(self, case: str, fault: Fault | None = None) -> dict[str, Sight]:
        """What each witness says of a case, or of a case's network with another fault."""
        return sights(self.run(case, fault), self.run(), self.run(case, Fault()))

    def tell(self, case: str) -> dict[str, Sight]:
        """Print what each witness says of a case, and why."""
        found = self.sights(case)
        print(CASES[case].label.upper())
        for name, sight in found.items():
            mark = "SEES IT" if sight.seen else "-"
            print(f"  {name:10} {mark:8} {_p(sight.p_value):9}  {WITNESSES[name]}")
        print(f"{CASES[case].why}\n")
        return found

    def galaxy(self, case: str, number: int = 0) -> tuple[Photometry, Photometry, np.ndarray]:
        """A simulated galaxy as it is told in a case, the same told right, and its truth (12,)."""
        fault, of = CASES[case].fault, self.posterior
        right = Fault(prior_shift=fault.prior_shift, young=fault.young)
        made = [
            draw_mocks(of.model, of.prior, of.bundle.noise, number + 1, self.seed + 1, one)
            for one in (fault, right)
        ]
        (told, truth), (well, _) = made
        return told[number], well[number], truth[number]

    def look(self, case: str, number: int = 0) -> LabFigure:
        """Draw one galaxy: its posterior in a case, as it should be (grey), and the truth."""
        told, well, truth = self.galaxy(case, number)
        wrong = self.network(case).infer(told, _DRAWS, "fast", on_bad="flag")
        right = self.posterior.infer(well, _DRAWS, "weighted", on_bad="flag")
        return plot_marginals(wrong, right, truth, title=CASES[case].label)


def young_share(result: Any) -> float:
    """Share of the posterior of one galaxy whose burst a blinded network misses."""
    young = result.samples[0, :, NAMES.index("tburst")] < YOUNG
    return float(result.weights[0][young].sum())


@exercise
def check_prior(answer: Any) -> None:
    """Parameters in which the prior, as a posterior, is not calibrated."""
    print(
        judge(
            answer,
            0,
            0.5,
            "Draw from the prior for every galaxy, rank the truths among the draws, and count "
            "those of check_uniformity(...).uniform that are False.",
            {"That is how many are calibrated: count the others.": 12},
        )
    )


@exercise
def check_support(answer: Any, bench: Bench) -> None:
    """Share of galaxies outside the support where the line is weak."""
    right = bench.sights("nothing", Fault(line=_LINE))["support"].size
    print(
        judge(
            answer,
            right,
            0.005,
            'Take bench.sights("nothing", Fault(line=0.15)), and of its "support" the size.',
            {
                "That is in per cent: give it between 0 and 1.": 100 * right,
                "That is the line of the lesson, ten times as strong.": bench.sights("outside")[
                    "support"
                ].size,
            },
        )
    )


@exercise
def check_mode(answer: Any, posterior: AmortizedPosterior, row: int) -> None:
    """Share of young bursts in the exact posterior of one of the network's example galaxies."""
    galaxy = example_galaxies(posterior)[row]
    right = young_share(posterior.infer(galaxy, 2000, "weighted", seed=0))
    print(
        judge(
            answer,
            right,
            0.05,
            'Infer the galaxy with method="weighted", and sum the weights of the draws whose '
            "tburst is below 0.3: young_share does that.",
            {"That is the share of the other mode.": 1 - right},
        )
    )


def _p(p_value: float) -> str:
    return f"p = {p_value:.2g}" if p_value >= 1e-9 else "p < 1e-9"
