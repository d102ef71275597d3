"""The witness panel without a browser: threads, news that comes too late, and what is shown."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import traitlets

import sedflow_lab as sl
from sedflow_lab.panels import WitnessPanel, WitnessState
from sedflow_lab.panels.kit.choice import Drawn
from sedflow_lab.panels.kit.corner import CornerFigure
from sedflow_lab.panels.kit.jobs import Jobs
from sedflow_lab.panels.witness import state as witness_state


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture
def state(posterior):
    easy = int(np.flatnonzero(sl.showcase().ids == "79381")[0])
    state = WitnessState(posterior, start="both", index=easy)
    yield state
    state.close()
    assert not mine(), "a thread was left behind"


@pytest.fixture
def panel(posterior):
    panel = WitnessPanel(posterior, max_steps=300)
    yield panel
    panel.state.close()


@pytest.fixture
def no_classifier(monkeypatch):
    """Comparisons in no time."""
    compare = witness_state.compare

    def quick(*arguments, **settings):
        return compare(*arguments, **settings | {"classifier": False})

    monkeypatch.setattr(witness_state, "compare", quick)


def mine():
    """Threads of panels that are alive."""
    return [t for t in threading.enumerate() if t.name.startswith("sedflow-")]


def until(condition, seconds=200.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


# Jobs


def test_news_of_a_stopped_job_is_not_heard():
    jobs, heard, go = Jobs(), [], threading.Event()

    def work(job):
        job.post(heard.append, "early")
        go.wait(10)
        job.post(heard.append, "late")

    jobs.start("a", work)
    until(lambda: heard == ["early"])
    jobs.stop("a")
    go.set()
    assert jobs.wait(60) and heard == ["early"]


def test_a_job_replaces_the_one_of_its_name_only():
    jobs, heard, go = Jobs(), [], threading.Event()

    def work(name):
        def run(job):
            go.wait(10)
            job.post(heard.append, name)

        return run

    jobs.start("a", work("first"))
    jobs.start("b", work("other"))
    jobs.start("a", work("second"))
    go.set()
    assert jobs.wait(60) and sorted(heard) == ["other", "second"]


def test_waiting_for_jobs_ends():
    jobs, go = Jobs(), threading.Event()
    jobs.start("a", lambda job: go.wait(10))
    assert not jobs.wait(0.05)
    go.set()
    assert jobs.wait(60)


# State


def test_a_state_needs_no_widgets():
    code = (
        "import sys, sedflow_lab.panels.witness.state\n"
        "assert not {'bokeh', 'ipywidgets', 'jupyter_bokeh'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_network_is_there_at_once_and_emcee_when_it_has_converged(state, no_classifier):
    assert state.network.result.method == "fast" and state.chain is None
    grown = []
    state.observe(lambda change: grown.append(change.new), "chain")
    state.run_emcee()
    assert state.sampling
    until(lambda: not state.sampling and not state.comparing)
    steps = [chain.step for chain in grown if chain is not None]
    assert len(steps) >= 3 and steps == sorted(steps)
    live, chain = [c for c in grown if c is not None][-2], state.chain
    assert live.status == "running" and live.shown.result.samples.shape[1] >= 128
    assert chain.status == "converged" and chain.shown.result.samples.shape[1] == 4000
    assert chain.tau > 1 and chain.spread.shape == (len(chain.steps), 3, 12)
    assert state.jobs.wait(60)
    assert list(state.tables) == ["fast"]
    assert state.tables["fast"].meta["id"] == state.galaxy.ids[0]


def test_the_exact_posterior_is_compared_with_the_chain_there_is(state, no_classifier):
    state.max_steps = 300
    state.run_emcee()
    until(lambda: not state.sampling and not state.comparing)
    assert state.chain.status == "not converged"
    state.make_exact()
    assert state.making_exact
    until(lambda: "exact" in state.tables)
    assert state.exact.result.method == "exact" and not state.making_exact
    assert state.exact.values["tau_ism"].shape == (4000,)
    assert set(state.tables) == {"fast", "exact"}


def test_cancelling_keeps_what_was_seen_and_ends_the_thread(state):
    state.run_emcee()
    until(lambda: state.chain is not None)
    state.cancel_emcee()
    assert not state.sampling and state.chain.status == "unfinished"
    step = state.chain.step
    assert state.jobs.wait(60) and not mine()
    assert state.chain.step == step and state.chain.status == "unfinished" and not state.tables
    state.cancel_emcee()  # once more does no harm
    assert state.chain.status == "unfinished"


def test_emcee_can_be_restarted_while_it_runs(state):
    state.run_emcee()
    until(lambda: state.chain is not None and state.chain.step >= 100)
    state.run_emcee()
    assert state.sampling and state.chain is None
    until(lambda: state.chain is not None)
    assert state.chain.step <= 100 or state.chain.steps[0] == 50
    until(lambda: len(mine()) == 1)
    state.cancel_emcee()


def test_switching_galaxies_never_mixes_them(state):
    """Whatever is under way, all that is shown belongs to the galaxy that was chosen last."""
    wrong = []

    def check(change):
        shown = {"chain": lambda: change.new.shown}.get(change.name, lambda: change.new)()
        if shown.result.ids[0] != state.galaxies.ids[state.index]:
            wrong.append((change.name, str(shown.result.ids[0]), state.index))

    state.observe(lambda c: c.new is not None and check(c), ["network", "exact", "chain"])
    for index in (5, 9, 2, 7, 11):
        state.run_emcee()
        state.make_exact()
        if index not in (9, 7):
            until(lambda: state.chain is not None)
        state.index = index
        assert state.network.result.ids[0] == state.galaxies.ids[index]
        assert state.chain is None and state.exact is None and not state.tables
        assert not (state.sampling or state.making_exact or state.comparing)
    assert state.jobs.wait(100) and not mine()
    assert not wrong and state.chain is None and state.exact is None


def test_switching_is_quick_while_emcee_runs(state):
    state.run_emcee()
    until(lambda: state.chain is not None)
    began = time.thread_time()  # the chain has a thread of its own
    state.index = 3
    assert time.thread_time() - began < 3
    assert state.network.result.ids[0] == state.galaxies.ids[3]


def test_emcee_and_exact_allow_the_same(state, monkeypatch):
    asked = []

    def record(galaxy, *arguments, outliers=None, **settings):
        asked.append((outliers, galaxy.settings()))
        raise RuntimeError("enough")

    state.error_floor = state.outliers = True
    monkeypatch.setattr(witness_state, "run_mcmc", record)
    monkeypatch.setattr(state.posterior, "infer", record)
    state.run_emcee()
    state.make_exact()
    assert state.wait(600)
    floor = {"error_floor": dict.fromkeys("ugriz", 0.05)}
    assert asked == [(sl.Outliers(), floor)] * 2
    monkeypatch.undo()
    state.error_floor = state.outliers = False
    assert "outliers" not in state.network.result.provenance


def test_failure_of_a_thread_is_told(state, monkeypatch):
    def broken(*arguments, **settings):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(witness_state, "run_mcmc", broken)
    state.run_emcee()
    until(lambda: state.message)
    assert state.message == "emcee failed: out of luck" and not state.sampling
    monkeypatch.undo()
    state.run_emcee()
    assert state.message == "" and state.sampling


def test_a_galaxy_without_posterior_says_why(posterior):
    phot = sl.showcase()[:2]
    flux = phot.flux.copy()
    flux[1] = np.nan
    bad = sl.Photometry(flux, phot.sigma, phot.redshift, phot.bands, ids=phot.ids, on_bad="flag")
    state = WitnessState(posterior, bad)
    state.index = 1
    assert state.network is None and str(phot.ids[1]) in state.message
    state.run_emcee()
    state.make_exact()
    assert not state.sampling and not state.making_exact and not mine()
    state.index = 0
    assert state.network is not None and state.message == ""


def test_choices_that_do_not_exist_are_refused(state):
    with pytest.raises(traitlets.TraitError, match="no galaxy 192"):
        state.index = 192
    with pytest.raises(traitlets.TraitError):
        state.start = "nowhere"
    state.index = 0
    state.step(-1)
    assert state.index == 191


def test_with_a_running_loop_news_arrives_on_its_thread(posterior, no_classifier):
    async def main():
        state = WitnessState(posterior, max_steps=200)
        threads = set()
        state.observe(lambda _: threads.add(threading.current_thread()), traitlets.All)
        state.run_emcee()
        while state.sampling or state.comparing:
            await asyncio.sleep(0.05)
        state.close()
        return threads, state.chain.status

    threads, status = asyncio.run(asyncio.wait_for(main(), 200))
    assert threads == {threading.main_thread()} and status == "not converged"


# Figures


def test_contour_lines_hold_what_they_say():
    x, y = np.random.default_rng(0).normal(1.5, 0.2, size=(2, 200_000))
    weights = np.full(len(x), 1 / len(x))
    corner = CornerFigure(("tau_ism", "tau_bc"))
    corner.update(Drawn({"tau_ism": x, "tau_bc": y}, weights, 1e5, "fast"))
    corner.overlay(Drawn({"tau_ism": x, "tau_bc": y}, weights, 1e5, "mcmc"))
    lines = corner.layers["mcmc"].contours.data
    cell = 0.94 * 0.2 / 3  # of one standard deviation, of axes from 0 to 3
    radii = [
        np.nanmedian(np.hypot(a - 0.5, b - 0.5)) / cell
        for a, b in zip(lines["xs"], lines["ys"], strict=True)
    ]
    # The radius that holds a probability p of a plane normal is sqrt(-2 ln(1 - p)).
    np.testing.assert_allclose(sorted(radii), np.sqrt(-2 * np.log([0.32, 0.05])), rtol=0.06)


def test_overlaid_marginals_share_one_scale():
    n, rng = 50_000, np.random.default_rng(1)
    narrow, wide = 1 + 0.1 * rng.normal(size=n), 1 + 0.2 * rng.normal(size=n)
    weights = np.full(n, 1 / n)
    corner = CornerFigure(("tau_ism", "tau_bc"))

    def height(name):
        return np.ptp(corner.layers[name].sides.data["ys"][0]) / 0.94

    corner.update(Drawn({"tau_ism": wide, "tau_bc": wide}, weights, n, "fast"))
    assert height("") == pytest.approx(1 / 1.1)
    corner.overlay(Drawn({"tau_ism": narrow, "tau_bc": wide}, weights, n, "mcmc"))
    assert height("mcmc") == pytest.approx(1 / 1.1)
    assert height("") == pytest.approx(0.5 / 1.1, rel=0.1)  # of 50,000 draws with an error of 0.013
    assert [item.label.value for item in corner.legend.items] == ["ANPE", "MCMC (emcee)"]
    corner.remove("mcmc")
    assert not len(corner.layers["mcmc"].sides.data["ys"])
    assert height("") == pytest.approx(1 / 1.1) and len(corner.legend.items) == 1


# View


def test_the_panel_shows_emcee_beside_the_network(panel, no_classifier):
    assert "ANPE" in panel.status.value and panel.cancel.layout.visibility == "hidden"
    panel.run.click()
    assert panel.cancel.layout.visibility == "visible"
    until(lambda: panel.state.tables and not panel.state.comparing)
    assert panel.state.jobs.wait(60)
    lines = panel.corner.layers["mcmc"]
    assert len(lines.sides.data["xs"]) == 5 and len(lines.contours.data["xs"]) == 20
    assert len(panel.walkers.source.data["x"]) >= 3
    assert "not converged" in panel.status.value and "300 steps" in panel.status.value
    assert "unreliable witness" in panel.verdict.value and "<table" in panel.table.value
    panel.next.click()
    assert panel.table.value == "" and "table" not in panel.verdict.value
    assert not len(lines.sides.data["xs"]) and not len(panel.walkers.source.data["x"])


def test_the_cancel_button_stops_both(panel):
    panel.run.click()
    panel.exact.click()
    assert panel.exact.disabled
    panel.cancel.click()
    assert not panel.state.sampling and not panel.state.making_exact and not panel.exact.disabled
    assert panel.state.jobs.wait(60)
    assert panel.cancel.layout.visibility == "hidden" and panel.state.exact is None


def test_choices_are_linked_and_redraw(panel):
    panel.galaxy.value = 4
    assert panel.state.index == 4
    panel.start.value = "both"
    assert panel.state.start == "both"
    before = panel.corner.limits[0][1]
    panel.zoom.value = True
    assert panel.corner.limits[0][1] < before
    panel.trace.value = "log_mstar"
    assert "log M" in panel.walkers.figure.yaxis[0].axis_label
