"""The picker without a browser: what is shown, chosen, searched for, judged, and driven."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from bokeh.events import SelectionGeometry, Tap

import sedflow_lab as sl
from sedflow_lab.errors import InputError
from sedflow_lab.methods import BADGES
from sedflow_lab.observations.nsa import showcase_table
from sedflow_lab.observations.sky import nearest, parse_place, positions_of
from sedflow_lab.panels import PickerPanel, PickerState
from sedflow_lab.panels.kit.plane import UNJUDGED, PlaneFigure
from sedflow_lab.panels.kit.regions import rows_inside
from sedflow_lab.panels.kit.widgets import galaxy_list
from sedflow_lab.panels.picker import state as picker_state
from sedflow_lab.panels.picker.about import picture

N = 12


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture(scope="module")
def table():
    """Showcase galaxies, one of them without a flux in g and r."""
    table = showcase_table()[:N]
    table["NMGY_g"][3] = table["NMGY_r"][3] = np.nan
    return table


@pytest.fixture
def state(posterior, table):
    state = PickerState(posterior, *two(table), draws=100)
    yield state
    state.close()


@pytest.fixture(scope="module")
def made(posterior, table):
    panel = PickerPanel(posterior, *two(table), draws=100)
    panel.galaxy.state.method = "fast"
    assert panel.state.wait()
    yield panel
    panel.close()


@pytest.fixture
def panel(made):
    """The one panel, with nothing chosen."""
    made.state.clear()
    made.state.tapped, made.sort.value, made.descending.value = 0, "", False
    return made


def two(table):
    """Photometry of a table, and the table."""
    return sl.Photometry.from_table(table, on_bad="flag"), table


# Places on the sky


@pytest.mark.parametrize(
    "text",
    ["187.27792 2.05239", "187.27792, 2.05239", "12:29:06.7 +02:03:08.6", "12 29 06.7 +02 03 08.6",
     "12h29m06.7s +2d03m08.6s"],
)  # fmt: skip
def test_a_place_is_read_however_it_is_written(text):
    assert parse_place(text) == pytest.approx((187.27792, 2.05239), abs=1e-4)


@pytest.mark.parametrize(
    "text", ["", "NGC 1", "12:29:06.7", "10 91", "400 2", "1 2 3", "25:00:00 1:0:0"]
)
def test_what_is_no_place_is_told_in_a_sentence(text):
    with pytest.raises(InputError, match=r"no place on the sky: give .*degrees"):
        parse_place(text)


def test_positions_are_found_in_any_spelling():
    known = [[187.27792, 2.05239], [10.0, -30.5]]
    for table in (
        Table({"RAJ2000": [187.27792, 10.0], "DEJ2000": [2.05239, -30.5]}),
        Table({"ra": ["12:29:06.7", "00:40:00"], "dec": ["+02:03:08.6", "-30:30:00"]}),
        Table({"RA": ["187.27792", "10"], "Dec": ["2.05239", "-30.5"]}),
        Table({"ra": [12.4851947, 2 / 3] * u.hourangle, "dec": [2.05239, -30.5]}),
    ):
        np.testing.assert_allclose(positions_of(table), known, atol=1e-4)
    assert positions_of(Table({"ra": [1.0], "z": [0.1]})) is None
    assert positions_of(Table({"ra": [1.0], "dec": [100.0]})) is None
    some = positions_of(Table({"ra": [1.0, 2.0], "dec": [-91.0, 3.0]}))
    assert np.isnan(some[0]).all() and some[1].tolist() == [2.0, 3.0]


def test_the_nearest_is_the_nearest_on_a_sphere():
    row, away = nearest((359.999, 89.0), np.array([[0.001, 89.0], [359.9, 89.0], [np.nan, np.nan]]))
    assert row == 0 and away == pytest.approx(0.002 * 3600 * np.cos(np.radians(89)), rel=1e-3)


# Regions


def test_a_lasso_holds_what_lies_in_its_outline():
    from matplotlib.path import Path

    x, y = np.random.default_rng(3).normal(size=(2, 5000))
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 1 + 0.6 * np.sin(5 * angle)  # a star, that is not convex
    star = {"type": "poly", "x": radius * np.cos(angle), "y": radius * np.sin(angle)}
    outline = Path(np.column_stack([star["x"], star["y"]]))
    expected = np.flatnonzero(outline.contains_points(np.column_stack([x, y])))
    assert rows_inside(star, x, y).tolist() == expected.tolist()
    around = {"type": "poly", "x": [-9, 9, 9, -9], "y": [-9, -9, 9, 9]}
    assert len(rows_inside(around, x, np.where(x > 0, np.nan, y))) == (x <= 0).sum()


# The state


def test_a_state_needs_no_widgets():
    code = (
        "import sys, sedflow_lab.panels.picker.state\n"
        "assert not {'bokeh', 'ipywidgets', 'jupyter_bokeh'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_columns_are_what_they_are_called(state, table):
    found = state.results
    magnitudes = state.galaxies.magnitude
    np.testing.assert_array_equal(found.columns["g-r"], magnitudes[:, 1] - magnitudes[:, 2])
    np.testing.assert_array_equal(found.columns["snr_u"], state.galaxies.snr[:, 0])
    np.testing.assert_array_equal(found.columns["ra"], table["RA"])
    away = 299792 / 67.8 * state.galaxies.redshift  # Mpc, to a few per cent at these redshifts
    modulus = (magnitudes[:, 2] - found.columns["abs_r"])[state.galaxies.usable]
    np.testing.assert_allclose(modulus, 25 + 5 * np.log10(away[state.galaxies.usable]), atol=0.1)
    assert "NMGY_F" in found.columns and "NMGY_u" not in found.columns  # which is mag_u
    assert found.label("NMGY_F") == "NMGY_F [nmgy]" and found.label("g-r") == "g−r [mag]"
    assert set(np.ravel(state.planes)) <= set(found.columns)


def test_badges_are_those_of_infer_and_come_by_themselves(state, posterior):
    assert state.wait()
    result = posterior.infer(state.galaxies, 100, "fast", 0, on_bad="flag")
    assert state.results.badges.tolist() == result.badge.tolist()
    assert state.results.badges[3] == "bad photometry"
    np.testing.assert_array_equal(state.results.columns["log_mstar"], result.quantile(0.5)[:, 0])
    np.testing.assert_array_equal(state.results.columns["distance"], result.diagnostics["distance"])
    assert not state.judging and state.judged == state.wanted == N - 1


def test_of_a_long_catalogue_those_chosen_are_judged(posterior, table, monkeypatch):
    monkeypatch.setattr(picker_state, "AT_ONCE", 4)
    state = PickerState(posterior, *two(table), draws=100)
    assert state.wait()
    assert np.flatnonzero(state.results.badges != "").tolist() == [0, 3]
    state.chosen = np.arange(5, 11)
    assert state.wait()
    assert np.flatnonzero(state.results.badges != "").tolist() == [0, 3, 5, 6, 7, 8]
    state.close()


def test_search_by_id_and_by_coordinates(state):
    ids, (ra, dec) = state.galaxies.ids, state.positions[5]
    state.find(f" {ids[7]} ")
    assert state.tapped == state.index == 7 and state.chosen.tolist() == [7] and not state.message
    state.find(f"{ra:.6f} {dec + 0.01:.6f}")
    assert state.tapped == 5 and f"Galaxy {ids[5]} is 36.0″ from" in state.said
    state.radius = 30.0
    state.find(f"{ra:.6f} {dec + 0.01:.6f}")
    assert state.message.startswith("No galaxy lies within 30.0″ of RA")
    assert state.message.endswith(f"the nearest is {ids[5]}, 36.0″ away.") and not state.said
    state.find(str(ids[7])[:-1] + "x")
    assert f"(closest: {ids[7]})" in state.message and state.tapped == 5


def test_without_positions_a_search_says_so(posterior):
    state = PickerState(posterior, sl.showcase()[:2], draws=100)
    assert state.planes[2] == ("redshift", "snr_r")
    state.find("10 10")
    assert state.message.startswith("This catalogue has no positions")
    state.close()


def test_galaxies_of_one_name_are_all_chosen(posterior):
    some = sl.showcase()[[0, 1, 0]]
    state = PickerState(posterior, some, draws=100)
    state.find(some.ids[0])
    assert state.chosen.tolist() == [0, 2] and "the first of 2" in state.said
    state.close()


def test_cuts_and_bad_rows(state):
    state.cut("redshift", 0.03, 0.0)
    expected = np.flatnonzero(state.galaxies.redshift <= 0.03)
    assert state.chosen.tolist() == expected.tolist()
    with pytest.raises(InputError, match="no column 'mass'"):
        state.cut("mass", 0, 1)
    state.clear()
    assert not len(state.chosen) and state.tapped == 0


def test_the_first_usable_galaxy_is_picked_and_tables_must_fit(posterior, table):
    state = PickerState(posterior, *two(table[3:6]), draws=100)
    assert state.index == state.tapped == 1
    state.close()
    with pytest.raises(InputError, match="5 rows for 12 galaxies"):
        PickerState(posterior, two(table)[0], table[:5])


def test_a_file_brings_its_positions(posterior, table, tmp_path):
    table.write(tmp_path / "some.ecsv")
    state = PickerState(posterior, tmp_path / "some.ecsv", draws=100)
    assert state.positions[2].tolist() == [table["RA"][2], table["DEC"][2]]
    assert state.galaxies.problems[3] != ""
    state.close()


# The view


def tell(figure, event):
    """Tell Python of an event as the browser does."""
    figure.document.callbacks.trigger_event(event)


def test_lasso_list_and_posterior(panel):
    state, plane = panel.state, panel.planes[0]
    x, y = state.points(0)
    corners = {"type": "poly", "x": [-30, -10, -10, -30], "y": [0.3, 0.3, 2, 2]}
    tell(plane.figure, SelectionGeometry(plane.figure, corners, final=True))
    rows = np.flatnonzero(y > 0.3)
    assert 0 < len(rows) < N and panel.rows.data["row"].tolist() == rows.tolist()
    for one, (name, _) in zip(panel.planes, state.planes, strict=True):
        shown = state.results.columns[name][rows].astype("f4")
        np.testing.assert_array_equal(one.chosen.data["x"], shown)
    panel.rows.selected.indices = [1]
    assert state.tapped == panel.galaxy.state.index == rows[1]
    tell(plane.figure, Tap(plane.figure, x=float(x[9]), y=float(y[9])))
    assert panel.galaxy.state.index == 9 and f"Galaxy {state.galaxies.ids[9]}" in panel.about.value
    panel.galaxy.state.step(1)  # the other way round
    assert state.tapped == 10 and plane.tapped.data["x"].tolist() == [np.float32(x[10])]


def test_arrows_walk_through_what_is_chosen_in_the_order_of_the_list(panel):
    panel.state.chosen = np.array([2, 5, 8])
    panel.sort.value, panel.descending.value = "redshift", True
    order = panel.rows.data["row"].tolist()
    assert sorted(order) == [2, 5, 8]
    seen = []
    for _ in range(4):
        panel.next.click()
        seen.append(panel.state.tapped)
    assert seen == [*order, order[0]]
    panel.previous.click()
    assert panel.state.tapped == order[-1]


def test_controls_search_and_cut(panel):
    panel.text.value = str(panel.state.galaxies.ids[6])
    assert panel.state.tapped == 6
    panel.text.value = "nobody"
    assert "no place on the sky" in panel.status.value
    panel.column.value = "snr_u"
    known = panel.state.results.columns["snr_u"]
    ends = known.min(), known.max()
    assert (panel.low.value, panel.high.value) == pytest.approx(ends, rel=1e-4)
    panel.low.value = float(np.sort(known)[-4]) - 0.01
    panel.high.value += 1
    panel.cut.click()
    assert len(panel.state.chosen) == 4
    panel.clear.click()
    assert not len(panel.rows.data["row"]) and panel.status.value == ""


def test_badges_colour_points_as_they_come_and_a_zoom_is_kept():
    plane, x = PlaneFigure(), np.arange(9.0)
    badges = np.full(9, "", dtype="U16")
    plane.update(x, x, badges, ("a", "b"))
    assert len(plane.points[UNJUDGED].data["x"]) == 9
    plane.figure.x_range.update(start=-2.0, end=7.5)
    badges = badges.copy()
    badges[2:4] = "ok"
    plane.update(x, x, badges, ("a", "b"))
    assert plane.points[BADGES["ok"].color].data["x"].tolist() == [2, 3]
    assert len(plane.points[UNJUDGED].data["x"]) == 6 and plane.figure.x_range.start == -2.0
    plane.update(x + 1, x, badges, ("a", "b"))
    assert plane.figure.x_range.start > -2.0


def test_the_card_tells_photometry_and_problems(panel):
    panel.state.tapped = 4
    galaxy = panel.state.galaxies[4]
    assert f"{galaxy.magnitude[0, 2]:.3f}" in panel.about.value
    assert f"<td>{1.0857 / galaxy.snr[0, 2]:.3f}</td>" in panel.about.value
    panel.state.tapped = 3
    assert "flux in band g is nan" in panel.about.value and "bad photometry" in panel.about.value


def test_the_sky_is_asked_for_only_where_it_may_be(panel):
    assert "<img src='https://www.legacysurvey.org" in panel.picture.value
    ra, dec = panel.state.positions[panel.state.index]
    assert f"ra={ra:.6f}&amp;dec={dec:.6f}" in panel.picture.value
    panel.ask.value = False
    assert "<img" not in panel.picture.value and "not asked for" in panel.picture.value
    assert "no position" in picture("a", None, True) and "<img" not in picture("a", None, True)
    assert "<b>" not in picture("<b>", (1.0, 2.0), True)


def test_every_control_has_a_name(panel):
    inputs = (panel.text, panel.radius, panel.low, panel.high)
    for one in (*inputs, panel.cut, panel.search, panel.ask):
        assert one.tooltip
    for one in (panel.previous, panel.next, panel.descending):
        assert one.tooltip and not one.description
    assert all(plane.figure.html_attributes["role"] == "img" for plane in panel.planes)


def test_a_long_catalogue_is_shown_by_its_density(posterior):
    rows = np.random.default_rng(0).integers(192, size=150_000)
    state = PickerState(posterior, sl.showcase()[rows], showcase_table()[rows]["RA", "DEC"])
    plane, found = PlaneFigure(), state.results
    plane.update(*state.points(0), found.badges, ("a", "b"))
    image = plane.image.data["image"]
    assert len(image) == 1 and not any(len(one.data["x"]) for one in plane.points.values())
    state.jobs.stop()
    state.select(0, {"type": "rect", "x0": -30, "x1": -19, "y0": 0.2, "y1": 0.5})
    plane.mark(state.chosen, state.tapped)
    x, y = state.points(0)
    assert len(state.chosen) == ((x <= -19) & (y >= 0.2) & (y <= 0.5)).sum()
    assert 500 <= len(plane.chosen.data["x"]) <= 1000
    plane.update(x, y, found.badges.copy(), ("a", "b"))
    assert plane.image.data["image"] is image  # it is not made anew for other badges
    chooser = galaxy_list(state, 300)
    assert chooser.max == 149_999  # a list of them would be megabytes
    chooser.close()
    state.close()
