"""What all panels share: closing one frees what it made, and its text is safe HTML."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from ipywidgets.widgets import widget as registry

import sedflow_lab as sl
import sedflow_lab.panels
from sedflow_lab.methods import BADGES, METHODS
from sedflow_lab.panels import (
    ABCPanel,
    CataloguePanel,
    CoveragePanel,
    ExplorerPanel,
    GalaxyPanel,
    OwnGalaxiesPanel,
    PickerPanel,
    PickerState,
    TrainPanel,
    WhatIfPanel,
    WitnessPanel,
)
from sedflow_lab.panels.kit import html
from sedflow_lab.panels.kit.choice import GalaxyChoice
from sedflow_lab.panels.kit.colors import DARK, DARK_PAPER, FAN_COLORS, LIGHT_PAPER, contrast
from sedflow_lab.panels.kit.jobs import Jobs, running_loop
from sedflow_lab.panels.kit.pace import Pace
from sedflow_lab.panels.kit.takeaway import netcdf_of


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


PANELS = {
    "galaxy": lambda posterior: GalaxyPanel(posterior, draws=200, method="fast"),
    "explorer": lambda posterior: ExplorerPanel(posterior.model),
    "whatif": lambda posterior: WhatIfPanel(posterior, draws=200),
    "witness": WitnessPanel,
    "coverage": lambda posterior: CoveragePanel(posterior, simulations=5000, draws=60),
    "abc": lambda posterior: ABCPanel(posterior, budget=10_000_000),
    "train": TrainPanel,
    "picker": lambda posterior: PickerPanel(posterior, sl.showcase()[:3], draws=100),
    "own": lambda posterior: OwnGalaxiesPanel(posterior=posterior),
    "catalogue": lambda posterior: CataloguePanel(posterior.infer(sl.showcase()[:9], 50)),
}
LONG_WORK = {
    "catalogue": lambda panel: panel.run.click(),
    "galaxy": lambda panel: panel.method.set_trait("value", "exact"),
    "witness": lambda panel: panel.run.click(),
    "coverage": lambda panel: panel.run.click(),
    "abc": lambda panel: panel.run.click(),
    "train": lambda panel: panel.train.click(),
}


def alive() -> set[str]:
    """Names of all widgets that ipywidgets holds on to."""
    return set(registry._instances)


@pytest.mark.parametrize("kind", PANELS)
def test_a_closed_panel_leaves_nothing_behind(kind, posterior):
    gc.collect()
    before = alive()
    panel = PANELS[kind](posterior)
    assert len(alive() - before) > 50
    if kind == "galaxy":  # a figure of other quantities
        panel.state.quantities = ("fburst", "tburst")
    if kind == "catalogue":  # a list that has been made, and made anew
        panel.state.select_badge(str(panel.state.results.badges[0]))
        panel.state.choose_axes(0, "fburst", "tburst")
    models = [view._model for view in panel._figures.values()]
    parts = [weakref.ref(part) for part in (panel, panel.state, *models)]
    panel.close()
    assert alive() == before
    panel.close()  # once more does no harm
    del panel, models
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)


@pytest.mark.parametrize("kind", LONG_WORK)
def test_closing_ends_the_threads(kind, posterior):
    others = set(threading.enumerate())
    panel = PANELS[kind](posterior)
    LONG_WORK[kind](panel)
    mine = [t for t in threading.enumerate() if t not in others and t.name.startswith("sedflow-")]
    assert mine
    panel.close()
    assert not any(thread.is_alive() for thread in mine)


def test_a_state_outlives_its_panel_and_moves_it_no_more(posterior):
    panel = PANELS["galaxy"](posterior)
    state, shown = panel.state, panel.status.value
    panel.close()
    state.index = 40
    assert state.outcome.result.ids[0] == sl.showcase().ids[40]
    assert panel.galaxy.value == 0 and panel.status.value == shown


def test_figures_have_names_for_those_who_cannot_see_them():
    from sedflow_lab.panels.kit.corner import CornerFigure
    from sedflow_lab.panels.kit.style import new_plot

    plot = new_plot("Ages", 200, ("x", 0, 1), ("y", 0, 1))
    corner = CornerFigure(("tau_ism", "age_mw")).figure
    for model, name in ((plot, "Ages"), (corner, "Corner plot of τ ISM, age")):
        assert model.html_attributes == {"role": "img", "aria-label": name}


def test_a_cell_that_waits_has_the_news_and_that_of_the_work_which_news_began():
    async def cell() -> list[str]:
        jobs, told = Jobs(running_loop()), []

        def first(word):
            told.append(word)
            jobs.start("second", lambda job: job.post(told.append, "second"))

        jobs.start("first", lambda job: job.post(first, "first"))
        assert jobs.wait(30)
        return list(told)

    assert asyncio.run(cell()) == ["first", "second"]


def test_the_newest_choice_stays_where_two_threads_choose(posterior, monkeypatch):
    """A widget's thread is still telling of one galaxy when a cell chooses another."""
    telling, chosen, follow = threading.Event(), threading.Event(), PickerState._follow

    def slow(state, *change):
        if state.tapped == 5 and not telling.is_set():
            telling.set()
            assert chosen.wait(30)
        follow(state, *change)

    monkeypatch.setattr(PickerState, "_follow", slow)
    panel = PickerPanel(posterior, sl.showcase()[:9], draws=100)
    try:
        panel.galaxy.state.method = "fast"
        assert panel.state.wait()
        threads = [
            threading.Thread(target=setattr, args=(panel.state, "tapped", row)) for row in (5, 7)
        ]
        threads[0].start()
        assert telling.wait(30)
        threads[1].start()
        threads[1].join(0.5)  # it has chosen by now, unless it waits for its turn
        chosen.set()
        for thread in threads:
            thread.join(30)
        assert panel.state.tapped == panel.state.index == panel.galaxy.state.index == 7
        assert panel.galaxy.galaxy.value == 7
    finally:
        chosen.set()
        panel.close()


