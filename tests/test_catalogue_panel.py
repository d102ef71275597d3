"""The catalogue panel without a browser: results, a run, what is chosen, and what is drawn."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from astropy.table import Table
from bokeh.events import RangesUpdate, SelectionGeometry, Tap

import sedflow_lab as sl
from sedflow_lab.errors import InputError
from sedflow_lab.methods import BADGES
from sedflow_lab.observations.write import write_table
from sedflow_lab.panels import CataloguePanel, CatalogueState
from sedflow_lab.panels.catalogue.results import Results, axis_text
from sedflow_lab.panels.kit import plane as figures
from sedflow_lab.panels.kit import summary as kit_summary
from sedflow_lab.panels.kit.plane import PlaneFigure, density_of, share_of
from sedflow_lab.panels.kit.regions import nearest_row, rows_inside
from sedflow_lab.panels.kit.summary import summary_of

N = 40


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture(scope="module")
def galaxies():
    """Showcase galaxies, one of them without a flux."""
    table = sl.showcase()[:N].to_table()
    table["flux_g"][3] = np.nan
    return sl.Photometry.from_table(table, on_bad="flag")


@pytest.fixture(scope="module")
def result(posterior, galaxies):
    return posterior.infer(galaxies, 100, seed=2, on_bad="flag")


@pytest.fixture(scope="module")
def summary(posterior, result):
    return summary_of(result, posterior.model)


@pytest.fixture
def state(posterior, galaxies, summary):
    state = CatalogueState(summary, galaxies, posterior)
    yield state
    state.close()


@pytest.fixture
def panel(posterior, galaxies, summary):
    panel = CataloguePanel(summary, galaxies, posterior)
    yield panel
    panel.close()


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


# Results


def test_a_state_needs_no_widgets():
    code = (
        "import sys, sedflow_lab.panels.catalogue.state\n"
        "assert not {'bokeh', 'ipywidgets', 'jupyter_bokeh'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ending", [".ecsv", ".fits", ".csv"])
def test_tables_on_disk_are_what_was_written(tmp_path, summary, ending):
    write_table(summary, tmp_path / f"t{ending}")
    found, expected = Results.of(tmp_path / f"t{ending}"), Results.of(summary)
    assert found.ids.tolist() == expected.ids.tolist() == sl.showcase()[:N].ids.tolist()
    assert found.badges.tolist() == expected.badges.tolist()
    assert [bool(text) for text in found.problems] == [k == 3 for k in range(N)]
    assert list(found.columns) == list(expected.columns)
    for name, values in found.columns.items():
        np.testing.assert_allclose(values, expected.columns[name], rtol=2e-6, atol=1e-5)
        if name not in ("redshift", "ess"):
            assert np.flatnonzero(np.isnan(values)).tolist() in ([3], []), name
    assert np.isnan(found.columns["log_mstar"][3])


def test_widths_are_half_of_the_interval(summary):
    found = Results.of(summary)
    width = 0.5 * (summary["tau_ism_hi"] - summary["tau_ism_lo"])
    np.testing.assert_array_equal(found.columns["tau_ism_width"], width)
    assert axis_text("log_mstar_width") == "± log M★ [dex]"
    assert axis_text("age_mw_width") == "± age [Gyr]" and axis_text("age_mw") == "age [Gyr]"


def test_derived_quantities_are_those_of_the_draws(result, summary, posterior):
    draws = result.derived(posterior.model)["age_mw"][5]
    np.testing.assert_allclose(summary["age_mw"][5], np.median(draws), atol=0.05)
    assert summary["age_mw_lo"][5] < np.median(draws) < summary["age_mw_hi"][5]


def test_results_count_badges_and_refuse_other_tables(result):
    found = Results.of(result)
    assert sum(found.counts.values()) == N and found.counts["bad photometry"] == 1
    counts = list(found.counts.values())
    assert counts == sorted(counts, reverse=True)
    with pytest.raises(InputError, match="no posteriors"):
        Results.of(Table({"id": ["a"], "redshift": [0.1]}))
    with pytest.raises(InputError, match="does not exist"):
        Results.of("nowhere.fits")


def test_a_result_is_shown_with_its_derived_quantities(result, summary, posterior):
    found = CatalogueState(result, posterior=posterior).results
    np.testing.assert_array_equal(found.columns["age_mw"], summary["age_mw"])
    assert (found.meta["draws"], found.meta["seed"], found.meta["method"]) == (100, 2, "fast")


def test_without_derived_quantities_planes_show_others(result, posterior):
    state = CatalogueState(result.summary(), posterior=posterior)
    names = {name for plane in state.planes for name in plane}
    assert "log_sfr_1gyr" not in names and names <= set(state.results.columns)
    assert not any(name.startswith("beta") for name in names)
    assert ("redshift", "log_mstar") in state.planes


# Regions


def test_rows_inside_of_a_rectangle_and_of_a_polygon():
    x, y = np.array([0.5, 0.5, 2.0, np.nan, 0.9]), np.array([0.5, 2.0, 0.5, 0.5, 0.05])
    square = {"type": "rect", "x0": 1, "x1": 0, "y0": 0, "y1": 1}
    assert rows_inside(square, x, y).tolist() == [0, 4]
    triangle = {"type": "poly", "x": [0, 1, 0], "y": [0, 1, 1]}
    assert rows_inside(triangle | {"y": [0, 0, 1.2]}, x, y).tolist() == [0, 4]
    assert rows_inside(triangle, x, y + 0.1).tolist() == [0]
    for nothing in ({"type": "point", "x": 0, "y": 0}, {"type": "poly", "x": [0], "y": [0]}):
        assert rows_inside(nothing, x, y).tolist() == []


def test_the_nearest_row_is_near():
    x, y = np.array([0.0, 10.0, np.nan]), np.array([0.0, 1.0, 0.5])
    assert nearest_row(x, y, (9.8, 1.01), (10, 1)) == 1
    assert nearest_row(x, y, (9.8, 1.2), (10, 1)) is None  # a fifth of the height away
    assert nearest_row(x[2:], y[2:], (0, 0), (1, 1)) is None


# The run


def test_a_run_infers_all_and_gives_what_the_package_gives(posterior, galaxies, summary):
    state = CatalogueState(None, galaxies, posterior, draws=100, seed=2)
    seen = []
    state.observe(lambda change: seen.append(change.new), "done")
    state.run()
    assert state.wait() and state.finished and not state.running
    assert seen == [32, N] and state.total == N
    for name in ("id", "badge", "problem", "log_mstar", "age_mw_hi", "ess"):
        assert state.table[name].tolist() == pytest.approx(summary[name].tolist(), nan_ok=True)
    assert state.results.meta["draws"] == 100 and state.results.meta["seed"] == 2
    state.run()
    assert not state.running  # it is done
    state.draws = 150
    assert not state.finished and state.done == 0 and state.results is not None


@pytest.mark.parametrize("kept", [False, True])
def test_a_run_is_cancelled_and_goes_on(posterior, galaxies, summary, tmp_path, monkeypatch, kept):
    monkeypatch.setattr(kit_summary, "_AT_ONCE", 8)
    monkeypatch.setattr("sedflow_lab.catalogue.atlas._GALAXIES", 8)
    out = tmp_path / "run.zarr" if kept else None
    state = CatalogueState(None, galaxies, posterior, out=out, draws=100, seed=2)
    infer, calls, go = type(posterior).infer, [], threading.Event()

    def slow(self, photometry, *arguments, **settings):
        calls.append(photometry.ids[0])
        if len(calls) == 3:
            go.wait(30)
        return infer(self, photometry, *arguments, **settings)

    monkeypatch.setattr(type(posterior), "infer", slow)
    state.run()
    until(lambda: state.done == 16 and len(calls) == 3)
    state.cancel()
    go.set()
    assert state.wait() and not state.running and not state.finished and state.done == 16
    again = calls[2]
    if kept:  # another notebook goes on
        state.close()
        state = CatalogueState(None, galaxies, posterior, out=out, draws=100, seed=2)
        assert len(state.results) in (16, 24) and state.can_run
    else:
        assert len(state.results) == 16
    calls.clear()
    state.run()
    assert state.wait() and state.finished and state.message == ""
    assert calls[0] in (again, galaxies.ids[24])
    assert state.results.ids.tolist() == galaxies.ids.tolist()
    expected = Results.of(summary).columns
    for name in ("log_mstar", "age_mw", "tau_ism_width"):
        np.testing.assert_allclose(state.results.columns[name], expected[name], rtol=1e-5)
    state.close()


def test_a_store_without_a_galaxy_yet_is_nothing_to_see_and_goes_on(posterior, galaxies, tmp_path):
    stopped = threading.Event()
    stopped.set()
    out = tmp_path / "a.zarr"
    sl.infer_catalogue(galaxies, out, 100, posterior=posterior, stop=stopped)
    panel = CataloguePanel(None, galaxies, posterior, out=out, draws=100)
    assert len(panel.state.results) == 0 and panel._badge_box.children == ()
    panel.run.click()
    assert panel.state.wait() and panel.state.finished
    assert len(panel.state.results) == N and len(panel._badge_box.children) > 1
    panel.close()


def test_a_store_with_other_settings_is_refused_in_words(posterior, galaxies, tmp_path):
    sl.infer_catalogue(galaxies, tmp_path / "a.zarr", 50, posterior=posterior)
    state = CatalogueState(None, galaxies, posterior, out=tmp_path / "a.zarr", draws=100)
    assert len(state.results) == N
    state.run()
    assert state.wait() and not state.running
    assert "holds posteriors that differ in draws (50 there, 100 here): write" in state.message


def test_a_run_that_fails_says_so(posterior, galaxies, monkeypatch):
    state = CatalogueState(None, galaxies, posterior)
    monkeypatch.setattr(type(posterior), "infer", lambda *a, **k: 1 / 0)
    state.run()
    assert state.wait() and state.message == "The run failed: division by zero"


# What is chosen


def test_a_region_chooses_and_a_tap_opens(state, posterior, galaxies):
    x, y = state.points(0)
    box = {"type": "rect", "x0": 9.0, "x1": 10.0, "y0": -1.0, "y1": 0.5}
    state.select(0, box)
    expected = np.flatnonzero((x >= 9) & (x <= 10) & (y >= -1) & (y <= 0.5))
    assert state.chosen.tolist() == expected.tolist() and len(expected)
    state.tap(0, (x[7], y[7]), (4.0, 4.0))
    assert state.tapped == 7
    assert state.wait()
    # With the settings of the table, these are the draws that it was made of.
    draws = posterior.infer(galaxies[7], 100, seed=2).samples
    np.testing.assert_array_equal(state.outcome.result.samples, draws)
    assert np.median(state.outcome.values["log_mstar"]) == pytest.approx(x[7], abs=0.02)
    state.tap(0, (x[7] + 2, y[7] + 9), (4.0, 4.0))
    assert state.tapped == 7  # nothing is there
    state.clear()
    assert state.tapped is None and state.outcome is None and len(state.chosen) == 0


def test_badges_choose(state):
    state.select_badge("bad photometry")
    assert state.chosen.tolist() == [3]


def test_a_galaxy_without_a_posterior_says_why(state, summary, posterior):
    state.tapped = 3
    assert "band g is nan" in state.message and state.outcome is None
    alone = CatalogueState(summary, posterior=posterior)
    assert not alone.can_run
    alone.tapped = 5
    assert alone.wait()
    assert alone.outcome is None and "give photometry=" in alone.message


def test_photometry_is_found_by_name_in_another_order(summary, galaxies, posterior):
    state = CatalogueState(summary[::-1], galaxies, posterior)
    state.tapped = 0
    assert state.wait()
    assert state.outcome.photometry.ids[0] == galaxies.ids[-1]


def test_error_floors_and_bad_bands_are_as_in_the_run(posterior, galaxies):
    one = galaxies[:2].with_error_floor({"u": 0.1})
    table = posterior.infer(one, 100, "weighted", outliers=sl.Outliers(0.02)).summary()
    table.meta |= {"draws": 100, "seed": 0, "error_floor_u": 0.1, "outliers": 0.02}
    state = CatalogueState(table, galaxies, posterior)
    state.tapped = 1
    assert state.wait()
    shown = state.outcome.result
    assert shown.quantile(0.5)[0, 0] == table["log_mstar"][1]
    assert shown.ess[0] == table["ess"][1]


@pytest.mark.parametrize("keep", ["float32", "none"])
def test_a_store_gives_its_draws_or_they_are_made_again(posterior, galaxies, tmp_path, keep):
    out = tmp_path / "a.zarr"
    sl.infer_catalogue(galaxies, out, 100, seed=2, posterior=posterior, keep=keep)
    state = CatalogueState(out, posterior=posterior)
    assert not state.can_run and len(state.results) == N
    state.tapped = 7
    assert state.wait() and state.message == ""
    draws = posterior.infer(galaxies[7], 100, seed=2).samples
    np.testing.assert_allclose(state.outcome.result.samples, draws, rtol=1e-6)


# Figures


def test_few_are_points_and_many_are_a_density(monkeypatch):
    monkeypatch.setattr(figures, "MOST_POINTS", 1000)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3000))
    badges = np.where(np.arange(3000) < 300, "refine", "ok")
    plane = PlaneFigure()
    plane.update(x[:900], y[:900], badges[:900], ("a [b]", "c [d]"))
    assert [len(plane.points[BADGES[w].color].data["x"]) for w in ("refine", "ok")] == [300, 600]
    assert plane.image.data["image"] == [] and plane.lines.data["xs"] == []
    assert plane.figure.xaxis.axis_label == "a [b]"
    plane.update(x, y, badges, ("a", "b"))
    assert all(len(source.data["x"]) == 0 for source in plane.points.values())
    assert plane.image.data["image"][0].shape == (80, 80) and len(plane.lines.data["xs"]) == 2
    # Zoomed in to few, they are points again.
    plane.figure.x_range.update(start=0.0, end=0.3)
    plane.draw()
    assert sum(len(source.data["x"]) for source in plane.points.values()) <= 1000
    assert plane.image.data["image"] == []


def test_contours_hold_what_they_say():
    x, y = np.random.default_rng(1).normal(size=(2, 50_000))
    found = density_of(x, y, ((-5, 5), (-5, 5)))
    for line_x, line_y, inside in zip(found["xs"], found["ys"], (0.95, 0.68), strict=True):
        radius = np.nanmedian(np.hypot(line_x, line_y))
        assert radius == pytest.approx(np.sqrt(-2 * np.log(1 - inside)), abs=0.12)
    counts = 10 ** found["image"][np.isfinite(found["image"])]
    inside = (np.abs([x, y]) <= 5).all(0).sum()  # all but one or two
    assert counts.sum() == pytest.approx(inside)


def test_the_map_of_badges_is_the_share_of_bad_ones():
    x = np.repeat([0.2, 0.8], 10)
    bad = np.arange(20) % 10 < np.where(x < 0.5, 3, 10)
    share = share_of(bad, x, np.full(20, 0.5), ((0, 1), (0, 1)))
    known = share[np.isfinite(share)]
    assert known.tolist() == [0.3, 1.0]


def test_of_very_many_chosen_some_are_marked_and_one_alone():
    plane = PlaneFigure()
    x = np.arange(10_000.0)
    plane.update(x, x, np.full(10_000, "ok"), ("a", "b"))
    plane.mark(np.arange(5000), 7)
    assert 500 <= len(plane.chosen.data["x"]) <= 1000
    assert plane.tapped.data["x"].tolist() == [7.0]


# The view


def tell(figure, event):
    """Tell Python of an event as the browser does."""
    figure.document.callbacks.trigger_event(event)


def test_lasso_table_and_posterior(panel):
    state, first = panel.state, panel.planes[0]
    x, y = state.points(0)
    assert sum(len(s.data["x"]) for s in first.points.values()) == N - 1
    corners = {"type": "poly", "x": [7, 10, 10, 7], "y": [-5, -5, 5, 5]}
    tell(first.figure, SelectionGeometry(first.figure, corners, final=False))
    assert panel.list is None  # while it is drawn
    tell(first.figure, SelectionGeometry(first.figure, corners, final=True))
    rows = np.flatnonzero(x <= 10).tolist()
    assert panel.rows.data["row"].tolist() == rows
    assert f"<b>{len(rows)}</b> of {N} galaxies are chosen" in panel.list_text.value
    assert [column.title for column in panel.list.columns][:3] == ["Galaxy", "Badge", "log M★ [M☉]"]
    for plane, pair in zip(panel.planes, state.planes, strict=True):
        shown = state.results.columns[pair[0]][rows].astype("f4")
        assert plane.chosen.data["x"].tolist() == shown.tolist()  # linked in every plane
    panel.rows.selected.indices = [2]
    assert state.tapped == rows[2]
    assert state.wait()
    name = state.results.ids[rows[2]]
    assert f"Galaxy {name}" in panel.galaxy.value and panel._drawn.layout.display == "flex"
    assert len(panel.sed.data.data["x"]) == 5 and "log M★" in panel.medians.value
    tell(first.figure, Tap(first.figure, x=float(x[9]), y=float(y[9])))
    assert state.tapped == 9 and first.tapped.data["x"].tolist() == [np.float32(x[9])]
    assert state.wait()
    panel.clear.click()
    assert panel._drawn.layout.display == "none" and len(panel.rows.data["row"]) == 0


def test_axes_are_chosen_and_figures_named(panel):
    y, x = panel.axes[2]
    y.value = "tau_bc_width"
    assert panel.state.planes[2] == ("log_mstar", "tau_bc_width")
    plane = panel.planes[2]
    assert plane.figure.yaxis.axis_label == "± τ BC"
    assert "Mass and metallicity" in panel._heads[1].value
    assert "± τ BC and log M★" in panel._heads[2].value
    x.value = "ess"
    assert plane.figure.xaxis.axis_label == "Effective draws"
    attributes = plane.figure.html_attributes
    assert attributes == {
        "role": "img",
        "aria-label": f"± τ BC against Effective draws of {N} galaxies",
    }
    assert len({one.tooltip for lists in panel.axes for one in lists}) == 12


def test_the_list_is_sorted_before_it_is_cut(panel, monkeypatch):
    monkeypatch.setattr("sedflow_lab.panels.kit.linked._MOST_ROWS", 5)
    found = panel.state.results
    panel.state.chosen = np.arange(N)
    assert panel.rows.data["row"].tolist() == [0, 1, 2, 3, 4]
    assert "the first 5 are listed" in panel.list_text.value
    mass = found.columns["log_mstar"]
    for descending in (False, True):
        panel.sort.value, panel.descending.value = "log_mstar", descending
        known = np.sort(mass[np.isfinite(mass)])
        expected = known[::-1][:5] if descending else known[:5]
        assert panel.rows.data["log_mstar"].tolist() == expected.tolist()
        assert found.sorted(np.arange(N), "log_mstar", descending)[-1] == 3  # it has none
    panel.sort.value = "badge"
    assert panel.rows.data["badge"] == sorted(found.badges.tolist(), reverse=True)[:5]
    panel.state.choose_axes(0, "fburst", "tburst")
    assert panel.sort.value == "badge" and ("t burst", "tburst") in panel.sort.options


def test_badge_buttons_count_and_choose(panel):
    labels = [one.description for one in panel._badge_box.children]
    assert "◆ bad photometry: 1" in labels
    panel._badge_box.children[labels.index("◆ bad photometry: 1")].click()
    assert panel.rows.data["id"] == [panel.state.results.ids[3]]
    assert panel.rows.data["problem"][0] == panel.state.results.problems[3]
    panel.rows.selected.indices = [0]
    assert "band g is nan" in panel.galaxy.value


def test_zooming_draws_anew(panel, monkeypatch):
    monkeypatch.setattr(figures, "MOST_POINTS", 10)
    plane = panel.planes[0]
    plane.draw()
    assert len(plane.image.data["image"]) == 1
    plane.figure.x_range.update(start=8.0, end=8.6)
    tell(plane.figure, RangesUpdate(plane.figure, x0=8.0, x1=8.6, y0=-3, y1=3))
    assert plane.image.data["image"] == []


def test_the_run_is_driven_by_its_buttons(posterior, galaxies):
    panel = CataloguePanel(None, galaxies, posterior, draws=100)
    assert panel.run.description == f"Infer {N} galaxies" and panel.cancel.layout.display == "none"
    assert panel.planes[0].figure.yaxis.axis_label == "log SFR 1 Gyr [M☉/yr]"
    panel.run.click()
    assert panel.state.wait()
    assert panel.run.disabled and panel.progress.value == panel.progress.max == N
    assert panel.progress_text.value == f"{N} of {N}"
    assert len(panel._badge_box.children) >= 2
    table = panel.state.table
    panel.draws.value = 200
    assert not panel.run.disabled and panel.progress.value == 0
    panel.close()
    shown = CataloguePanel(table, posterior=posterior)
    assert shown._run_controls.layout.display == "none"
    shown.close()
