"""Light and dark: figures change their greys when JupyterLab's theme does, and stay legible."""

from __future__ import annotations

from bokeh.models import CustomJS, UIElement

from .colors import DARK, LIGHT_PAPER

__all__ = ["follow_theme"]

_CODE = """
const doc = root.document
const ink = new Map(Object.entries(dark))
const day = new Map([...ink].reverse().map(([a, b]) => [b, a]))
const pen = document.createElement("canvas").getContext("2d")

function paper() {
  pen.fillStyle = light_paper
  const name = getComputedStyle(document.body).getPropertyValue("--jp-layout-color0").trim()
  if (name != "") pen.fillStyle = name
  return pen.fillStyle
}

function is_dark(color) {
  const part = (k) => parseInt(color.slice(k, k + 2), 16)
  return color[0] == "#" && 0.299 * part(1) + 0.587 * part(3) + 0.114 * part(5) < 128
}

function exchange(table) {
  const other = (color) => typeof color == "string" ? table.get(color.toLowerCase()) : undefined
  for (const model of root.references()) {
    for (const prop of model) {
      if (!prop.attr.endsWith("color") || prop.is_unset) continue
      const now = prop.get_value()
      const plain = other(now), inner = now == null ? undefined : other(now.value)
      if (plain !== undefined) model.setv({[prop.attr]: plain}, {sync: false})
      else if (inner !== undefined) model.setv({[prop.attr]: {value: inner}}, {sync: false})
    }
    const column = model.type == "ColumnDataSource" ? model.data.color : undefined
    if (column !== undefined && Array.from(column).some((c) => other(c) !== undefined)) {
      const color = Array.from(column, (c) => other(c) ?? c)
      model.setv({data: {...model.data, color}}, {sync: false})
    }
  }
}

let night = false
function follow() {
  const now = paper(), dark_now = is_dark(now)
  if (dark_now) {
    for (const white of ["#ffffff", "white"]) ink.set(white, now)
    day.set(now, "#ffffff")
  }
  if (dark_now) exchange(ink)
  else if (night) exchange(day)
  night = dark_now
}

let planned = false
doc.on_change((event) => {
  if (!night || planned) return
  planned = true
  requestAnimationFrame(() => { planned = false; if (root.document != null) exchange(ink) })
})

const observer = new MutationObserver(() => {
  if (root.document == null) { observer.disconnect(); return }
  follow()
  setTimeout(follow, 400)  // a theme's style sheet may come after its name
})
observer.observe(document.body, {attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"]})
follow()
"""


def follow_theme(root: UIElement) -> CustomJS:
    """Code for the browser that keeps a figure's colours to the theme of the page.

    It reads JupyterLab's ``--jp-layout-color0``, and stays silent towards Python.
    """
    args = {"root": root, "dark": dict(DARK), "light_paper": LIGHT_PAPER}
    return CustomJS(args=args, code=_CODE)
