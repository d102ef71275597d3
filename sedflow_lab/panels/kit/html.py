"""Text of panels as HTML: badges, keys, notes and tables, and the one style sheet for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ...methods import BADGES, METHODS
from .colors import DARK

__all__ = [
    "badge",
    "busy",
    "cell",
    "code",
    "duration",
    "escape",
    "failure",
    "folded_help",
    "help_text",
    "key",
    "line_key",
    "listing",
    "number",
    "paragraph",
    "remark",
    "strip",
    "stripe",
    "table",
    "verdict",
]

_STYLE = """<style>
body{--sedflow-caution:#8F5F00;--sedflow-bad:#B34E00;--sedflow-odd:#a03070;--sedflow-fault:#7a2ee8;
--sedflow-quiet:#666666;--sedflow-rule:#e0e0e0}
body[data-jp-theme-light="false"]{--sedflow-caution:#E8B04A;--sedflow-bad:#FF9A5C;
--sedflow-odd:#F29AC4;--sedflow-fault:#C0A0FF;--sedflow-quiet:#A8A8A8;--sedflow-rule:#3a3a3a}
.sedflow-help,.sedflow-small,.sedflow-strip,.sedflow-verdict,.sedflow-title,.sedflow-listing,
.sedflow-table,.sedflow-code,.sedflow-heading,.sedflow-label{color:var(--jp-content-font-color1)}
.sedflow-help{font-size:13px;line-height:1.45}
.sedflow-help summary{cursor:pointer}
.sedflow-small{font-size:12px;line-height:1.4}
.sedflow-label{margin:0 8px 0 20px}
.sedflow-label.first{margin-left:8px}
.sedflow-heading{font-size:13px;font-weight:bold;line-height:20px}
.sedflow-fault{margin:0 6px 0 10px;font-weight:bold;color:var(--sedflow-fault)}
.sedflow-strip{display:flex;flex-wrap:wrap;gap:2px 16px;align-items:center;font-size:13px;
line-height:1.5;min-height:24px}
.sedflow-strip.small{gap:2px 14px;font-size:12px;min-height:20px}
.sedflow-pill{color:white;border-radius:10px;padding:2px 12px;font-weight:bold}
.sedflow-square{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:5px}
.sedflow-line{display:inline-block;width:18px;height:3px;vertical-align:middle;margin-right:4px;
background:var(--day)}
body[data-jp-theme-light="false"] .sedflow-line{background:var(--night)}
.sedflow-busy{color:var(--sedflow-caution);font-weight:bold}
.sedflow-remark{font-size:13px;line-height:1.5;color:var(--sedflow-caution)}
.sedflow-failure{color:var(--sedflow-bad);font-weight:bold}
.sedflow-verdict{font-size:14px;line-height:1.45}
.sedflow-verdict>div{margin:4px 0}
.sedflow-title{margin:4px 0 2px;font-size:13px;line-height:1.45}
.sedflow-stripe{border-left:5px solid;padding:2px 10px}
.sedflow-listing{columns:3 250px;column-gap:24px;padding-right:8px;font-size:12px;line-height:1.5}
.sedflow-listing.wide{columns:2 420px;font-size:13px}
.sedflow-listing div{display:flex;gap:6px;border-bottom:1px solid var(--sedflow-rule);
break-inside:avoid}
.sedflow-listing span{white-space:nowrap;text-align:right;font-variant-numeric:tabular-nums}
.sedflow-listing span:first-child{flex:1;text-align:left}
.sedflow-listing.wide span:first-child{flex:0 0 140px}
.sedflow-listing.wide span:last-child{margin-left:14px;text-align:left;white-space:normal}
.sedflow-listing .bad{color:var(--sedflow-odd)}
.sedflow-code{font-size:12px;line-height:1.4;overflow-x:auto;user-select:all;margin:0}
.sedflow-left{text-align:left}
.sedflow-scroll{max-height:220px;overflow:auto}
.sedflow-sky{position:relative;display:flex;align-items:center;text-align:center;padding:0;
background:var(--jp-layout-color2,#e9edf1);border-radius:4px;overflow:hidden}
.sedflow-sky span{color:var(--jp-content-font-color1);font-size:12px;line-height:1.4;padding:12px;
width:100%}
.sedflow-sky img{position:absolute;inset:0;max-width:none}
.sedflow-table{border-collapse:collapse;font-size:12px;line-height:1.5;
font-variant-numeric:tabular-nums}
.sedflow-table th,.sedflow-table td{padding:0 6px;text-align:right;white-space:nowrap;
border-bottom:1px solid var(--sedflow-rule)}
.sedflow-table td:first-child,.sedflow-table th:first-child{text-align:left}
.sedflow-table i{color:var(--sedflow-quiet);font-style:normal;font-size:11px}
</style>"""


_SIMULATED = (
    "No real galaxies ship in the bands of this network: these are simulated, drawn from its prior "
    "and seen with its noise."
)


def help_text(text: str) -> str:
    """What a panel is for; it brings the style sheet, so each panel begins with one."""
    return _STYLE + paragraph(text)


def folded_help(title: str, text: str) -> str:
    """A help of one line that opens; it brings the style sheet as `help_text` does."""
    return _STYLE + paragraph(f"<details><summary>{title}</summary>{text}</details>")


def of_galaxies(simulated: bool) -> str:
    """Say of galaxies that they are no real ones, where that is so."""
    return remark(_SIMULATED) if simulated else ""


def badge(word: str) -> str:
    """A badge in white on its colour."""
    color = BADGES[word].color
    return f"<span class='sedflow-pill' style='background:{color}'>{escape(word)}</span>"


def key(method: str) -> str:
    """Name of a method behind a square of its colour."""
    look = METHODS[method]
    square = f"<span class='sedflow-square' style='background:{look.color}'></span>"
    return f"{square}<b>{look.label}</b> "


def line_key(color: str, text: str) -> str:
    """What a line of some colour is, behind a piece of it."""
    night = DARK.get(color, color)
    return f"<span class='sedflow-line' style='--day:{color};--night:{night}'></span>{text}"


def busy(text: str) -> str:
    """What is under way."""
    return f"<span class='sedflow-busy'>{text} …</span>"


def remark(text: str) -> str:
    """What may puzzle, on a line of its own."""
    return f"<div class='sedflow-remark'>{escape(text)}</div>"


def failure(message: str) -> str:
    """What went wrong."""
    return f"<span class='sedflow-failure'>{escape(message)}</span>"


def strip(parts: Iterable[str], *, small: bool = False) -> str:
    """Parts in a row, that go on below where there is no room."""
    kind = "sedflow-strip small" if small else "sedflow-strip"
    return f"<div class='{kind}'>{''.join(f'<span>{part}</span>' for part in parts)}</div>"


def cell(text: str, title: str = "", width: int | None = None) -> str:
    """Part of a `strip` or cell of a `listing`, with a text to hover and its width [pixel]."""
    hover = f" title='{escape(title)}'" if title else ""
    size = "" if width is None else f" style='flex:0 1 {width}px'"
    return f"<span{hover}{size}>{text}</span>"


def listing(heading: str, rows: Sequence[Sequence[str]], bad: Sequence[bool] | None = None) -> str:
    """Rows of cells under a heading, in as many columns as there is room for.

    Where some rows may be `bad`, these are coloured, and the last cell is a sentence.
    """
    marks = ["" if bad is None or not bad[k] else " class='bad'" for k in range(len(rows))]
    lines = (f"<div{m}>{''.join(row)}</div>" for m, row in zip(marks, rows, strict=True))
    kind = "sedflow-listing" if bad is None else "sedflow-listing wide"
    return f"<div class='sedflow-title'>{heading}</div><div class='{kind}'>{''.join(lines)}</div>"


def verdict(lines: Iterable[str]) -> str:
    """Findings, each on a line of its own."""
    return f"<div class='sedflow-verdict'>{''.join(f'<div>{line}</div>' for line in lines)}</div>"


def stripe(color: str, text: str) -> str:
    """Text beside a stripe of a colour."""
    return f"<div class='sedflow-stripe' style='border-color:{color}'>{text}</div>"


def code(text: str) -> str:
    """Python to be copied."""
    return f"<pre class='sedflow-code'>{escape(text)}</pre>"


def paragraph(text: str) -> str:
    """Text in the size of the help."""
    return f"<div class='sedflow-help'>{text}</div>"


def table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of rows of cells under rows of heads, which are HTML themselves."""
    body = "".join(f"<tr>{''.join(f'<td>{text}</td>' for text in row)}</tr>" for row in rows)
    top = "".join(f"<tr>{head}</tr>" for head in heads)
    return f"<table class='sedflow-table'>{top}{body}</table>"


def number(value: float, digits: str = ".2f") -> str:
    """A number with a real minus sign, and zero without any."""
    text = f"{value:{digits}}"
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", "−")


def duration(seconds: float) -> str:
    """A time in ms or s."""
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
