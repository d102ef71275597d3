"""Menus of columns and units: how a file was understood, to be mended by hand."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from ..kit.widgets import drop_down, row
from .state import ERRORS, VALUES, OwnState

__all__ = ["ColumnMenus"]

_NAMES = {
    "flux": "flux",
    "mag": "AB magnitude",
    "asinhmag": "SDSS asinh mag",
    "sigma": "error",
    "ivar": "inverse variance",
    "mag_err": "error in mag",
    "asinhmag_err": "error in asinh mag",
}
_UNITS = ("", "nmgy", "uJy", "mJy", "Jy", "erg / (s cm2 Hz)", "mag(AB)")
_INVERSE = ("", "1 / nmgy2", "1 / uJy2", "1 / mJy2", "1 / Jy2")
_NO_UNIT = {
    "flux": "none: nmgy",
    "mag": "none: AB",
    "asinhmag": "none: SDSS",
    "sigma": "none: as value",
    "ivar": "none: as value",
    "mag_err": "none: mag",
    "asinhmag_err": "none: mag",
}
"""What a column without a unit is taken for."""

_MISSING = "not observed"


class ColumnMenus(w.VBox):
    """A row of menus for each band, and for what is no band.

    Parameters
    ----------
    state : OwnState
    """

    def __init__(self, state: OwnState) -> None:
        self._state, self._showing = state, False
        self.single = {
            role: self._menu(f"Column of {what}", 220, description, label_width=64)
            for role, description, what in (
                ("id", "Id", "the ids"),
                ("redshift", "Redshift", "the redshift"),
                ("redshift_sigma", "σ(z)", "the redshift's uncertainty"),
                ("ebv", "E(B−V)", "E(B-V) of the Milky Way's dust, from the SFD maps"),
            )
        }
        for role, menu in self.single.items():
            menu.observe(lambda c, role=role: self._choose_single(role, c.new), "value")
        self.bands: dict[str, dict[str, w.Dropdown]] = {}
        lines = []
        for label in state.posterior.bands.labels:
            menus = {
                "kind": self._menu(f"{label}: what its value is", 130),
                "value": self._menu(f"{label}: column of its value", 150),
                "unit": self._menu(f"{label}: unit of its value", 120),
                "error_kind": self._menu(f"{label}: what its uncertainty is", 130),
                "error": self._menu(f"{label}: column of its uncertainty", 150),
                "error_unit": self._menu(f"{label}: unit of its uncertainty", 120),
            }
            menus["kind"].options = [(_NAMES[kind], kind) for kind in VALUES]
            menus["error_kind"].options = [(_NAMES[kind], kind) for kind in ERRORS]
            for name, menu in menus.items():
                menu.observe(lambda c, b=label, n=name: self._choose(b, n, c.new), "value")
            self.bands[label] = menus
            head = w.HTML(f"<b>{label}</b>", layout=w.Layout(width="34px"))
            value, error = list(menus.values())[:3], list(menus.values())[3:]
            lines.append(row(head, row(*value), row(*error)))
        super().__init__([row(*self.single.values()), *lines])

    def _menu(
        self, tooltip: str, width: int, description: str = "", label_width: int | None = None
    ) -> w.Dropdown:
        more: Any = {"tooltip": tooltip, "label_width": label_width}
        return drop_down(description, [], width, **more)

    # What is chosen

    def _choose_single(self, role: str, column: str | None) -> None:
        if not self._showing and column is not None:
            # Without a column of uncertainties redshifts are known.
            self._state.mend(role, None if role == "redshift_sigma" and not column else column)

    def _choose(self, band: str, name: str, value: Any) -> None:
        """Pass on what was chosen in one menu of a band."""
        if self._showing:
            return
        state, menus = self._state, self.bands[band]
        if name in ("kind", "value"):
            column = menus["value"].value
            if column == _MISSING:
                state.mend(f"flux_{band}", None)
            elif column:
                state.mend(f"{menus['kind'].value}_{band}", column)
        elif name in ("error_kind", "error"):
            if column := menus["error"].value:
                state.mend(f"{menus['error_kind'].value}_{band}", column)
        else:
            column = menus["value" if name == "unit" else "error"].value
            if column and column != _MISSING:
                state.give_unit(column, value or "")

    # What is shown

    def show(self) -> None:
        """Show how the file is understood."""
        state = self._state
        if state.table is None:
            return
        self._showing = True
        try:
            names = list(state.table.colnames)
            for role, menu in self.single.items():
                column, _ = state.understood.get(role, ("", ""))
                _offer(menu, [("–", ""), *((n, n) for n in names)], column)
            for band, menus in self.bands.items():
                self._show_band(band, menus, names)
        finally:
            self._showing = False

    def _show_band(self, band: str, menus: dict[str, w.Dropdown], names: list[str]) -> None:
        state, found = self._state, self._state.understood
        missing = any(state.columns.get(f"{kind}_{band}", "") is None for kind in VALUES)
        columns = [("choose …", ""), (_MISSING, _MISSING), *((n, n) for n in names)]
        for kinds, menu, column, unit in (
            (VALUES, "kind", "value", "unit"),
            (ERRORS, "error_kind", "error", "error_unit"),
        ):
            role = next((k for k in kinds if f"{k}_{band}" in found), None)
            name, said = found[f"{role}_{band}"] if role else ("", "")
            if role:
                menus[menu].value = role
            options = columns if column == "value" else [columns[0], *columns[2:]]
            _offer(menus[column], options, _MISSING if missing and column == "value" else name)
            known = _INVERSE if role == "ivar" else _UNITS
            units = [*known, *([said] if said not in known else [])]
            _offer(menus[unit], [(one or _NO_UNIT[role or kinds[0]], one) for one in units], said)
            for each in (menus[menu], menus[column], menus[unit]):
                each.disabled = missing and each is not menus["value"]


def _offer(menu: w.Dropdown, options: list[tuple[str, str]], value: str) -> None:
    if list(menu.options) != options:
        menu.options = options
    menu.value = value
