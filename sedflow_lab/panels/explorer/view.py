"""The explorer: move the parameters of the SED model, and see what becomes of the galaxy."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import ipywidgets as w

from ...quantities import QUANTITIES
from ...sps import SEDModel
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Source
from ..kit.colors import FAN_COLORS
from ..kit.widgets import button, columns, drop_down
from .figures import AttenuationFigure, MetallicityFigure, RateFigure, SpectrumFigure
from .state import BETAS, LAST_MOVED, LOGARITHMIC, NOTHING, ExplorerState, Frame

__all__ = ["ExplorerPanel", "Track"]

_HELP = (
    "Drag a slider: the dark lines and squares are your galaxy, the coloured ones the same galaxy "
    "at seven values of one parameter, across all of its prior. The four β always sum to one: "
    "moving one rescales the others. The arrow keys make small steps."
)
_GROUPS = (
    ("Galaxy", ("log_mstar", "redshift")),
    ("Star-formation history", (*BETAS, "fburst", "tburst")),
    ("Metallicity history", ("log_gamma1", "log_gamma2")),
    ("Dust", ("tau_bc", "tau_ism", "n_dust")),
)
_LABELS = {name: (q.axis_text, q.description) for name, q in QUANTITIES.items()}
_LABELS["redshift"] = ("z", "redshift: sets distance, and the age of the universe")
_STEP = 0.01
_SHOWN = ("log_sfr_1gyr", "log_ssfr_1gyr", "age_mw", "log_z_mw", "log_mstar_surviving")


class ExplorerPanel(Panel):
    """Widgets on an `ExplorerState`: sliders, and figures that follow them.

    Parameters
    ----------
    model, **values
        As of `ExplorerState`.

    Examples
    --------
    >>> panel = ExplorerPanel(tau_ism=1.0)
    >>> panel.state.put(n_dust=-1.5)
    """

    def __init__(self, model: SEDModel | Source = None, **values: Any) -> None:
        self.state = ExplorerState(model, **values)
        super().__init__(self.state)
        model = self.state.model
        self.spectrum = SpectrumFigure(model)
        self.rate = RateFigure()
        self.metallicity = MetallicityFigure(model.ssp)
        self.attenuation = AttenuationFigure(model.birth_cloud_age)
        self._make_controls()
        main = w.VBox(
            [self._show("spectrum", self.spectrum.figure), self.legend, self.status, self.buttons],
            layout=w.Layout(flex="1 1 400px", min_width="360px"),
        )
        small = w.Layout(flex="1 1 300px", min_width="280px", max_width="520px")
        others = [
            w.Box([self._show(name, getattr(self, name).figure)], layout=small)
            for name in ("rate", "metallicity", "attenuation")
        ]
        self.children = [
            w.HTML(html.help_text(_HELP + _of_stars(model))),
            # On narrow pages the spectrum goes above the sliders, not below.
            columns(self._controls, main, flex_flow="row wrap-reverse", align_items="flex-end"),
            columns(*others),
        ]
        self._watch("frame", self._refresh)
        self._refresh()

    def _make_controls(self) -> None:
        state = self.state
        self.sliders: dict[str, Any] = {}
        self.tracks: dict[str, Track] = {}
        parts: list[Any] = []
        for title, names in _GROUPS:
            heading = f"<span class='sedflow-heading'>{title}</span>"
            parts.append(w.HTML(heading, layout=w.Layout(height="20px", margin="4px 0 0 2px")))
            for name in names:
                self.tracks[name] = Track(name, *state.limits[name])
                slider = _slider(name, state.values[name], self.tracks[name])
                slider.observe(partial(self._moved, name), "value")
                self.sliders[name] = slider
                parts.append(slider)
        options = [("the slider last moved", LAST_MOVED), ("nothing", NOTHING)]
        options += [(_LABELS[name][0], name) for name in self.sliders]
        self.fan = drop_down("Fan of", options, 318, label_width=72)
        self._link(fan=self.fan)
        self.random = button("Random galaxy", "random", state.draw, "Draw one from the prior")
        self.reset = button("Reset", "undo", state.reset)
        self.legend, self.status = w.HTML(), w.HTML()
        self.buttons = w.HBox([self.random, self.reset])
        room = w.Layout(flex="0 0 330px", width="330px")
        self._controls = w.VBox([self.fan, *parts], layout=room)

    def _moved(self, name: str, change: Any) -> None:
        # A slider that follows the state, rounded to its steps, must not move it in its turn.
        track = self.tracks[name]
        if track.index(change.new) != track.index(self.state.values[name]):
            self.state.put(**{name: change.new})

    def _refresh(self) -> None:
        """Show the newest frame."""
        frame = self.state.frame
        for name, slider in self.sliders.items():
            slider.value = self.tracks[name].nearest(self.state.values[name])
        with self._together():
            for part in (self.spectrum, self.rate, self.metallicity, self.attenuation):
                part.update(frame)
        self.legend.value = _legend(frame)
        self.status.value = _status(frame, self.spectrum.labels)


def _of_stars(model: SEDModel) -> str:
    """What the model's stars are, and which of its bands see more than stars."""
    text = f" Stars: {model.ssp.title}."
    if model.bands.dusty:
        text += f" {', '.join(model.bands.dusty)} beyond 2.5 µm: starlight only, no warm dust."
    return text


