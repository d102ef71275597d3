"""What if the photometry were another: the state without widgets, and the widgets on it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from bokeh.events import Pan, PanEnd, PanStart

import sedflow_lab as sl
from sedflow_lab.panels import WhatIfPanel, WhatIfState
from sedflow_lab.panels.whatif.state import presets


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture
def state(posterior):
    made = WhatIfState(posterior, draws=200, index=30)
    assert made.wait()
    yield made
    made.close()


@pytest.fixture
def panel(posterior):
    made = WhatIfPanel(posterior, draws=200, index=30)
    assert made.state.wait()
    yield made
    made.close()


def test_a_state_needs_no_widgets():
    code = "import sys, sedflow_lab.panels as p; p.WhatIfState; assert 'bokeh' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unchanged_photometry_is_that_of_the_galaxy(state):
    assert state.now is state.before and not state.busy and not state.message
    expected = state.posterior.infer(state.galaxy, 200, "fast")
    assert np.array_equal(state.now.result.samples, expected.samples)


def test_what_is_put_is_inferred_and_reset_undoes_it(state):
    state.put(brighter={"u": 0.5}, noisier={"g": 2.0}, redshift=0.05, observed=("u", "g", "i"))
    assert state.wait()
    one, now = state.galaxy, state.now.photometry
    assert now.flux[0, 0] == pytest.approx(one.flux[0, 0] * 10**0.2)
    assert now.sigma[0, 1] == pytest.approx(2 * one.sigma[0, 1])
    assert now.redshift[0] == 0.05 and now.mask[0].tolist() == [True, True, False, True, False]
    expected = state.posterior.infer(now, 200, "fast")
    assert np.array_equal(state.now.result.samples, expected.samples)
    before = state.before.result.samples
    state.reset()
    assert state.wait()
    assert np.array_equal(state.now.result.samples, before)
    assert set(state.brighter.values()) == {0.0} and set(state.noisier.values()) == {1.0}


def test_of_many_changes_the_last_counts_and_few_are_inferred(state):
    seen = []
    state.observe(lambda change: seen.append(change.new), "now")
    for k in range(200):
        state.put(brighter={"u": 0.001 * k})
    assert state.wait()
    assert seen[-1].photometry.flux[0, 0] == state.changed.flux[0, 0]
    assert len(seen) < 200


def test_changes_have_limits_and_unknown_bands_are_refused(state):
    state.put(brighter={"u": 99.0}, noisier={"u": 1e-9}, redshift=7.0)
    assert state.brighter["u"] == 2.0 and state.noisier["u"] == 0.05
    assert state.redshift == state.posterior.bundle.redshift_max
    with pytest.raises(sl.InputError, match="not observed in 'K'"):
        state.put(brighter={"K": 0.1})
    with pytest.raises(sl.InputError, match="two bands or more"):
        state.put(observed=("u",))
    with pytest.raises(sl.InputError, match="no 'twins'"):
        state.preset("twins")


@pytest.mark.parametrize("name", presets(sl.get_bands("sdss-ugriz")))
def test_presets_begin_with_what_was_measured(state, name):
    state.put(brighter={"r": 1.0})
    state.preset(name)
    assert state.wait() and state.now.result.usable[0]
    assert np.array_equal(state.changed.flux[0, [0, 4]], state.galaxy.flux[0, [0, 4]]) or (
        name == "no u band" and state.changed.mask[0].tolist() == [False, True, True, True, True]
    )


def test_the_band_that_matters_is_one_without_which_less_is_known(state):
    # Of 200 draws not every quantity tells that a band is missing, but some do.
    name = max(state.matters, key=lambda name: state.matters[name][1])
    band, bits = state.matters[name]
    less = state._run(state.galaxy.drop_bands(band), 200, "fast")
    lost = state.gain(state.now, name) - state.gain(less, name)
    assert bits == pytest.approx(lost) and bits > 0


def test_an_exact_posterior_comes_last(state):
    state.exact = True
    assert state.wait()
    assert state.now.result.method == "exact" and state.before.result.method == "fast"


def test_a_failure_is_said_and_the_next_change_works(state, monkeypatch):
    def fail(*args, **more):
        raise ValueError("out of luck")

    monkeypatch.setattr(type(state.posterior), "infer", fail)
    state.put(brighter={"u": 0.1})
    assert state.wait() and "out of luck" in state.message
    monkeypatch.undo()
    state.put(brighter={"u": 0.2})
    assert state.wait() and not state.message
    assert state.now.photometry.flux[0, 0] == state.changed.flux[0, 0]


def test_another_galaxy_begins_anew(panel):
    panel.state.put(brighter={"u": 1.0})
    panel.galaxy.value = 31
    assert panel.state.wait()
    assert panel.state.before.photometry.ids[0] == panel.state.galaxies.ids[31]
    assert panel.brighter["u"].value == 0.0
    shown = panel.sed.before.data["middle"]
    assert shown == pytest.approx(panel.state.galaxy.magnitude[0])


def test_a_point_and_an_error_bar_are_dragged(panel):
    plot, points = panel.sed.figure, panel.sed.now.data
    x, y = float(points["x"][2]), float(points["middle"][2])
    for event, at in ((PanStart, y), (Pan, y - 0.3), (Pan, y - 0.4), (PanEnd, y - 0.4)):
        plot._trigger_event(event(plot, x=x, y=at))
    assert panel.state.wait()
    assert panel.state.brighter["r"] == pytest.approx(0.4)
    assert panel.brighter["r"].value == pytest.approx(0.4)
    points = panel.sed.now.data
    top = float(points["high"][2])
    half = float(points["middle"][2]) - top
    for event, at in ((PanStart, top), (Pan, top - half), (PanEnd, top - half)):
        plot._trigger_event(event(plot, x=x, y=at))
    assert panel.state.wait()
    assert panel.state.noisier["r"] == pytest.approx(2.0, rel=0.01)
    plot._trigger_event(Pan(plot, x=x, y=y))  # nothing is held any more
    assert panel.state.brighter["r"] == pytest.approx(0.4)


def test_controls_follow_and_do_not_answer(panel):
    panel.state.put(brighter={"u": 0.12345}, noisier={"g": 1.7777}, redshift=0.04567)
    assert panel.state.brighter["u"] == 0.12345 and panel.state.redshift == 0.04567
    panel.brighter["u"].value = 0.13
    panel.used["z"].value = False
    assert panel.state.wait()
    assert panel.state.brighter["u"] == 0.13 and panel.state.noisier["g"] == 1.7777
    assert panel.state.observed == ("u", "g", "r", "i")
    for band in "ugr":
        panel.used[band].value = False
    assert len(panel.state.observed) == 2  # the last two stay


def test_words_tell_what_was_lost(panel):
    assert "bits more" not in panel.words.value
    panel.state.put(noisier=dict.fromkeys(panel.state.bands, 20.0))
    assert panel.state.wait()
    assert "bits fewer" in panel.words.value and "log M★" in panel.words.value


def test_with_a_running_loop_the_posterior_follows(posterior):
    async def main():
        state = WhatIfState(posterior, draws=200, index=30)
        state.put(brighter={"u": 0.3})
        while state.busy or state.now is None:
            await asyncio.sleep(0.02)
        state.close()
        return state.now.photometry.flux[0, 0] / state.galaxy.flux[0, 0]

    assert asyncio.run(asyncio.wait_for(main(), 60)) == pytest.approx(10**0.12)
