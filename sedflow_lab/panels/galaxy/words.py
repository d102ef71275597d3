"""What the galaxy panel says of a posterior: badge, remarks and numbers, as HTML."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...anpe.blame import Blame
from ...anpe.trust import chi2_limit
from ...methods import BADGES
from ...plots.palette import SPARE_COLORS
from ...posterior.weighting import weighted_quantile
from ...quantities import DERIVED, PARAMETERS, get_quantity
from ..kit import html
from ..kit.choice import Outcome
from ..kit.takeaway import loading_code
from .state import GalaxyState

__all__ = ["PIN_COLOR", "about", "remarks", "shared", "table"]

PIN_COLOR = SPARE_COLORS[0]
"""Colour of a galaxy that others are compared with."""

_WIDTH = {".2f": 44, ".3f": 52}  # of a number [pixel]


def about(outcome: Outcome) -> list[str]:
    """The badge, and the numbers behind it."""
    result = outcome.result
    word, chi2 = str(result.badge[0]), float(result.chi2_min[0])
    bands = int(outcome.photometry.mask.sum())
    limit = float(chi2_limit(np.array(bands)))
    draws = result.samples.shape[1]
    parts = [html.badge(word), html.key(result.method) + html.escape(BADGES[word].meaning)]
    if result.method == "fast":
        parts.append(html.cell(f"<b>{draws:,}</b> draws", "All of the network's draws count"))
    else:
        tip = "Effective sample size: independent draws that those shown are worth"
        parts.append(html.cell(f"ESS <b>{result.ess[0]:,.0f}</b> of {draws:,}", tip))
    if "distance" in result.diagnostics:
        off = 100 * float(result.diagnostics["distance"][0])
        tip = (
            "Total variation between network and exact posterior: the share of draws that would "
            "have to move"
        )
        parts.append(html.cell(f"network off by <b>{off:.0f} %</b>", tip))
    tip = f"Above {limit:.0f} the model cannot make this galaxy"
    parts.append(html.cell(f"best χ² <b>{chi2:.2g}</b> in {bands} bands", tip))
    parts.append(html.cell(f"made in <b>{html.duration(outcome.seconds)}</b>", "Wall clock"))
    return parts


def shared(state: GalaxyState) -> str:
    """A view to be copied, and how to open it."""
    lines, more = loading_code(state.posterior), ", posterior"
    said = "Whoever runs this sees what you see now:"
    if state.examples is None:
        said, more = "Who has the same galaxies sees what you see now:", ", posterior, galaxies"
    lines += ["", "from sedflow_lab.panels import GalaxyPanel", ""]
    lines.append(f"GalaxyPanel.from_json({state.to_json()!r}{more})\n")
    return html.paragraph(said) + html.code("\n".join(lines))


def remarks(outcome: Outcome, blamed: Blame | None, few: bool) -> list[str]:
    """What is to be known of the bands and of the prior."""
    result, said = outcome.result, []
    seen = np.array(outcome.photometry.bands.labels)[outcome.photometry.mask[0]]
    if dusty := [band for band in outcome.photometry.bands.dusty if band in seen]:
        said.append(
            f"{' and '.join(dusty)} beyond 2.5 µm: the model is starlight only, so leave out such "
            "bands where warm dust shines."
        )
    if blamed is not None:
        way = "brighter" if blamed.off > 0 else "fainter"
        said.append(
            f"The {blamed.band} band is off by {abs(blamed.off):.0f} σ: it is {way} than the other "
            "bands say."
        )
    if "bad_band" in result.diagnostics:
        bad = result.diagnostics["bad_band"][0]
        likely = [f"{outcome.photometry.bands.labels[k]} {bad[k]:.0%}" for k in np.argsort(-bad)]
        said.append(
            "Probability that a band is bad: "
            + ", ".join(text for text in likely[:2] if "nan" not in text).replace("%", " %")
            + "."
        )
    if "flat_outside" in result.diagnostics:
        outside = float(result.diagnostics["flat_outside"][0])
        if outside > 0.01:
            lost = f"{outside:.0%}".replace("%", " %")
            said.append(f"The flat prior ends before {lost} of the posterior, where nothing tells.")
        if few:
            said.append(
                "The flat prior leaves few effective draws: take more draws, or show fewer derived "
                "quantities."
            )
    return said


def table(outcome: Outcome, pinned: Outcome | None, truth: Mapping[str, float] | None) -> str:
    """Medians and 68 % intervals as HTML, of a pinned galaxy and the truth as well."""
    shown = [outcome] if pinned is None else [outcome, pinned]
    texts = [_intervals(each) for each in shown]
    heads = "<b>Medians and 68 % intervals</b>, of what is derived and of the parameters"
    if pinned is not None:
        heads += (
            f": of {html.escape(str(outcome.result.ids[0]))}, and of "
            f"{html.line_key(PIN_COLOR, html.escape(str(pinned.result.ids[0])))}"
        )
    if truth is not None:
        heads += "; the truth in italics"
    known, rows = (*DERIVED, *PARAMETERS), []
    for q in (*known, *map(get_quantity, outcome.at_rest)):
        cells, width = [html.cell(q.axis_text, q.description)], _WIDTH[q.digits]
        for each in texts:
            low, middle, high = each[q.name]
            cells.append(html.cell(f"<b>{middle}</b>", width=width))
            cells.append(html.cell(f"{low} … {high}", width=2 * width + 8))
        if truth is not None:
            cells.append(html.cell(f"<i>{html.number(truth[q.name], q.digits)}</i>", width=width))
        rows.append(cells)
    here = "<b>At rest</b>, in the bands of the network: magnitudes, colours, K-corrections, M/L"
    first = len(known)
    return html.listing(heads, rows[:first]) + html.listing(here, rows[first:])


def _intervals(outcome: Outcome) -> dict[str, list[str]]:
    """The 16, 50 and 84 % quantiles of all quantities, as texts."""
    found = {**outcome.values, **outcome.at_rest}
    array = np.stack(list(found.values()), axis=-1)
    levels = weighted_quantile(array, outcome.result.weights[0], (0.16, 0.5, 0.84))
    return {
        name: [html.number(value, get_quantity(name).digits) for value in level]
        for name, level in zip(found, levels.T, strict=True)
    }