class Track:
    """The places that a slider can take: steps of some 0.01, or 0.01 dex, from end to end.

    The browser rounds to such places and reports what it has rounded; were it given anything
    else, it would answer each move of one slider with moves of the others.
    """

    def __init__(self, name: str, low: float, high: float) -> None:
        self.logarithmic = name in LOGARITHMIC
        self.low, self.high = (
            (math.log10(low), math.log10(high)) if self.logarithmic else (low, high)
        )
        self.n_steps = round((self.high - self.low) / _STEP)
        self.step = (self.high - self.low) / self.n_steps

    def index(self, value: float) -> int:
        """Place that is nearest to a value, from 0."""
        x = math.log10(value) if self.logarithmic else value
        return min(max(round((x - self.low) / self.step), 0), self.n_steps)

    def nearest(self, value: float) -> float:
        """The value there."""
        index = self.index(value)
        x = self.high if index == self.n_steps else self.low + index * self.step
        return 10.0**x if self.logarithmic else x


def _slider(name: str, value: float, track: Track) -> Any:
    label, description = _LABELS[name]
    kind = w.FloatLogSlider if track.logarithmic else w.FloatSlider
    return kind(
        value=track.nearest(value),
        min=track.low,
        max=track.high,
        step=track.step,
        description=label.partition(" [")[0],
        tooltip=description,
        layout=w.Layout(width="318px", margin="0 2px"),
        style={"description_width": "72px"},
        readout_format=".3f" if name == "redshift" else ".2f",
    )


def _legend(frame: Frame) -> str:
    """Colours of the fan and what they stand for."""
    if not frame.fanned:
        return html.strip([], small=True)
    digits = ".3g" if frame.fanned == "redshift" else ".2f"
    chips = [
        html.line_key(color, html.number(value, digits))
        for color, value in zip(FAN_COLORS, frame.fan_values, strict=True)
    ]
    label = html.escape(_LABELS[frame.fanned][0])
    return html.strip([f"<b>{label}</b>", *chips], small=True)


def _status(frame: Frame, bands: list[str]) -> str:
    """Magnitudes, derived quantities, and what may puzzle."""
    parts = [
        f"{html.escape(band)} <b>{magnitude:.2f}</b>"
        for band, magnitude in zip(bands, frame.curves.photometry[0], strict=True)
    ]
    for name in _SHOWN:
        label, description = _LABELS[name]
        text = f"{html.escape(label)} <b>{html.number(frame.derived[name])}</b>"
        parts.append(html.cell(text, description))
    parts.append(f"made in <b>{1000 * frame.seconds:.1f} ms</b>")
    return html.strip(parts) + "".join(html.remark(note) for note in frame.notes)