def test_changes_of_two_threads_all_reach_the_page(posterior):
    panel, sent = ExplorerPanel(posterior.model), []
    view = next(iter(panel._figures.values()))
    view._send_patch = lambda events: sent.extend(event.attr for event in events)
    inside = threading.Event()

    def other():
        inside.set()
        with panel._together():
            view._model.height = 333

    try:
        thread = threading.Thread(target=other)
        with panel._together():
            view._model.width = 444
            thread.start()
            assert inside.wait(30)
            thread.join(0.2)
            with panel._together():  # of something that is called within
                view._model.min_width = 222
        thread.join(30)
        assert {"width", "min_width", "height"} <= set(sent)
    finally:
        panel.close()


def test_each_badge_is_a_pill_of_its_colour_and_messages_are_escaped():
    for word, badge in BADGES.items():
        assert f"background:{badge.color}" in html.badge(word) and f">{word}<" in html.badge(word)
    assert html.failure("a <b> & c") == ("<span class='sedflow-failure'>a &lt;b&gt; &amp; c</span>")
    assert html.number(-0.5) == "−0.50"


def test_draws_go_home_as_netcdf():
    from io import BytesIO

    from scipy.io import netcdf_file

    state = GalaxyChoice(index=3)
    outcome = state._run(state.galaxy, 100, "fast")
    file = netcdf_file(BytesIO(netcdf_of(outcome)), mmap=False)
    found = file.variables["tau_ism"]
    np.testing.assert_array_equal(found.data, outcome.values["tau_ism"])
    assert "Å" in found.long_name.decode()  # beyond ASCII
    state.close()


def test_every_class_has_its_rule_and_every_rule_its_class():
    """A panel brings one style sheet, with its help."""
    style = html.help_text("").partition("</style>")[0]
    folder = Path(sedflow_lab.panels.__file__).parent
    text = "".join(path.read_text() for path in folder.rglob("*.py")).replace(style, "")
    used, ruled = (set(re.findall(r"(?<!-)sedflow-[a-z]+(?=[ '\"{.:,])", t)) for t in (text, style))
    assert len(used) > 10 and used == ruled


