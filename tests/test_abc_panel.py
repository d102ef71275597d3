"""The ABC panel: its state without a browser, and its widgets driven in Python."""

from __future__ import annotations

import time

import numpy as np
import pytest
import traitlets

import sedflow_lab as sl
from sedflow_lab.panels.abc.state import ABCState


@pytest.fixture(scope="module")
def finished():
    """A state with a finished run, in which tests move only the tolerance."""
    state = ABCState(budget=1_200_000)
    state.start()
    assert state.wait(60)
    return state


def test_a_smaller_tolerance_keeps_less_that_is_nearer(finished):
    state, kept, distances = finished, [], []
    for tolerance in (5.0, 2.0, 1.0):
        state.tolerance = tolerance
        kept.append(len(state.kept()))
        distances.append(state.findings.exact.grid.distance(state.kept()))
    assert kept[0] > 5 * kept[1] > 25 * kept[2] > 25 * 100
    # Over 15 seeds they fell by 0.29 ± 0.004 and 0.23 ± 0.013.
    assert distances[0] > distances[1] + 0.1 > distances[2] + 0.2
    found = state.findings
    assert (np.diff(found.acceptance) >= 0).all()
    known = np.isfinite(found.distance)
    assert not known[0] and known[-1]
    # The expected price of a small tolerance is that which was paid.
    at = np.searchsorted(found.tolerances, 0.8)
    assert found.acceptance[at] == pytest.approx(found.expected[at], rel=0.4)


def test_all_twelve_parameters_have_an_exact_posterior_too():
    state = ABCState(sl.load_posterior(), budget=20_000)
    state.start()
    assert state.wait(60)
    two = state.findings.exact
    state.all_twelve = True
    assert state.wait(120)
    twelve = state.findings.exact
    assert state.message == ""
    assert state.findings.run.theta.shape[1] == 12 and state.kept().shape[1] == 2
    # What is not known widens what is.
    assert (twelve.draws.std(0) > 1.5 * two.draws.std(0)).all()
    assert twelve.grid.distance(twelve.draws) < 0.03
    state.tolerance = 10.0
    assert 0.1 < twelve.grid.distance(state.kept()) < 1
    # Precise bands: the price of all twelve is many times that of two.
    state.error = 0.02
    assert state.wait(120)
    of_twelve = state.findings.expected[0]
    state.all_twelve = False
    assert state.wait(60)
    assert state.findings.expected[0] > 5 * of_twelve


def test_another_choice_simulates_anew_and_a_cancelled_run_keeps_what_it_has_shown():
    state = ABCState(budget=10_000_000)
    state.start()
    deadline = time.monotonic() + 60
    while state.findings is None and time.monotonic() < deadline:
        time.sleep(0.02)
    state.cancel()
    assert not state.busy
    shown = state.findings.run.simulations
    assert state.wait(60)
    assert state.findings.run.simulations == shown < 10_000_000
    state.budget = 5_000
    assert state.wait(60)
    first = state.findings.run
    assert first.simulations == 5_000
    state.seed = 1
    assert state.wait(60)
    assert not np.array_equal(state.findings.run.distance[:5], first.distance[:5])


def test_choices_that_make_no_sense_are_refused():
    state = ABCState()
    for name, value in (("error", 0.3), ("budget", 3), ("tolerance", 0.0), ("tolerance", 11.0)):
        with pytest.raises(traitlets.TraitError):
            setattr(state, name, value)
    assert len(state.kept()) == 0


def test_widgets_drive_the_state_and_figures_follow():
    from sedflow_lab.panels.abc.view import ABCPanel

    panel = ABCPanel(budget=50_000)
    state = panel.state
    assert state.wait(60)
    assert not state.busy and panel.cancel.disabled
    assert "simulations are kept" in panel.verdict.value
    many = len(panel.plane.points.data["x"])
    panel.tolerance.value = 1.0
    assert state.tolerance == 1.0
    few = len(panel.plane.points.data["x"])
    assert few == len(state.kept()) < 100 < many  # 36 ± 6 are kept, of those within 1
    assert "too few to tell a posterior" in panel.verdict.value
    assert panel.price.marks[0].location == 1.0
    assert len(panel.plane.areas.data["xs"]) == 2
    bars = panel.marginals[0].bars.data
    assert np.sum(bars["top"] * (bars["right"] - bars["left"])) == pytest.approx(1, abs=0.02)
    panel.error.value = 0.02
    assert state.wait(60)
    assert "days with one" in panel.verdict.value
    panel.tolerance.value = 0.2
    assert "0 draws are too few" in panel.verdict.value and "years with one" in panel.verdict.value
    panel.close()
