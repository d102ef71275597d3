"""Panels: state without widgets, figures' numbers, and the view driven through its widgets."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys

import numpy as np
import pytest
import traitlets

import sedflow_lab as sl
from sedflow_lab.panels import GalaxyPanel, GalaxyState
from sedflow_lab.panels.kit.choice import DEFAULT_QUANTITIES
from sedflow_lab.panels.kit.densities import credible, marginal
from sedflow_lab.panels.kit.sed import history_data, sed_data
from sedflow_lab.quantities import QUANTITIES


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture
def state(posterior):
    return GalaxyState(posterior, draws=200, method="fast")


@pytest.fixture(scope="module")
def panel(posterior):
    return GalaxyPanel(posterior, draws=200, method="fast")


# State


def test_a_state_needs_no_widgets():
    code = (
        "import sys, sedflow_lab.panels.galaxy.state\n"
        "assert not {'bokeh', 'ipywidgets', 'jupyter_bokeh'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_posterior_is_there_at_once_and_follows_the_choice(state, posterior):
    assert state.outcome.result.ids[0] == sl.showcase().ids[0]
    state.index = 7
    result = state.outcome.result
    assert result.ids[0] == sl.showcase().ids[7]
    expected = posterior.infer(sl.showcase()[7], draws=200)
    np.testing.assert_array_equal(result.samples, expected.samples)
    assert state.outcome.seconds > 0 and state.message == "" and not state.busy


def test_method_and_draws_are_passed_on(state):
    state.draws = 300
    state.method = "weighted"
    assert state.outcome.result.method == "weighted"
    assert state.outcome.result.samples.shape[1] == 300


def test_steps_go_round(state):
    state.step(-1)
    assert state.index == len(state.galaxies) - 1
    state.step(1)
    assert state.index == 0
    with pytest.raises(traitlets.TraitError, match="no galaxy 192: choose 0 to 191"):
        state.index = 192


def test_a_dropped_band_is_not_used(state):
    before = state.outcome.result.samples
    state.observed = ("g", "r", "i", "z")
    assert state.outcome.photometry.mask.tolist() == [[False, True, True, True, True]]
    assert not np.array_equal(before, state.outcome.result.samples)


def test_too_few_bands_leave_no_posterior_but_a_reason(state):
    state.observed = ("r",)
    assert state.outcome is None
    assert "keep at least 2" in state.message
    state.observed = ("g", "r")
    assert state.outcome is not None and state.message == ""


def test_exact_shows_the_fast_posterior_meanwhile(state):
    seen = []
    state.observe(lambda change: seen.append(change.new.result.method), "outcome")
    state.method = "exact"
    assert seen[0] == "fast"
    assert state.wait(600)
    assert seen == ["fast", "exact"]
    assert state.outcome.result.badge[0] in ("exact", "model cannot fit", "unfinished")
    assert not state.busy


def test_auto_refines_where_the_badge_asks_for_it(posterior):
    network = posterior.infer(sl.showcase(), 200)
    likely = np.where(network.badge == "refine", posterior.support(sl.showcase()).p_value, 0)
    state = GalaxyState(posterior, draws=200, index=int(likely.argmax()))
    assert state.method == "auto" and state.busy
    assert state.outcome.result.badge[0] == "refine"
    assert state.wait(600)
    assert state.outcome.result.method == "exact" and not state.busy


def test_auto_leaves_a_good_posterior_alone(posterior):
    good = posterior.infer(sl.showcase()[:20], 200).badge == "ok"  # with the state's own draws
    state = GalaxyState(posterior, draws=200, index=int(good.argmax()))
    assert state.outcome.result.badge[0] == "ok"
    assert state.outcome.result.method == "fast" and not state.busy


def test_an_exact_posterior_that_comes_too_late_is_dropped(state):
    state.method = "exact"
    assert state.busy
    state.cancel()
    assert not state.busy
    assert state.wait(600)
    assert state.outcome.result.method == "fast"


@pytest.fixture(scope="module")
def odd():
    """A showcase galaxy whose z band is twice as bright."""
    good = sl.showcase()[:1]
    return sl.Photometry(good.flux * [[1, 1, 1, 1, 2]], good.sigma, good.redshift)


def test_the_band_to_blame_is_named_and_an_error_floor_is_recorded(odd):
    state = GalaxyState(photometry=odd, method="fast")
    assert state.wait(600)
    assert state.blamed.band == "z" and state.blamed.off > 4
    state.error_floor = True
    assert state.wait(600)
    result = state.outcome.result
    assert result.provenance["error_floor"] == dict.fromkeys("ugriz", 0.05)
    hand = sl.Photometry(odd.flux, np.hypot(odd.sigma, 0.05 * odd.flux), odd.redshift)
    expected = state.posterior.infer(hand, 1000)
    np.testing.assert_array_equal(result.samples, expected.samples)


def test_a_good_galaxy_has_nobody_to_blame(state):
    good = GalaxyState(method="fast", draws=500)
    support = good.posterior.support(good.galaxies[:20]).p_value
    good.index = int(support.argmax())
    assert good.wait(600) and good.blamed is None


def test_bad_bands_are_only_allowed_where_the_likelihood_is_used(posterior, odd):
    state = GalaxyState(posterior, odd, draws=200, method="weighted")
    state.outliers = True
    assert state.outcome.result.provenance["outliers"] == {"probability": 0.01}
    assert state.outcome.result.diagnostics["bad_band"].shape == (1, 5)
    state.method = "fast"
    assert not state.outliers and "outliers" not in state.outcome.result.provenance
    state.outliers = True
    assert state.method == "auto" and state.busy
    state.cancel()
    assert state.wait(600) and not state.outliers and state.method == "fast"


def test_the_prior_is_made_flat_by_weights_and_back(state):
    before = state.outcome.result
    state.flat = ("age_mw",)
    assert state.wait(600)
    expected = before.reweight(["age_mw"], state.posterior.model)
    np.testing.assert_array_equal(state.outcome.result.weights, expected.weights)
    assert "flat in age_mw" in state.outcome.result.provenance["prior"]
    assert state.few == (expected.ess[0] < 100 or expected.ess[0] < 20)
    state.flat = ()
    assert state.outcome.result is before and not state.few


def test_the_implied_prior_is_that_of_the_model(state):
    drawn = state.implied_prior(0.031)
    assert set(drawn) == set(QUANTITIES) and drawn["age_mw"].shape == (20_000,)
    assert state.implied_prior(0.034) is drawn  # the universe ages little in between
    # β1 of a flat Dirichlet prior has the density 3 (1 - β)²: a mean of 1/4, σ of 0.19 / √20000.
    assert drawn["beta1"].mean() == pytest.approx(0.25, abs=5 * 0.194 / 20_000**0.5)


def test_failure_in_the_thread_is_told(state, monkeypatch):
    run = state._run

    def broken(photometry, draws, method, stop=None):
        if method == "exact":
            raise RuntimeError("out of luck")
        return run(photometry, draws, method, stop)

    monkeypatch.setattr(state, "_run", broken)
    state.method = "exact"
    state.wait(600)
    assert state.message == "The exact posterior failed: out of luck"
    assert not state.busy and state.outcome.result.method == "fast"


def test_with_a_running_loop_outcomes_arrive_on_its_thread(posterior):
    import threading

    async def main():
        state = GalaxyState(posterior, draws=100)
        threads = []
        state.observe(lambda _: threads.append(threading.current_thread()), "outcome")
        state.method = "exact"
        while state.busy:
            await asyncio.sleep(0.1)
        return threads, state.outcome.result.method

    threads, method = asyncio.run(main())
    assert threads == [threading.main_thread()] * 2
    assert method == "exact"


# Numbers that figures show


def test_marginal_is_a_density_that_stays_within_the_limits():
    x = np.random.default_rng(1).exponential(0.3, 20_000)
    edges, density = marginal(x, np.full(len(x), 1 / len(x)), (0.0, 3.0), len(x))
    assert (density * np.diff(edges)).sum() == pytest.approx(1, abs=1e-3)
    middle = 0.5 * (edges[1:] + edges[:-1])
    exact = np.exp(-middle / 0.3) / 0.3
    assert np.abs(density - exact).max() < 0.1 * exact.max()


def test_credible_regions_of_a_normal_have_the_right_size():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 50_000))
    limits = ((-5.0, 5.0), (-5.0, 5.0))
    u, v, density, thresholds = credible(x, y, np.full(len(x), 1 / len(x)), limits, len(x))
    area = (u[1] - u[0]) * (v[1] - v[0]) * (density >= thresholds[:, None, None]).sum((1, 2))
    np.testing.assert_allclose(area, -2 * np.pi * np.log([0.05, 0.32]), rtol=0.1)


def test_sed_numbers_are_those_of_model_and_data(state):
    model = state.posterior.model
    outcome = state.outcome
    columns = sed_data(outcome.photometry, outcome.result, model)
    np.testing.assert_allclose(columns["data"]["middle"], outcome.photometry.magnitude[0])
    assert (columns["data"]["low"] > columns["data"]["high"]).all()  # faint above bright
    flux = model.photometry(outcome.result.samples[0], outcome.result.redshift[0])
    median = sl.magnitude(np.median(flux, axis=0))
    np.testing.assert_allclose(columns["prediction"]["middle"], median, atol=0.1)
    # The spectrum passes through the photometry.
    spectrum = columns["spectrum"]
    r = np.interp(columns["prediction"]["x"][2], spectrum["x"], spectrum["middle"])
    assert r == pytest.approx(median[2], abs=0.3)


def test_history_forms_the_mass(state):
    from dataclasses import replace

    one = state.outcome.result
    theta = np.repeat(one.samples[:, :1], 200, axis=1)
    theta[..., 6] = 0.5  # [Gyr]: a burst of the youngest bin would not go on until now
    fixed = replace(one, samples=theta)
    steps = history_data(fixed, state.posterior.model)
    width = np.diff(steps["x"].reshape(-1, 2), axis=1)[:, 0]
    width[0] += steps["x"][0]  # the youngest bin goes on down to now
    formed = (steps["middle"][::2] * width).sum() * 1e9
    assert np.log10(formed) == pytest.approx(one.samples[0, 0, 0], abs=0.01)
    assert (np.diff(steps["x"]) >= 0).all()


def test_every_quantity_has_an_axis():
    for quantity in QUANTITIES.values():
        assert quantity.low < quantity.high and quantity.label
    assert set(DEFAULT_QUANTITIES) <= set(QUANTITIES)


# View


def test_another_galaxy_changes_everything(panel):
    panel.galaxy.value = 3
    status, table = panel.status.value, panel.table.value
    shown = panel.sed.data.data["middle"].copy()
    height = np.array(panel.corner.layers[""].sides.data["ys"][0])
    panel.galaxy.value = 90
    assert panel.state.index == 90
    assert panel.status.value != status and panel.table.value != table
    assert not np.array_equal(panel.sed.data.data["middle"], shown)
    assert not np.array_equal(panel.corner.layers[""].sides.data["ys"][0], height)
    np.testing.assert_allclose(panel.sed.data.data["middle"], sl.showcase().magnitude[90])


def test_buttons_move_through_the_list(panel):
    panel.galaxy.value = 10
    panel.next.click()
    assert panel.galaxy.value == 11
    panel.previous.click()
    panel.previous.click()
    assert panel.galaxy.value == 9
    panel.random.click()
    assert panel.galaxy.value != 9


def test_status_shows_badge_and_its_meaning(panel):
    from sedflow_lab.methods import BADGES

    word = str(panel.state.outcome.result.badge[0])
    assert f">{word}</span>" in panel.status.value
    assert BADGES[word].meaning.split("'")[0] in panel.status.value


def test_the_last_two_bands_stay(panel):
    for label in "uiz":
        panel.bands[label].value = False
    assert panel.state.observed == ("g", "r")
    assert panel.bands["g"].disabled and panel.bands["r"].disabled
    assert not panel.bands["u"].disabled
    assert list(panel.sed.data.data["band"]) == ["g", "r"]
    assert len(panel.sed.prediction.data["band"]) == 5
    for label in "uiz":
        panel.bands[label].value = True
    assert not any(box.disabled for box in panel.bands.values())


def test_colours_follow_the_method(panel):
    panel.method.value = "weighted"
    glyph = panel.corner.layers[""].marks[0].glyph
    assert glyph.fill_color == "#009E73"
    panel.method.value = "fast"
    assert glyph.fill_color == "#0072B2"


def test_corner_shows_what_is_chosen(panel):
    for name in ("log_mstar", "age_mw", "log_z_mw"):
        panel.quantities[name].value = False
    assert panel.state.quantities == ("log_ssfr_1gyr", "tau_ism") or set(
        panel.state.quantities
    ) == {"log_ssfr_1gyr", "tau_ism"}
    panel.quantities["fburst"].value = True
    assert [q.name for q in panel.corner.quantities] == list(panel.state.quantities)
    assert len(panel.corner.layers[""].contours.data["xs"]) == 6  # three pairs, two levels
    panel.state.quantities = tuple(QUANTITIES)[:6]
    assert panel.quantities["age_mw"].disabled and not panel.quantities["fburst"].disabled
    panel.state.quantities = ("fburst",)
    assert panel.quantities["fburst"].disabled  # one must stay
    with pytest.raises(traitlets.TraitError, match="1 to 6"):
        panel.state.quantities = tuple(QUANTITIES)
    panel.state.quantities = DEFAULT_QUANTITIES


def areas(xs, ys, k):
    """Area under the k-th outline, of a cell."""
    x, y = np.asarray(xs[k]), np.asarray(ys[k])
    return abs(np.trapezoid(y - y.min(), x))


def test_the_prior_is_grey_behind_unless_it_is_flat(panel):
    prior, shown = panel.corner.prior.data, panel.corner.layers[""].sides.data
    # Both are densities, on one scale: nearly all of either is within the axis.
    assert areas(prior["xs"], prior["ys"], 2) == pytest.approx(
        areas(shown["xs"], shown["ys"], 2), rel=0.05
    )
    panel.flat.value = True
    assert "log sSFR, log Z (label), age" in panel.flat.description
    assert panel.state.wait(600)
    assert len(panel.corner.prior.data["xs"]) == 0
    panel.flat.value = False
    assert len(panel.corner.prior.data["xs"]) > 0
    panel.state.quantities = ("fburst", "tburst")
    assert panel.flat.disabled
    panel.state.quantities = DEFAULT_QUANTITIES
    assert not panel.flat.disabled


def test_zoom_narrows_the_axes(panel):
    assert panel.corner.limits[0] == (7.0, 12.5)
    panel.zoom.value = True
    low, high = panel.corner.limits[0]
    assert high - low < 5.5
    panel.zoom.value = False


def test_no_posterior_empties_the_figures_and_says_why(panel):
    panel.state.observed = ("u",)
    assert "keep at least 2" in panel.status.value
    assert len(panel.sed.data.data["x"]) == 0 and panel.table.value == ""
    panel.state.observed = ("u", "g", "r", "i", "z")
    assert len(panel.sed.data.data["x"]) == 5


def test_a_page_loaded_anew_shows_the_present_state(posterior):
    panel = GalaxyPanel(posterior, draws=100, method="fast")
    view = panel._figures["sed"]
    assert "Exact spectrum" not in view.get_state(["render_bundle"])["render_bundle"]
    panel.galaxy.value = 50
    panel.method.value = "exact"
    assert panel.state.wait(600)
    assert "Exact spectrum" in view.get_state(["render_bundle"])["render_bundle"]
    panel.close()


# What people take home


@pytest.mark.parametrize(
    "choice",
    [
        {"method": "fast"},
        {"method": "weighted", "observed": ("u", "g", "r"), "error_floor": True},
        {"method": "weighted", "outliers": True},
        {"method": "exact"},
        {"method": "fast", "flat": ("log_ssfr_1gyr",)},
    ],
    ids=str,
)
def test_the_code_makes_exactly_what_is_shown(posterior, choice):
    state = GalaxyState(posterior, index=5, draws=200, **choice)
    assert state.wait(200)
    if "flat" in choice:
        state.flat = ()
        state.flat = choice["flat"]
        assert state.wait(200)
    names: dict = {}
    exec(state.code, names)
    assert np.array_equal(names["result"].samples, state.outcome.result.samples)
    assert np.array_equal(names["result"].weights, state.outcome.result.weights)
    state.close()


def test_downloads_hold_the_draws(posterior):
    import base64
    import io
    import re

    import xarray as xr
    from astropy.table import Table

    panel = GalaxyPanel(posterior, draws=150, method="fast")
    assert not panel.links.value and not panel.code.value
    panel.drawers.selected_index = 1
    assert "sl.load_posterior" in panel.code.value
    panel.drawers.selected_index = 2
    assert not panel.code.value
    outcome = panel.state.outcome
    found = re.findall(r"download='([^']*)' href='data:[^;]*;base64,([^']*)'", panel.links.value)
    assert [name.rpartition(".")[2] for name, _ in found] == ["ecsv", "csv", "fits", "nc"]
    for name, text in found[:3]:
        kind = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "fits": "fits"}[name.rpartition(".")[2]]
        table = Table.read(io.BytesIO(base64.b64decode(text)), format=kind)
        assert len(table) == 150
        assert table["tau_ism"] == pytest.approx(outcome.result.samples[0, :, 10], rel=1e-6)
        assert table["age_mw"] == pytest.approx(outcome.values["age_mw"], rel=1e-6)
    with xr.open_dataset(io.BytesIO(base64.b64decode(found[3][1])), engine="scipy") as data:
        assert data["tau_ism"].values == pytest.approx(outcome.result.samples[0, :, 10])
        assert data["age_mw"].attrs["units"] == "Gyr" and data.attrs["method"] == "fast"
    panel.galaxy.value = 9
    assert f"draws-{panel.state.outcome.result.ids[0]}-fast.csv" in panel.links.value
    panel.close()


# What goes over and beside a posterior


def test_the_networks_posterior_stays_under_the_exact_one_and_emcee_is_drawn_too(posterior):
    panel = GalaxyPanel(posterior, draws=200, method="fast")
    state = panel.state
    panel.method.value = "exact"
    assert state.wait(600)
    assert list(state.others) == ["fast"]
    assert len(panel.corner.layers["fast"].contours.data["xs"]) == 20
    chain = state._run(state.outcome.photometry, 200, "weighted")
    state.others = state.others | {"mcmc": chain}
    assert "weighted" in panel.corner.layers
    panel.next.click()
    assert state.others.keys() <= {"fast"}
    state.cancel()
    assert state.wait(600)
    panel.close()


def test_emcee_tells_how_far_it_is_and_can_be_cancelled(posterior, monkeypatch):
    from sedflow_lab.samplers.mcmc import Progress

    def run_mcmc(galaxy, model, prior, *, stop, callback, draws, **how):
        nowhere = np.zeros((4, 12)), np.zeros(4)
        callback(Progress(100, 9000, *nowhere, None))
        callback(Progress(200, 9000, *nowhere, np.full(11, 20.0)))
        stop.wait(60)
        return posterior.infer(galaxy, draws)

    monkeypatch.setattr("sedflow_lab.samplers.run_mcmc", run_mcmc)
    monkeypatch.setattr("sedflow_lab.panels.galaxy.state._TELL_EVERY", 0.0)
    state = GalaxyState(posterior, draws=200, method="fast")
    told = []
    state.observe(lambda change: told.append(change.new), "progress")
    state.run_emcee()
    assert state.sampling
    while len(told) < 3:
        state.wait(0.1)
    assert told[0] == "looking for a place to start" and told[1] == "100 steps"
    assert re.fullmatch(r"200 steps of some 1,000, about \d+:\d\d left", told[2])
    state.cancel()
    assert not state.sampling and state.progress == "" and state.method == "fast"
    assert state.wait(60) and "mcmc" not in state.others
    state.close()


def test_another_galaxy_is_compared_with_the_pinned_one(panel):
    panel.galaxy.value = 20
    panel.pin.click()
    assert panel.pin.description == "Let go" and "pinned" not in panel.corner.layers
    pinned = panel.state.outcome
    panel.galaxy.value = 21
    assert len(panel.corner.layers["pinned"].sides.data["xs"]) == 5
    assert len(panel.sed.other.data["x"]) > 100 and len(panel.history.other.data["x"]) > 5
    assert str(pinned.result.ids[0]) in panel.table.value
    panel.pin.click()
    assert panel.state.pinned is None and not len(panel.sed.other.data["x"])
    assert not panel.corner.layers["pinned"].densities


def test_the_truth_of_a_simulation_is_marked(posterior):
    theta = sl.get_prior().sample(3, seed=1)
    flux = posterior.model.photometry(theta, np.full(3, 0.05))
    galaxies = sl.Photometry(flux, 0.05 * flux, np.full(3, 0.05))
    panel = GalaxyPanel(posterior, galaxies, truth=theta, draws=200, method="fast", index=1)
    truth = panel.state.truth
    assert truth["log_mstar"] == pytest.approx(float(theta[1, 0]), rel=1e-6)
    place = (truth["log_mstar"] - 7.0) / 5.5
    assert panel.corner.truth_lines.data["x"][0] == pytest.approx(0.03 + 0.94 * place)
    assert "truth" in panel.table.value
    panel.close()
    with pytest.raises(sl.InputError, match=r"shape \(2, 12\): give \(3, 12\)"):
        GalaxyState(posterior, galaxies, truth=theta[:2])


def test_residuals_are_measured_less_predicted_in_sigma(state):
    outcome, model = state.outcome, state.posterior.model
    off = sed_data(outcome.photometry, outcome.result, model)["residuals"]
    flux = model.photometry(outcome.result.samples[0], outcome.result.redshift[0])
    one = outcome.photometry
    expected = (one.flux[0] - np.median(flux, axis=0)) / one.sigma[0]
    np.testing.assert_allclose(off["middle"], expected, atol=0.3 * np.abs(expected).max())
    assert (off["low"] <= off["middle"]).all() and (off["middle"] <= off["high"]).all()


def test_the_advice_of_each_badge_can_be_followed(posterior, odd):
    panel = GalaxyPanel(posterior, draws=200, method="fast")
    assert "What to do" in panel.advice.value and panel.act.description == "Make exact"
    panel.act.click()
    assert panel.state.method == "exact"
    panel.state.cancel()
    assert panel.state.wait(600)
    panel.close()
    panel = GalaxyPanel(photometry=odd, method="fast")
    assert panel.state.wait(600)
    assert panel.act.description == "Leave out z"
    panel.act.click()
    assert panel.state.observed == ("u", "g", "r", "i") and not panel.bands["z"].value
    panel.state.observed = ("u",)
    assert panel.act.layout.display == "none" and "two bands" in panel.advice.value
    panel.close()


# A view as JSON


def test_a_view_goes_through_json(posterior):
    state = GalaxyState(posterior, draws=200, method="fast", index=7)
    state.quantities, state.zoom = ("tau_ism", "age_mw"), True
    state.observed = ("g", "r", "i")
    view = state.to_json()
    assert len(view) < 400
    panel = GalaxyPanel.from_json(view, posterior)
    assert panel.state.to_json() == view and panel.zoom.value
    assert [q.name for q in panel.corner.quantities] == ["tau_ism", "age_mw"]
    assert panel.bands["g"].value and not panel.bands["u"].value
    panel.drawers.selected_index = 4
    assert "from_json" in panel.view.value
    state.index, state.zoom = 3, False
    state.load_json(view)
    assert state.to_json() == view and state.outcome.result.ids[0] == sl.showcase().ids[7]
    panel.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "line of JSON"),
        ("[1]", "object, in braces"),
        ('{"colour": 1}', "no 'colour': it may have index"),
        ('{"index": 999}', "no galaxy 999"),
        ('{"quantities": ["mass"]}', "no quantity 'mass'"),
    ],
)
def test_a_view_that_is_none_is_refused_in_a_sentence(state, text, words):
    with pytest.raises(sl.InputError, match=words):
        state.load_json(text)


# Clicks in a hurry


def test_of_clicks_in_a_hurry_only_the_first_and_the_last_are_worked_on(posterior):
    async def main():
        panel = GalaxyPanel(posterior, draws=100, method="fast")
        state, shown = panel.state, []
        state.observe(lambda change: shown.append(str(change.new.result.ids[0])), "outcome")
        for _ in range(50):
            panel.next.click()
        assert state.index == 50 and panel.galaxy.value == 50
        while state.outcome.result.ids[0] != sl.showcase().ids[50]:
            await asyncio.sleep(0.01)
        panel.close()
        return shown

    shown = asyncio.run(main())
    assert shown == [str(sl.showcase().ids[k]) for k in (1, 50)]


def test_a_cell_that_waits_has_what_was_clicked_in_a_hurry(posterior):
    async def main():
        panel = GalaxyPanel(posterior, draws=100, method="fast")
        for _ in range(5):
            panel.next.click()
        assert panel.state.wait(60)
        found = str(panel.state.outcome.result.ids[0])
        panel.close()
        return found

    assert asyncio.run(main()) == str(sl.showcase().ids[5])


# A picture without a kernel


def test_a_saved_notebook_has_a_picture(panel):
    from xml.etree import ElementTree

    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "children" not in bundle["text/plain"]
    picture = bundle["image/svg+xml"]
    drawn = [node.tag.rpartition("}")[2] for node in ElementTree.fromstring(picture).iter()]
    assert drawn.count("path") > 40 and drawn.count("circle") >= 10
    assert "Spectral energy distribution" in picture and len(picture) < 200_000