def test_text_is_legible_in_both_themes():
    """Contrast of 4.5 or more (WCAG 2.1, level AA) of all text, 3 of lines that say something."""
    style = html.help_text("")
    day, night = re.search(r"body\{(.*?)\}\nbody\[.*?\]\{(.*?)\}", style, re.DOTALL).groups()
    for text, paper in ((day, LIGHT_PAPER), (night, DARK_PAPER)):
        colors = {name: color for name, color in re.findall(r"--sedflow-(\w+):(#\w{6})", text)}
        assert {"caution", "bad", "odd", "fault", "quiet"} < set(colors)
        assert {n: c for n, c in colors.items() if n != "rule" and contrast(c, paper) < 4.5} == {}
    for color in ("#222222", "#444444", "#555555"):  # of text in figures
        assert contrast(color, LIGHT_PAPER) >= 4.5 and contrast(DARK[color], DARK_PAPER) >= 4.5
    for method in METHODS.values():
        if method.label != "Nested sampling":  # no panel draws it
            assert min(contrast(method.color, p) for p in (LIGHT_PAPER, DARK_PAPER)) >= 3
    for badge in BADGES.values():
        assert contrast(badge.color, "#ffffff") >= 4.5
    assert min(contrast(color, DARK_PAPER) for color in map(DARK.get, FAN_COLORS)) >= 3
    assert min(contrast(color, LIGHT_PAPER) for color in FAN_COLORS[:4]) >= 3


def test_day_and_night_can_be_told_apart():
    night = {color for name, color in DARK.items() if name != "black"}
    assert len(night) == len(DARK) - 1 and not night & set(DARK)


def test_every_figure_is_given_its_theme_and_its_name():
    from sedflow_lab.panels.kit.base import FigureView
    from sedflow_lab.panels.kit.style import new_plot

    view = FigureView(new_plot("Ages", 200, ("x", 0, 1), ("y", 0, 1)))
    bundle = view.get_state(["render_bundle"])["render_bundle"]
    assert "--jp-layout-color0" in bundle and "document_ready" in bundle
    view.close()


def test_a_page_that_may_have_missed_something_gets_all_of_it_once():
    from sedflow_lab.panels.kit.base import FigureView
    from sedflow_lab.panels.kit.style import new_plot

    plot = new_plot("Ages", 200, ("x", 0, 1), ("y", 0, 1))
    view, sent = FigureView(plot), []
    view.send_state = sent.append
    view.refresh()
    assert sent == []  # nothing has changed since it was made
    plot.title.text = "Other ages"
    view.refresh()
    assert sent == ["render_bundle"]
    assert "Other ages" in view.bundle()
    view.refresh()
    assert sent == ["render_bundle"]
    del view.send_state
    view.close()


def test_bokehjs_travels_small_and_once():
    from sedflow_lab.panels.kit.bokehjs import loader

    code = loader(["bokeh"])
    assert len(code) < 600_000
    assert "has.parts.includes(part)" in code


def test_pace_tells_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("sedflow_lab.panels.kit.pace.time.monotonic", lambda: now[0])
    pace = Pace()
    assert pace.words(0, 1000) == "0 of 1,000"  # nothing is known yet
    now[0] += 30
    assert pace.words(250, 1000) == "250 of 1,000, 1:30 left"
    now[0] += 30
    assert pace.words(1000, 1000) == "1,000 of 1,000"
    now[0] += 500
    assert pace.words(40, 100) == "40 of 100"  # another run, which goes on from there
    now[0] += 10
    assert pace.words(50, 100) == "50 of 100, 0:50 left"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.001, ".2f", "0.00"),
        (-1.25, ".2f", "−1.25"),
        (2.0, "+.4f", "+2.0000"),
        (-0.02, ".2f", "−0.02"),
        (0.0, ".3g", "0"),
    ],
)
def test_numbers_have_a_real_minus_sign_and_zero_has_none(
    value: float, digits: str, text: str
) -> None:
    assert html.number(value, digits) == text
