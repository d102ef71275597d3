"""Every fault is seen by the diagnostics that should, and by no other: the rows of the matrix.

A fault counts as seen at p < 1e-6, so a diagnostic that says so where it should not does by chance
once in a million cells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sedflow_lab as sl
from sedflow_lab.diagnostics import CASES, WITNESSES, Fault
from sedflow_lab.diagnostics.mocks import YOUNG, draw_mocks
from sedflow_lab.errors import InputError
from sedflow_lab.lessons.break_it import Bench, young_share

EVERYONE = set(WITNESSES)
SEES = {  # who must see it, and who cannot; what is between depends on the number of simulations
    "nothing": ("", " ".join(EVERYONE)),
    "underestimated": ("HPD support defensive", "own TARP"),
    "overestimated": ("", "own TARP support weights defensive"),
    "wild": ("support", "own TARP"),
    "prior": ("SBC HPD", "own fit support weights defensive"),
    "filter": ("HPD", "own TARP weights"),
    "redshift": ("HPD", "own fit support weights defensive"),
    "outside": ("SBC HPD fit support defensive", "own"),
    "dust": ("HPD", "own fit support weights defensive"),
    "few": ("own HPD fit weights defensive", "SBC TARP support"),
    "small": ("fit weights defensive", "own SBC TARP HPD support"),
    "early": ("fit weights defensive", "own SBC TARP HPD support"),
    "mode": ("SBC HPD defensive", "own"),
}
LESS = {  # who sees it with some seeds only, and less clearly than whom, by the logs of p
    "mode": ("weights", "defensive", 0.5),
    "filter": ("support", "HPD", 1.0),
}
STRONGER = {  # than in the lesson, which takes more simulations: any seed is enough
    "underestimated": Fault(sigma=0.15),
    "wild": Fault(wild=0.25),
    "prior": Fault(prior_shift=2.0),
}


@pytest.fixture(scope="module")
def bench():
    return Bench(sl.load_posterior(), simulations=48, draws=60, seed=5)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_seen_by_whom_the_matrix_says(bench, case):
    if case == "mode":  # a third of the galaxies has it: it takes more of them to be sure
        bench = Bench(bench.posterior, simulations=320, draws=100)
    found = bench.sights(case, STRONGER.get(case))
    seen = {name for name, sight in found.items() if sight.seen}
    must, cannot = (set(words.split()) for words in SEES[case])
    assert must <= seen, found
    assert not cannot & seen, found
    if case in LESS:
        less, more, factor = LESS[case]
        assert np.log(found[less].p_value) > factor * np.log(found[more].p_value), found


def test_overstated_errors_fit_too_well(bench):
    """The one that few see: the fit, which is more often nearly perfect than noise allows."""
    more = Bench(bench.posterior, simulations=128, draws=60)
    fit = more.sights("overestimated", Fault(sigma=6.0))["fit"]
    # The curves are 0.57 ± 0.05 apart, and 0.25 would do: missed once in 10^9 runs or so.
    assert fit.p_value < 1e-3 and more.sights("nothing")["fit"].p_value == 1.0


def test_each_case_says_why_and_has_a_witness_or_says_that_there_is_none():
    for name, case in CASES.items():
        assert bool(case.why) == (name != "nothing")
        assert (case.of == "network") == bool(case.network)
    assert set(SEES) == set(CASES)


def test_what_is_told_differs_from_what_is_right_as_a_fault_says(bench):
    of = bench.posterior
    source = of.model, of.prior, of.bundle.noise, 400, 3
    right, truth = draw_mocks(*source)
    middle = right.flux.shape[1] // 2

    def told(**how):
        return draw_mocks(*source, Fault(**how))

    wild, again = told(wild=0.1)
    changed = wild.flux != right.flux
    # 2,000 measurements, of which a tenth is changed: within five standard deviations.
    assert 0.1 - 0.034 < changed.mean() < 0.1 + 0.034 and np.array_equal(again, truth)
    moved = np.abs(told(redshift=0.03)[0].redshift - right.redshift)
    assert moved == pytest.approx(0.03) and told(redshift=0.03)[0].redshift.max() <= 0.2
    lined = told(line=1.5)[0].flux[:, middle] / right.flux[:, middle]
    assert np.median(lined) == pytest.approx(2.5, rel=0.02)
    bare, dusty = told(bare=0.3)[0], truth[:, 10] > 2.0
    assert (bare.flux[dusty, 0] > right.flux[dusty, 0]).mean() > 0.95
    other = told(filters="decam2014-g")[0].flux / right.flux
    assert np.median(np.abs(other[:, 1] - 1)) > 0.01
    assert np.median(np.abs(other[:, 2] - 1)) < 1e-6
    _, young = told(young=1.0)
    assert young[:, 6].max() <= YOUNG * 1.001 and young[:, 6].min() >= 0.01


def test_a_blinded_network_draws_no_young_bursts_and_points_that_owe_it_nothing_do(bench):
    galaxy, blind = sl.showcase()[3], bench.network("mode")
    seeing, blinded = (
        [network.infer(galaxy, 1000, "fast", seed=seed) for seed in range(9)]
        for network in (bench.posterior, blind)
    )
    assert max(map(young_share, blinded)) == 0.0

    def middle(results, name):
        # One seed of sixty is odd: of nine, five are so in less than one of a million runs.
        return np.median([result.diagnostics[name][0] for result in results])

    # Weights look better than those of the network that sees: nothing that it draws stands out.
    assert middle(blinded, "efficiency") > 2 * middle(seeing, "efficiency")
    assert middle(blinded, "pareto_k") < 0.7
    assert middle(blinded, "distance") > 0.5
    assert young_share(blind.infer(galaxy, 1000, "exact")) > 0.9


def test_faults_that_make_no_sense_are_refused(bench):
    for wrong in ({"wild": 1.5}, {"bare": -0.1}, {"line": np.inf}, {"redshift": 0.2}):
        with pytest.raises(InputError, match=r"lies between|may be off"):
            Fault(**wrong)
    of = bench.posterior
    fault = replace(Fault(), filters="wise2010-W1")
    with pytest.raises(InputError, match="can take the place of no band"):
        draw_mocks(of.model, of.prior, of.bundle.noise, 4, fault=fault)
