"""Faults by name, and which diagnostics see each of them: a p-value for each witness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from ..anpe.support import FALSE_ALARM_RATE
from ..anpe.trust import MAX_DISTANCE
from ..parameters import NAMES
from .calibration_run import CalibrationRun
from .mocks import ANOTHER, Fault
from .scoring import SCORED

__all__ = ["CASES", "SEEN", "WITNESSES", "Case", "Sight", "sights"]

SEEN = 1e-6
"""p-value below which a diagnostic sees a fault: so seldom does it cry wolf."""

WITNESSES: Mapping[str, str] = {
    "own": "all calibration tests, on the network's own simulations",
    "SBC": "ranks of the twelve parameters",
    "TARP": "tests of accuracy with random points",
    "HPD": "regions of highest density",
    "fit": "how well draws fit the data",
    "support": "photometry unlike the training set",
    "weights": "heavy tails of the importance weights (Pareto k)",
    "defensive": "distance of network and posterior, by points that owe the network nothing",
}
"""Diagnostics by name. SBC, TARP and HPD want the truth; the four that follow do not."""

_HEAVY = 0.7
_FIT = SCORED.index("fit to the data")


@dataclass(frozen=True)
class Case:
    """Something that can be wrong.

    Attributes
    ----------
    label : str
    of : str
        Whether it is the network that is wrong, or the idea of nature; or nothing at all.
    fault : Fault
        How galaxies differ from the network's simulations.
    network : str
        ``""`` for the network as it is, ``"blind"``, or one of `broken.BAD_TRAININGS`.
    why : str
        Who sees it and who does not, and why.
    """

    label: str
    of: Literal["nothing", "nature", "network"]
    fault: Fault = field(default_factory=Fault)
    network: str = ""
    why: str = ""


CASES: Mapping[str, Case] = {
    "nothing": Case("nothing", "nothing"),
    "underestimated": Case(
        "noise underestimated",
        "nature",
        Fault(sigma=0.4),
        why="Regions of highest density are drawn too small, and miss the truth. Draws miss the "
        "data, so small errors are unlike the training set, and the network cannot follow. Single "
        "parameters, wide as they are, hardly notice.",
    ),
    "overestimated": Case(
        "noise overestimated",
        "nature",
        Fault(sigma=2.5),
        why="Draws fit too well: only the fit can see that. Nothing misses the truth, and who is "
        "too cautious is not caught by those who look for misses; weights and support find "
        "nothing odd.",
    ),
    "wild": Case(
        "noise not Gaussian",
        "nature",
        Fault(wild=0.1),
        why="One measurement in ten is far off, in one band or two: no galaxy has such colours, "
        "which the support notices at once, and the truth of those galaxies is missed by every "
        "region. Most galaxies are well, so ranks of single parameters move little.",
    ),
    "prior": Case(
        "a prior that is not nature's",
        "nature",
        Fault(prior_shift=1.0),
        why="Each galaxy is one that the prior allows, and is fitted well. What the data leave "
        "open comes from the prior, and is wrong: only who knows the truth can tell.",
    ),
    "filter": Case(
        "a wrong filter",
        "nature",
        Fault(filters=ANOTHER),
        why="One band is off by more than its error. The model bends as far as it can: its "
        "parameters are wrong, and draws fit a little worse, which takes many galaxies to see. No "
        "single galaxy is odd enough for the support.",
    ),
    "redshift": Case(
        "a wrong redshift",
        "nature",
        Fault(redshift=0.03),
        why="Distance and so mass are wrong, and regions miss the truth nearly always. But there "
        "are galaxies of such colours at the wrong redshift, too: draws fit, nothing looks odd.",
    ),
    "outside": Case(
        "galaxies from outside the support",
        "nature",
        Fault(line=1.5),
        why="An emission line makes colours that no starlight has. The network answers all the "
        "same; the support, the fit and the points that owe the network nothing object.",
    ),
    "dust": Case(
        "another dust law",
        "nature",
        Fault(bare=0.3),
        why="Where some stars shine past the dust its curve is greyer; the model has parameters "
        "that make the same colours, and they take other values. Fit, support and weights are "
        "content, and the network's own simulations have the same wrong dust: nothing that can be "
        "done with real data sees it.",
    ),
    "few": Case(
        "too few simulations",
        "network",
        network="few",
        why="The network knows 300 galaxies by heart and is sure of itself, in combinations of "
        "parameters that no single one shows: ranks are nearly even, and joint regions of highest "
        "density miss the truth nearly always. The fit and the weights see it, too.",
    ),
    "small": Case(
        "a network too small",
        "network",
        network="small",
        why="It cannot bend to the thin, curved posterior, and makes a wide one: right on average, "
        "and of little use. No calibration test minds; the fit and the weights do.",
    ),
    "early": Case(
        "stopped too early",
        "network",
        network="early",
        why="Close to the prior still, and the prior is calibrated. The fit and the weights "
        "see how little has been learnt.",
    ),
    "mode": Case(
        "a mode never seen",
        "network",
        Fault(young=1.0),
        "blind",
        why="Weights compare only draws that there are, and those are nearly fine. Young bursts "
        "are 2 % of its own simulations, too few for any rank; the support objects to the few that "
        "are bluest. Points that do not come from the network find the mode; ranks would, had "
        "somebody thought of simulating such galaxies.",
    ),
}
"""What can be broken, by name."""


class Sight(NamedTuple):
    """What a diagnostic says.

    Attributes
    ----------
    p_value : float
        Probability of as much, or more, if nothing were wrong.
    size : float
        Of the departure: how far a curve is from its diagonal, or a share of galaxies.
    """

    p_value: float
    size: float

    @property
    def seen(self) -> bool:
        """Whether it sees that something is wrong."""
        return self.p_value < SEEN


def sights(run: CalibrationRun, reference: CalibrationRun, own: CalibrationRun) -> dict[str, Sight]:
    """What each of `WITNESSES` says of a run.

    Parameters
    ----------
    run : CalibrationRun
        Of galaxies as they are.
    reference : CalibrationRun
        Of a network and of galaxies with which nothing is wrong.
    own : CalibrationRun
        Of the network's own simulations, which is all that can be had without knowing nature.
    """
    found = _curves(run)
    found["fit"] = _unlike(run.scores[:, _FIT], reference.scores[:, _FIT])
    own_curves = _curves(own)
    worst = min((own_curves[name] for name in ("SBC", "TARP", "HPD")), key=lambda s: s.p_value)
    # Three families of tests were made.
    found["own"] = Sight(min(1.0, 3 * worst.p_value), worst.size)
    outside = run.support < FALSE_ALARM_RATE
    found["support"] = Sight(
        float(stats.binom.sf(outside.sum() - 1, len(run), FALSE_ALARM_RATE)), float(outside.mean())
    )
    found["weights"] = _more(run.pareto_k > _HEAVY, reference.pareto_k > _HEAVY)
    found["defensive"] = _more(run.distance > MAX_DISTANCE, reference.distance > MAX_DISTANCE)
    return {name: found[name] for name in WITNESSES}


def _curves(run: CalibrationRun) -> dict[str, Sight]:
    """Tests of uniform scores; SBC's are corrected for twelve parameters."""
    check = run.check()
    n = len(NAMES)
    k = int(check.p[:n].argmin())
    found = {"SBC": Sight(min(1.0, n * float(check.p[k])), float(check.ks[k]))}
    for name, k in zip(("TARP", "HPD"), (n, n + 1), strict=True):
        found[name] = Sight(float(check.p[k]), float(check.ks[k]))
    return found


def _unlike(scores: np.ndarray, otherwise: np.ndarray) -> Sight:
    """Whether scores are distributed otherwise (Kolmogorov-Smirnov test of two samples)."""
    test = stats.ks_2samp(scores[np.isfinite(scores)], otherwise[np.isfinite(otherwise)])
    return Sight(float(test.pvalue), float(test.statistic))


def _more(bad: np.ndarray, bad_otherwise: np.ndarray) -> Sight:
    """Whether more galaxies are bad than otherwise (Fisher's exact test)."""
    table = [[b.sum(), (~b).sum()] for b in (bad, bad_otherwise)]
    return Sight(float(stats.fisher_exact(table, "greater").pvalue), float(bad.mean()))
