"""The coverage panel: its state without a browser, and its widgets driven in Python."""

from __future__ import annotations

import time

import numpy as np
import pytest
import traitlets

import sedflow_lab as sl
from sedflow_lab.diagnostics.broken import blinded
from sedflow_lab.diagnostics.mocks import Fault
from sedflow_lab.diagnostics.runs import replay
from sedflow_lab.diagnostics.scoring import SCORED
from sedflow_lab.diagnostics.witnesses import WITNESSES
from sedflow_lab.panels.coverage.state import GRID, CoverageState

SMALL = {"simulations": 96, "draws": 60}


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior("nsa-ugriz")


@pytest.fixture(scope="module")
def finished(posterior):
    """A state with a finished run, which tests must not change."""
    state = CoverageState(posterior, **SMALL)
    state.start()
    assert state.wait(120)
    return state


def test_a_run_grows_in_the_background_and_ends_with_a_verdict(posterior):
    state = CoverageState(posterior, **SMALL)
    sizes = []
    state.observe(lambda change: change.new and sizes.append(len(change.new.run)), "findings")
    assert state.findings is None
    state.start()
    assert state.busy
    assert state.wait(120)
    assert not state.busy
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] == 96
    found = state.findings
    assert found.curves.shape == (len(GRID), len(SCORED))
    assert found.check is not None
    assert found.verdict == found.check.verdict()
    assert not state.outdated
    state.draws = 70
    assert state.outdated


def test_a_cancelled_run_keeps_what_it_has_shown_and_another_may_follow(posterior):
    state = CoverageState(posterior, simulations=5000, draws=60)
    state.start()
    deadline = time.monotonic() + 60
    while state.findings is None and time.monotonic() < deadline:
        time.sleep(0.02)
    state.cancel()
    assert not state.busy
    shown = len(state.findings.run)
    assert state.wait(60)
    assert len(state.findings.run) == shown < 5000
    state.simulations = 32
    state.start()
    assert state.wait(60)
    assert len(state.findings.run) == 32


def test_one_simulation_can_be_opened(finished):
    finished.drill(7)
    assert finished.wait(60)
    example = finished.example
    assert example.index == 7
    assert np.array_equal(example.truth, finished.findings.run.truth[7])
    assert np.array_equal(example.photometry.flux[0], finished.findings.run.flux[7])
    assert not finished.opening
    index = finished.most_surprising()
    scores = finished.findings.run.scores[:, SCORED.index("HPD regions")]
    assert scores[index] == scores.max()


