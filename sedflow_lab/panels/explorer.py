"""The explorer: move the parameters of the SED model, and see what becomes of the galaxy."""

from __future__ import annotations

import html
import math
from functools import partial
from typing import Any

import ipywidgets as w

from ..sps import SEDModel
from .base import Panel
from .corner import QUANTITIES
from .explorer_figures import (
    FAN_COLORS,
    AttenuationFigure,
    MetallicityFigure,
    RateFigure,
    SpectrumFigure,
)
from .explorer_state import BETAS, LAST_MOVED, LOGARITHMIC, NOTHING, ExplorerState, Frame

__all__ = ["ExplorerPanel"]

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
_REDSHIFT = ("z", "redshift: sets distance, and the age of the universe")
_SHOWN = ("log_sfr_1gyr", "log_ssfr_1gyr", "age_mw", "log_z_mw", "log_mstar_surviving")


class ExplorerPanel(Panel):
    """Widgets on an `ExplorerState`: sliders, and figures that follow them.

    Parameters
    ----------
    model : SEDModel, optional
        Default: the one of SDSS u g r i z.
    **values
        First values of parameters, ``redshift`` and ``fan``, as of `ExplorerState`.

    Examples
    --------
    >>> panel = ExplorerPanel(tau_ism=1.0)
    >>> panel.state.put(n_dust=-1.5)
    """

    def __init__(self, model: SEDModel | None = None, **values: Any) -> None:
        self.state = ExplorerState(model, **values)
        super().__init__(self.state.loop)
        model = self.state.model
        self.spectrum = SpectrumFigure(model)
        self.rate = RateFigure()
        self.metallicity = MetallicityFigure()
        self.attenuation = AttenuationFigure(model.birth_cloud_age)
        self._following = False
        self._make_controls()
        small = w.Layout(flex="1 1 270px", min_width="270px")
        figures = w.VBox(
            [
                self._show("spectrum", self.spectrum.figure),
                self.legend,
                self.status,
                w.Box(
                    [
                        w.Box([self._show(name, part.figure)], layout=small)
                        for name, part in (
                            ("rate", self.rate),
                            ("metallicity", self.metallicity),
                            ("attenuation", self.attenuation),
                        )
                    ],
                    layout=w.Layout(display="flex", flex_flow="row wrap", width="100%"),
                ),
            ],
            layout=w.Layout(flex="1 1 420px", min_width="380px"),
        )
        self.children = [
            w.HTML(f"<div style='font-size:13px;line-height:1.45'>{_HELP}</div>"),
            w.Box(
                [self._controls, figures],
                layout=w.Layout(display="flex", flex_flow="row wrap", width="100%"),
            ),
        ]
        self.state.observe(lambda _: self._refresh(), "frame")
        self._refresh()

    def _make_controls(self) -> None:
        state = self.state
        self.sliders: dict[str, Any] = {}
        parts: list[Any] = []
        for title, names in _GROUPS:
            parts.append(w.HTML(f"<b style='font-size:13px'>{title}</b>"))
            for name in names:
                slider = _slider(name, state.values[name], *state.limits[name])
                slider.observe(partial(self._moved, name), "value")
                self.sliders[name] = slider
                parts.append(slider)
        wide = w.Layout(width="318px")
        options = [("the slider last moved", LAST_MOVED), ("nothing", NOTHING)]
        options += [(_label(name)[0], name) for name in self.sliders]
        self.fan = w.Dropdown(
            options=options, value=state.fan, description="Fan of", layout=wide,
            style={"description_width": "72px"},
        )  # fmt: skip
        w.link((state, "fan"), (self.fan, "value"))
        small = w.Layout(width="auto")
        self.reset = w.Button(description="Reset", icon="undo", layout=small)
        self.random = w.Button(
            description="Random galaxy", icon="random", tooltip="Draw one from the prior",
            layout=small,
        )  # fmt: skip
        self.reset.on_click(lambda _: state.reset())
        self.random.on_click(lambda _: state.draw())
        self.legend, self.status = w.HTML(), w.HTML()
        buttons = w.HBox([self.random, self.reset])
        self._controls = w.VBox(
            [self.fan, buttons, *parts], layout=w.Layout(flex="0 0 330px", width="330px")
        )

    def _moved(self, name: str, change: Any) -> None:
        # Sliders that follow the state, rounded, must not move it in their turn.
        if not self._following:
            self.state.put(**{name: change.new})

    def _refresh(self) -> None:
        """Show the newest frame."""
        frame = self.state.frame
        self._following = True
        try:
            for name, slider in self.sliders.items():
                if abs(slider.value - self.state.values[name]) > 1e-9:
                    slider.value = self.state.values[name]
        finally:
            self._following = False
        for part in (self.spectrum, self.rate, self.metallicity, self.attenuation):
            part.update(frame)
        self.legend.value = _legend(frame)
        self.status.value = _status(frame, self.spectrum.labels)
        self._changed()


def _label(name: str) -> tuple[str, str]:
    """Short label, with unit, and description."""
    if name == "redshift":
        return _REDSHIFT
    quantity = QUANTITIES[name]
    return quantity.axis_label, quantity.description


def _slider(name: str, value: float, low: float, high: float) -> Any:
    label, description = _label(name)
    options: Any = {
        "value": value,
        "description": label.partition(" [")[0],
        "description_tooltip": description,
        "layout": w.Layout(width="318px", margin="0 2px"),
        "style": {"description_width": "72px"},
        "readout_format": ".3f" if name == "redshift" else ".2f",
    }
    if name in LOGARITHMIC:
        ends = {"min": math.log10(low), "max": math.log10(high)}
        return w.FloatLogSlider(**options, **ends, step=0.01)
    return w.FloatSlider(**options, min=low, max=high, step=0.01)


def _legend(frame: Frame) -> str:
    """Colours of the fan and what they stand for."""
    if not frame.fanned:
        return "<div style='min-height:20px'></div>"
    digits = ".3g" if frame.fanned == "redshift" else ".2f"
    chips = "".join(
        f"<span style='white-space:nowrap'><span style='display:inline-block;width:18px;"
        f"border-top:3px solid {colour};vertical-align:middle;margin-right:4px'></span>"
        f"{value:{digits}}</span>"
        for colour, value in zip(FAN_COLORS, frame.fan_values, strict=True)
    )
    return (
        "<div style='display:flex;flex-wrap:wrap;gap:2px 14px;font-size:12px;line-height:1.5;"
        f"min-height:20px'><b>{html.escape(_label(frame.fanned)[0])}</b>{chips}</div>"
    )


def _status(frame: Frame, bands: list[str]) -> str:
    """Magnitudes, derived quantities, and what may puzzle."""
    parts = [
        f"{html.escape(band)} <b>{magnitude:.2f}</b>"
        for band, magnitude in zip(bands, frame.curves.photometry[0], strict=True)
    ]
    for name in _SHOWN:
        label, description = _label(name)
        parts.append(
            f"<span title='{html.escape(description)}'>{html.escape(label)} "
            f"<b>{frame.derived[name]:.2f}</b></span>"
        )
    notes = "".join(f"<div style='color:#B87A00'>{html.escape(note)}</div>" for note in frame.notes)
    return (
        "<div style='font-size:13px;line-height:1.5'><div style='display:flex;flex-wrap:wrap;"
        f"gap:2px 16px'>{''.join(f'<span>{part}</span>' for part in parts)}</div>{notes}</div>"
    )
