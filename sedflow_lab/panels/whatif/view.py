"""The what-if panel: change a galaxy's photometry with the mouse, and see its posterior move."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w

from ...errors import InputError
from ...methods import BADGES
from ...observations.photometry import Photometry
from ...posterior.weighting import weighted_quantile
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Outcome, Source
from ..kit.corner import CornerFigure
from ..kit.widgets import button, columns, corner_box, galaxy_buttons, galaxy_list, row
from .figures import PhotometryFigure
from .state import MOST_BRIGHTER, NOISE_RANGE, WhatIfState, presets

__all__ = ["WhatIfPanel"]

_HELP = (
    "Drag a point of the spectrum up or down, or an end of its error bar; move the redshift; "
    "untick a band. The network's posterior follows, and what was measured stays behind in grey. "
    "A bit is what halves the width of a posterior. <b>Exact</b> corrects what you end with, in a "
    "second."
)
_STEPS: dict[str, Callable[[float], float]] = {
    "brighter": lambda x: round(x, 2),
    "noisier": lambda x: 10 ** round(math.log10(x), 2),
    "redshift": lambda x: round(x, 3),
}
"""The places that sliders can take: browsers round to them, and report what they have rounded."""

_HEADS = (
    "<div class='sedflow-small' style='display:flex;padding-left:52px'><span style='flex:1'>"
    "brighter [mag]</span><span style='flex:1'>error ×</span></div>"
)
_LARGE = 0.15  # bits: what fewer draws would say is not worth a word


class WhatIfPanel(Panel):
    """Widgets on a `WhatIfState`: photometry to be dragged, a corner plot, and what has changed.

    Parameters
    ----------
    posterior, photometry, **choice
        As of `WhatIfState`.

    Examples
    --------
    >>> panel = WhatIfPanel(index=3)
    >>> panel.state.put(brighter={"u": 0.5})
    """

    def __init__(
        self, posterior: Source = None, photometry: Photometry | None = None, **choice: Any
    ) -> None:
        self.state = WhatIfState(posterior, photometry, **choice)
        super().__init__(self.state)
        self._showing = False  # controls are being moved to where the state is
        self._behind: Outcome | None = None  # what the corner plot shows in grey
        self.corner = CornerFigure()
        self.sed = PhotometryFigure(self.state.posterior.model, self._dragged)
        self._make_controls()
        left = w.VBox(
            [
                self._show("sed", self.sed.figure),
                self.redshift,
                w.HTML(_HEADS, layout=w.Layout(width="100%")),
                *self._bands.values(),
                self.words,
            ],
            layout=w.Layout(flex="1 1 400px", min_width="360px", max_width="700px"),
        )
        corner = corner_box(self._show("corner", self.corner.figure), self.zoom)
        self.children = [
            w.HTML(html.help_text(_HELP) + html.of_galaxies(self.state.simulated)),
            row(self.galaxy, self.previous, self.next, self.exact),
            row(*self.presets, self.reset),
            self.status,
            columns(left, corner),
        ]
        self._watch("before", self._begin)
        self._watch("now", self._refresh)
        self._watch(["brighter", "noisier", "redshift", "observed"], self._follow)
        self._watch(["busy", "matters", "message"], self._tell)
        self._begin()
        self._refresh()

    def _make_controls(self) -> None:
        state = self.state
        self.galaxy = galaxy_list(state, 385)
        self.previous, self.next = galaxy_buttons(state)
        self.exact = w.ToggleButton(
            description="Exact",
            tooltip="Correct the posterior with the likelihood, once nothing changes any more",
            layout=w.Layout(width="auto"),
        )
        self._link(index=self.galaxy, exact=self.exact)
        self.reset = button("As measured", "undo", state.reset, "Undo all changes")
        self.presets = [
            button(name, "magic", partial(self._make, name), preset.meaning)
            for name, preset in presets(state.posterior.bands).items()
        ]
        most = state.posterior.bundle.redshift_max
        self.redshift = w.FloatSlider(
            description="Redshift",
            min=0.001,
            max=most,
            step=0.001,
            readout_format=".3f",
            tooltip="Sets distance, and the age of the universe",
            style={"description_width": "62px"},
            layout=w.Layout(width="98%"),
        )
        self.redshift.observe(self._redshift_moved, "value")
        self.used: dict[str, w.Checkbox] = {}
        self.brighter: dict[str, w.FloatSlider] = {}
        self.noisier: dict[str, w.FloatLogSlider] = {}
        self._bands: dict[str, w.Box] = {}
        ends = [round(math.log10(end), 2) for end in NOISE_RANGE]
        for band in state.posterior.bands.labels:
            self.used[band] = w.Checkbox(
                description=band, indent=False, tooltip=f"Use {band}", layout={"width": "44px"}
            )
            size: Any = {"style": {"description_width": "0"}, "layout": {"flex": "1 1 150px"}}
            self.brighter[band] = w.FloatSlider(
                min=-MOST_BRIGHTER,
                max=MOST_BRIGHTER,
                step=0.01,
                tooltip=f"Magnitudes by which {band} becomes brighter",
                **size,
            )
            self.noisier[band] = w.FloatLogSlider(
                min=ends[0],
                max=ends[1],
                step=0.01,
                value=1.0,
                readout_format=".2f",
                tooltip=f"Factor on the uncertainty of {band}",
                **size,
            )
            self.used[band].observe(self._ticked, "value")
            self.brighter[band].observe(partial(self._moved, "brighter", band), "value")
            self.noisier[band].observe(partial(self._moved, "noisier", band), "value")
            parts = [self.used[band], self.brighter[band], self.noisier[band]]
            self._bands[band] = w.HBox(parts, layout=w.Layout(width="100%"))
        self.zoom = w.Checkbox(description="Zoom in on the posterior", indent=False)
        self.zoom.observe(lambda _: self._zoomed(), "value")
        self.status, self.words = w.HTML(), w.HTML()

    def _make(self, preset: str) -> None:
        try:
            self.state.preset(preset)
        except InputError as error:  # the galaxy lacks the bands
            self.state.message = str(error)

    def _dragged(self, band: str, what: str, value: float) -> None:
        """A point or an error bar [nanomaggies] is held by the mouse."""
        one = self.state.galaxy
        k = one.bands.labels.index(band)
        if what == "flux" and one.flux[0, k] > 0:
            self.state.put(brighter={band: 2.5 * math.log10(value / one.flux[0, k])})
        elif what == "sigma":
            self.state.put(noisier={band: max(value, 1e-12) / one.sigma[0, k]})

    def _moved(self, what: str, band: str, change: Any) -> None:
        known = getattr(self.state, what).get(band)
        if self._showing or known is None or change.new == _STEPS[what](known):
            return
        if what == "brighter":
            self.state.put(brighter={band: change.new})
        else:
            self.state.put(noisier={band: change.new})

    def _redshift_moved(self, change: Any) -> None:
        if not self._showing and change.new != _STEPS["redshift"](self.state.redshift):
            self.state.put(redshift=change.new)

    def _ticked(self, _: Any) -> None:
        if self._showing:
            return
        chosen = tuple(b for b in self.state.bands if self.used[b].value)
        if len(chosen) >= 2 and chosen != self.state.observed:
            self.state.put(observed=chosen)

    def _begin(self) -> None:
        """Show another galaxy."""
        if self.state.before is not None:
            with self._together():
                self.sed.begin(self.state.galaxy)
        self._follow()

    def _follow(self) -> None:
        """Show the photometry as it would be, and move the controls there."""
        state, seen = self.state, self.state.bands
        # A control that follows the state must not move it in its turn.
        self._showing = True
        self.redshift.value = _STEPS["redshift"](state.redshift)
        for band in self.used:
            self._bands[band].layout.display = "" if band in seen else "none"
            if band in seen:
                self.brighter[band].value = _STEPS["brighter"](state.brighter.get(band, 0.0))
                self.noisier[band].value = _STEPS["noisier"](state.noisier.get(band, 1.0))
                self.used[band].value = band in state.observed
                self.used[band].disabled = len(state.observed) <= 2 and band in state.observed
        self._showing = False
        with self._together():
            self.sed.show(state.changed)

    def _refresh(self) -> None:
        """Show the newest posterior."""
        state = self.state
        now, before = state.now, state.before
        with self._together():
            if now is None or not now.result.usable[0]:
                self.sed.clear()
                self.corner.clear()
            else:
                self.sed.predict(now.result, state.posterior.model)
                self.corner.update(now.drawn, self.zoom.value)
                # On axes that stay, so does what lies behind.
                if before is not None and (self.zoom.value or before is not self._behind):
                    self.corner.show_behind(before.drawn)
                    self._behind = before
        self._tell()

    def _zoomed(self) -> None:
        self._behind = None
        self._refresh()

    def _tell(self) -> None:
        """Say how far to trust what is shown, and what has changed."""
        state, parts = self.state, []
        now, before = state.now, state.before
        if now is not None:
            word = str(now.result.badge[0])
            parts = [html.badge(word), html.escape(BADGES[word].meaning)]
            parts += [html.key(now.result.method), f"made in <b>{html.duration(now.seconds)}</b>"]
        if state.message:
            parts.append(html.failure(state.message))
        self.status.value = html.strip(parts)
        usable = now is not None and before is not None and now.result.usable[0]
        self.words.value = html.verdict(self._sentences()) if usable else ""

    def _sentences(self) -> list[str]:
        """What the corner plot's quantities have gained or lost, and which band matters for it."""
        state, said = self.state, []
        for q in self.corner.quantities:
            assert state.now is not None and state.before is not None
            old, new = (state.gain(each, q.name) for each in (state.before, state.now))
            was, is_now = (_middle(each, q.name) for each in (state.before, state.now))
            text = f"<b>{html.escape(q.text)}</b> {html.number(was)} → {html.number(is_now)}"
            if abs(new - old) > _LARGE:
                word = "more" if new > old else "fewer"
                text += f", {abs(new - old):.1f} bits {word}"
            band, lost = state.matters.get(q.name, ("", 0.0))
            if lost > _LARGE:
                text += f"; without {band} it would be {lost:.1f} bits fewer"
            said.append(text + f" <i>({new:.1f} bits)</i>")
        return said


def _middle(outcome: Outcome, name: str) -> float:
    return float(weighted_quantile(outcome.values[name], outcome.result.weights[0], 0.5))