SWITCHES = {  # so strong that few simulations are enough, and who sees it
    "understated": ({"sigma": 0.1}, "HPD regions"),
    "overstated": ({"sigma": 10.0, "simulations": 96}, "fit to the data"),
    "shifted": ({"prior_shift": 2.0}, "HPD regions"),
    "narrowed": ({"narrow": 0.2}, "HPD regions"),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_is_caught(posterior, name):
    switch, by = SWITCHES[name]
    state = CoverageState(posterior, **{"simulations": 48, "draws": 60} | switch)
    state.start()
    assert state.wait(120)
    # With six seeds below 1e-40, but for the overstated: below 1e-6 with half the simulations.
    check = state.findings.check
    assert check.p_holm[check.names.index(by)] < 1e-3, check.verdict()
    # Posteriors that are far too wide are the prior, of which ranks and regions are right.
    head = "Ranks and regions are right" if name == "overstated" else "Not calibrated"
    assert state.findings.verdict.startswith((head, "Not calibrated"))
    state.reset()
    assert not state.fault


def test_another_bundle_is_loaded_and_a_wrong_one_refused(tiny_bundle):
    state = CoverageState(simulations=32, draws=60)
    before = state.posterior
    state.bundle = "/nowhere"
    assert "There is no posterior bundle at" in state.message
    assert state.posterior is before
    state.bundle = str(tiny_bundle)
    assert state.message == ""
    assert state.posterior is not before
    state.start()
    assert state.wait(60)
    assert len(state.findings.run) == 32


def test_choices_that_make_no_sense_are_refused(posterior):
    state = CoverageState(posterior)
    for name, value in (("method", "best"), ("simulations", 3), ("sigma", 0.0), ("quantity", "x")):
        with pytest.raises(traitlets.TraitError):
            setattr(state, name, value)


def test_widgets_drive_the_state_and_figures_follow(posterior):
    from sedflow_lab.panels.coverage.figures import BAD_COLOR
    from sedflow_lab.panels.coverage.view import CoveragePanel

    panel = CoveragePanel(posterior, **SMALL)
    state = panel.state
    assert "Press Run." in panel.verdict.value
    assert panel.cancel.disabled
    panel.narrow.value = 0.5
    panel.run.click()
    assert panel.run.disabled
    assert state.wait(120)
    assert not panel.run.disabled
    assert "posterior narrowed (× 0.5)" in panel.verdict.value
    assert "Not calibrated at 96 simulations" in panel.verdict.value
    assert len(panel.curves.curves.data["xs"]) == len(SCORED)
    assert panel.curves.curves.data["color"][-1] == BAD_COLOR
    assert panel.table.value.count("too narrow") >= 2
    panel.reset.click()
    assert panel.narrow.value == 1.0
    assert "has changed since" in panel.verdict.value

    # Another quantity, observable, and choice of parameters.
    panel.quantity.value = "tau_ism"
    assert panel.ranks.figure.title.text == "Ranks: τ ISM"
    panel.observable.value = "redshift"
    assert panel.simulations.figure.xaxis[0].axis_label == "Redshift"
    inside = panel.simulations.figure.x_range
    x = panel.simulations.points.data["x"]
    assert inside.start < x.min() and x.max() < inside.end
    panel.chosen.value = ("log_mstar", "tau_ism")
    assert len(panel.curves.curves.data["xs"]) == 2
    assert [q.name for q in panel.corner.quantities] == ["log_mstar", "tau_ism"]

    # A tap opens a simulation, and so does a button.
    panel.simulations.points.selected.indices = [5]
    assert state.wait(60)
    assert state.example.index == panel.index.value == 5
    assert "Simulation 5" in panel.story.value
    mass = (state.example.truth[0] - 7.0) / 5.5
    assert panel.corner.truth_lines.data["x"][0] == pytest.approx(0.03 + 0.94 * mass)
    panel.surprise.click()
    assert state.wait(60)
    assert state.example.index == state.most_surprising()
    chosen = panel.simulations.points.selected.indices[0]
    assert panel.simulations.points.data["index"][chosen] == state.example.index


def test_a_folder_can_be_chosen_in_the_panel(posterior, tiny_bundle):
    from sedflow_lab.panels.coverage.view import CoveragePanel

    panel = CoveragePanel(**SMALL)
    panel.posterior.value = "a folder …"
    assert panel.folder.layout.display is None
    panel.folder.value = "/nowhere"
    assert "There is no posterior bundle at" in panel.verdict.value
    panel.folder.value = str(tiny_bundle)
    assert panel.state.bundle == str(tiny_bundle)
    assert "There is no" not in panel.verdict.value
    panel.posterior.value = "nsa-ugriz"
    assert panel.folder.layout.display == "none"
    assert panel.state.bundle == "nsa-ugriz"


def test_a_case_breaks_what_it_says_and_asks_the_witnesses(posterior):
    state = CoverageState(posterior, case="mode", simulations=32, draws=60)
    assert state.fault.young == 1.0 and state.seen == {}
    state.start()
    assert state.wait(120) and state.message == ""
    assert set(state.seen) == set(WITNESSES) and not state.outdated
    blind = state.findings.run.settings["network"]
    assert blind != posterior.bundle.hash
    # A simulation that is opened is inferred by the network that was broken.
    state.drill(0)
    assert state.wait(60)
    shown = state.example.result.samples
    broken, whole = (
        replay(network, state.findings.run, 0, shown.shape[1])[2].samples
        for network in (blinded(posterior), posterior)
    )
    assert np.array_equal(shown, broken) and not np.array_equal(shown, whole)
    # Another case moves the sliders, and a slider the case.
    state.case = "underestimated"
    assert state.sigma == 0.4 and state.outdated and state.seen
    state.sigma = 0.7
    assert state.fault == Fault(sigma=0.7)
    state.reset()
    assert state.case == "nothing" and not state.fault
    state.start()
    assert state.wait(120)
    assert state.seen == {} and state.findings.run.settings["network"] == posterior.bundle.hash


def test_the_panel_shows_what_the_witnesses_say(posterior):
    from sedflow_lab.panels.coverage.view import CoveragePanel

    panel = CoveragePanel(posterior, case="outside", simulations=32, draws=60)
    assert panel.case.value == "outside" and panel.witnesses.value == ""
    panel.run.click()
    assert panel.state.wait(120)
    assert "Does it see it?" in panel.witnesses.value and "<b>yes</b>" in panel.witnesses.value
    why = panel.witnesses.value
    panel.reset.click()
    assert panel.case.value == "nothing" and panel.witnesses.value == why
    panel.close()
