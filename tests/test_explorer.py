"""The explorer: its state without widgets, what it draws, and the panel driven by its sliders."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sedflow_lab.errors import InputError
from sedflow_lab.panels import ExplorerPanel, ExplorerState
from sedflow_lab.panels.explorer.curves import ATTENUATION_UM, make_curves
from sedflow_lab.panels.explorer.figures import hold
from sedflow_lab.panels.explorer.state import (
    BETAS,
    LAST_MOVED,
    LOGARITHMIC,
    N_FAN,
    NOTHING,
    START,
)
from sedflow_lab.panels.explorer.view import Track
from sedflow_lab.parameters import NAMES, PARAMETERS
from sedflow_lab.sps import SEDModel
from sedflow_lab.sps.properties import derived
from sedflow_lab.units import magnitude


@pytest.fixture
def state(tiny_model):
    return ExplorerState(tiny_model)


@pytest.fixture(scope="module")
def panel(tiny_model):
    return ExplorerPanel(tiny_model)


def betas(state):
    return np.array([state.values[name] for name in BETAS])


# State


def test_a_state_needs_no_widgets():
    code = (
        "import sys, sedflow_lab.panels.explorer.state\n"
        "assert not {'bokeh', 'ipywidgets', 'jupyter_bokeh'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_frame_is_what_the_model_makes_of_the_values(state, tiny_model):
    state.put(log_mstar=10.2, tau_ism=1.3, redshift=0.11)
    curves, theta = state.frame.curves, state.theta
    assert (theta[0], theta[10]) == (10.2, 1.3)
    flux = tiny_model.photometry(theta, 0.11)
    np.testing.assert_allclose(curves.photometry[0], magnitude(flux), atol=1e-5)
    expected = derived(theta, 0.11, tiny_model)
    for name, value in state.frame.derived.items():
        assert value == pytest.approx(float(expected[name]), abs=1e-5), name
    # The drawn spectrum passes through the photometry.
    r = np.interp(0.62, curves.spectrum_x[0], curves.spectrum[0])
    assert r == pytest.approx(curves.photometry[0, 2], abs=0.1)


def test_frames_take_milliseconds(state):
    spent = []
    for value in np.linspace(0, 3, 15):
        started = time.thread_time()  # whatever else the machine does
        state.put(tau_ism=value)
        spent.append(time.thread_time() - started)
    assert min(spent) < 0.1


def test_history_forms_the_mass(state):
    for redshift in (0.001, 0.08, 0.2):
        state.put(redshift=redshift, log_mstar=10.0)
        curves = state.frame.curves
        width = np.diff(curves.time[0].reshape(-1, 2), axis=1)[:, 0]
        width[0] += curves.time[0, 0]  # the youngest bin goes on down to now
        formed = np.nansum(curves.sfr[0, ::2] * width) * 1e9
        assert np.log10(formed) == pytest.approx(10.0, abs=1e-4)


def test_dust_curves_are_those_of_the_recipe(state):
    state.put(tau_ism=1.0, n_dust=0.0, tau_bc=2.0)
    old, young = state.frame.curves.attenuation[0]
    at = [np.interp(0.55, ATTENUATION_UM, curve) for curve in (old, young)]
    # At 5500 Angstrom the optical depth is tau, but for the far wing of the bump.
    np.testing.assert_allclose(at, 1.0857 * np.array([1.0, 3.0]), rtol=0.01)
    assert state.frame.curves.attenuation.shape[1:] == (2, len(ATTENUATION_UM))


@settings(max_examples=60, deadline=None)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(BETAS), st.sampled_from([0.0, 1.0]) | st.floats(0, 1)),
        min_size=1,
        max_size=8,
    )
)
def test_weights_always_sum_to_one_and_the_moved_one_is_obeyed(tiny_model, moves):
    state = ExplorerState(tiny_model, fan=NOTHING)
    for name, value in moves:
        state.put(**{name: value})
        assert state.values[name] == value
        assert betas(state).sum() == pytest.approx(1, abs=1e-12)
        assert (betas(state) >= 0).all()
    assert np.isfinite(state.frame.curves.photometry).all()


def test_the_other_weights_keep_their_ratio_even_through_zero(state):
    state.put(beta1=0.4)
    state.put(beta2=0.3)
    before = betas(state)
    state.put(beta3=0.5)
    after = betas(state)
    np.testing.assert_allclose(after[[0, 1, 3]] / after[0], before[[0, 1, 3]] / before[0])
    for value in (0.9, 1.0, 1.0, 0.7, before[2]):  # to the end and back
        state.put(beta3=value)
    np.testing.assert_allclose(betas(state), before, atol=1e-12)


def test_fan_runs_over_the_prior_of_the_slider_last_moved(state, tiny_model):
    for name in (*NAMES, "redshift"):
        low, high = state.limits[name]
        state.put(**{name: 0.3 * low + 0.7 * high})
        frame = state.frame
        assert frame.fanned == name and len(frame.fan_values) == N_FAN
        np.testing.assert_allclose(frame.fan_values[[0, -1]], [low, high], rtol=1e-9)
        steps = np.diff(np.log(frame.fan_values) if name in LOGARITHMIC else frame.fan_values)
        np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
        assert frame.curves.photometry.shape == (1 + N_FAN, 5)
        # Each galaxy of the fan is the one that setting the parameter would show.
        other = ExplorerState(tiny_model, fan=NOTHING, **{name: frame.fan_values[2]})
        np.testing.assert_allclose(
            frame.curves.photometry[3], other.frame.curves.photometry[0], atol=2e-4
        )
        state.reset()


def test_fan_may_be_fixed_or_off(state):
    state.fan = "n_dust"
    state.put(tau_bc=0.1)
    assert state.frame.fanned == "n_dust"
    state.fan = NOTHING
    assert state.frame.fanned == "" and state.frame.curves.photometry.shape == (1, 5)
    state.fan = LAST_MOVED
    assert state.frame.fanned == "tau_bc"


def test_reset_and_random_galaxies(state):
    state.put(redshift=0.15)
    state.draw(seed=3)
    drawn = state.theta
    assert state.values["redshift"] == 0.15
    assert all(p.low <= t <= p.high for p, t in zip(PARAMETERS, drawn, strict=True))
    state.draw(seed=3)
    np.testing.assert_array_equal(state.theta, drawn)
    state.reset()
    assert state.values == dict(START)


def test_every_change_makes_one_frame(state):
    frames = []
    state.observe(lambda change: frames.append(change.new), "frame")
    state.put(beta1=0.9)
    state.draw(seed=1)
    state.reset()
    assert len(frames) == 3


def test_puzzles_are_explained(state):
    assert state.frame.notes == ()
    state.put(tburst=13.27, redshift=0.1)
    assert "before the Big Bang, 12.4" in state.frame.notes[0]
    state.put(fburst=0.0)
    assert "f burst is 0" in state.frame.notes[0]
    state.put(log_gamma1=np.log10(1.5e-2), log_gamma2=np.log10(1.5e-2))
    assert "clipped" in state.frame.notes[-1]


def test_nonsense_is_refused(state):
    values = dict(state.values)
    with pytest.raises(InputError, match="no parameter 'tau': choose one of log_mstar"):
        state.put(tau=1.0)
    for bad in (3.2, -0.1, np.nan):
        with pytest.raises(InputError, match=r"tau_ism = .* is outside \[0, 3\]"):
            state.put(tau_ism=bad)
    with pytest.raises(InputError, match=r"redshift = 0\.3 is outside"):
        state.put(redshift=0.3)
    assert state.values == values


def test_other_bands_and_shallow_models_work():
    model = SEDModel("decam-grz", redshift_max=0.03)
    state = ExplorerState(model, fan="redshift")
    assert state.values["redshift"] == 0.03
    assert state.frame.curves.photometry.shape == (1 + N_FAN, 3)
    assert state.frame.fan_values[-1] == pytest.approx(0.03)


def test_curves_of_extreme_galaxies_are_finite(tiny_model):
    low, high = (np.array([getattr(p, end) for p in PARAMETERS]) for end in ("low", "high"))
    rng = np.random.default_rng(0)
    theta = np.where(rng.random((64, 12)) < 0.5, low, high)
    theta[:, 1:5] = np.eye(4)[rng.integers(4, size=64)]
    curves = make_curves(tiny_model, theta, rng.choice([0.001, 0.2], 64))
    for name in ("spectrum_x", "spectrum", "photometry", "attenuation"):
        assert np.isfinite(getattr(curves, name)).all(), name
    before = np.isnan(curves.time)
    for values in (curves.sfr, curves.metallicity):
        np.testing.assert_array_equal(np.isnan(values), before)


# Figures and view


def test_axes_stay_until_they_must_move():
    assert hold((0.0, 10.0), (1.0, 9.0)) == (0.0, 10.0)
    assert hold((0.0, 10.0), (1.0, 11.0)) == (-1.0, 13.0)  # too tight
    assert hold((0.0, 10.0), (4.0, 5.0)) == pytest.approx((3.8, 5.2))  # far too wide


@pytest.mark.parametrize("name", [*NAMES, "redshift"])
def test_sliders_have_whole_steps_from_end_to_end(state, name):
    low, high = state.limits[name]
    track = Track(name, low, high)
    assert track.nearest(low) == pytest.approx(low) and track.nearest(high) == pytest.approx(high)
    assert track.step == pytest.approx(0.01, rel=0.02)
    for value in np.linspace(low, high, 57):
        place = track.nearest(value)
        assert track.nearest(place) == place
        assert track.index(place) == track.index(value)


def test_dragging_one_slider_moves_galaxy_and_figures(panel):
    panel.state.reset()
    panel.sliders["tau_ism"].value = 1.0
    before = panel.spectrum.points.data["y"][-5:].copy()
    status = panel.status.value
    panel.sliders["tau_ism"].value = 2.0
    assert panel.state.values["tau_ism"] == pytest.approx(2.0)
    assert (panel.spectrum.points.data["y"][-5:] > before).all()  # fainter
    assert panel.status.value != status and "τ ISM" in panel.legend.value
    lines = panel.spectrum.lines.source.data
    assert len(lines["xs"]) == len(lines["color"]) == 1 + N_FAN
    assert lines["color"][-1] == "#222222"


def test_sliders_of_the_weights_follow_each_other_and_do_not_answer(panel):
    panel.state.reset()
    frames = []
    panel.state.observe(lambda change: frames.append(change.new), "frame")
    panel.sliders["beta2"].value = 0.5
    assert len(frames) == 1
    np.testing.assert_allclose(betas(panel.state), [1 / 6, 0.5, 1 / 6, 1 / 6])
    shown = [panel.sliders[name].value for name in BETAS]
    np.testing.assert_allclose(shown, [0.17, 0.5, 0.17, 0.17])
    # What the browser reports of the other three is their rounding.
    for name in ("beta1", "beta3", "beta4"):
        panel._moved(name, type("Change", (), {"new": 0.17}))
    assert len(frames) == 1


def test_figures_that_a_parameter_does_not_touch_are_not_sent_again(panel):
    panel.state.reset()
    panel.state.fan = "tau_ism"
    panel.sliders["tau_ism"].value = 0.7
    history, dust = panel.rate.lines.source.data, panel.attenuation.lines.source.data
    panel.sliders["tau_ism"].value = 0.9
    assert panel.rate.lines.source.data is history
    assert panel.attenuation.lines.source.data is not dust
    panel.state.fan = LAST_MOVED


def test_changes_of_a_figure_travel_in_one_patch(panel):
    panel.state.reset()
    view, sent = panel._figures["spectrum"], []
    view.send = lambda content, buffers=None: sent.append(content["payload"])
    try:
        panel.sliders["log_mstar"].value = 12.0
    finally:
        del view.send
    assert len(sent) == 3  # header, metadata, content
    kinds = [event["kind"] for event in json.loads(sent[2])["events"]]
    assert kinds.count("ColumnDataChanged") == 2 and "ModelChanged" in kinds


def test_a_page_loaded_anew_shows_the_present_state(tiny_model):
    panel = ExplorerPanel(tiny_model)
    view = panel._figures["spectrum"]
    start = float(panel.spectrum.figure.y_range.start)
    panel.sliders["log_mstar"].value = 8.0
    now = float(panel.spectrum.figure.y_range.start)
    bundle = view.get_state(["render_bundle"])["render_bundle"]
    assert f'"start":{now!r}' in bundle and f'"start":{start!r}' not in bundle


def test_buttons_and_choice_of_the_fan(panel):
    panel.random.click()
    assert panel.state.values != dict(START)
    panel.reset.click()
    assert panel.state.values == dict(START)
    panel.fan.value = NOTHING
    assert len(panel.metallicity.lines.source.data["xs"]) == 1
    panel.fan.value = LAST_MOVED
