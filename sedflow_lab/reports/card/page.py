"""The card as a page: Markdown, with figures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..._files import write_text
from ...diagnostics.calibration_run import CalibrationRun
from ..pages import markdown_table, save_figure
from .badges import MISLEADS, WRONG
from .measure import LEVELS

__all__ = ["render", "write_page"]

_LEVELS = ", ".join(f"{100 * level:.0f}" for level in LEVELS) + " %"
_REACHED = {True: "yes", False: "**no**", None: "–"}
_CAPTIONS = {
    "pp": "p–p curves of the twelve parameters: the fraction of simulations whose truth lies "
    "below each credible level. Right posteriors stay within the band.",
    "ranks": "Ranks of the truth among the draws: flat if posteriors are right.",
    "coverage": "Expected coverage of the joint posterior, and the check of the fit to the data.",
}


def write_page(
    card: dict[str, Any], runs: dict[str, CalibrationRun], folder: str | Path, name: str
) -> Path:
    """Write the page ``card.md`` and its figures into a folder.

    Parameters
    ----------
    card, runs
        What `make_card` returned.
    folder : path
        Made if missing.
    name : str
        What the page calls the posterior.

    Returns
    -------
    Path
        The page.
    """
    from ...plots.calibration import plot_joint_coverage, plot_pp, plot_ranks

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    for key, draw in (("pp", plot_pp), ("ranks", plot_ranks), ("coverage", plot_joint_coverage)):
        figures[key] = f"card-{key}.png"
        save_figure(draw(list(runs.values())), folder / figures[key], dpi=110, bbox_inches="tight")
    page = folder / "card.md"
    write_text(page, render(card, name, figures))
    return page


def render(card: dict[str, Any], name: str, figures: dict[str, str]) -> str:
    """Markdown of a card; `figures` are paths by `pp`, `ranks` and `coverage`."""
    made, training = card["made"], card["training"]
    machine = made["machine"]
    blocks = [
        f"# Calibration card of {name}",
        f"Made by `sedflow-lab card` on {made['date'][:10]} with sedflow_lab "
        f"{made['sedflow_lab']} and torch {made['torch']}, seed {made['settings']['seed']}, on "
        f"{machine['cores']} cores of {machine['processor']} ({machine['threads']} "
        f"thread{'s' * (machine['threads'] != 1)}; load {machine['load']:g} from all programs at "
        "the time: times of the clock are upper limits where it exceeds the threads).",
        "## Goals",
        markdown_table(
            ("goal", "found", "reached"),
            ((g["goal"], g["found"], _REACHED[g["reached"]]) for g in card["goals"]),
        ),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in card["limits"]),
        "## Training",
        markdown_table(("", ""), _training_rows(training, card)),
        "## Calibration",
    ]
    for method, found in card["calibration"].items():
        blocks += [
            f"**{method}**: {found['simulations']:,} simulations × {found['draws']:,} draws, seed "
            f"{found['seed']}. {found['verdict']}",
        ]
    for key, path in figures.items():
        blocks += [f"![{_CAPTIONS[key]}]({path})", f"*{_CAPTIONS[key]}*"]
    blocks += [
        "KS is the largest distance between the p–p curve and the diagonal; its p-value is given "
        "raw and, for the parameters, after Holm's correction for twelve. The band is the one "
        "that holds the whole curve of a right posterior with 99 % probability.",
        _quantity_table(card["calibration"]),
        "## Importance sampling and badges",
        "Efficiency is ESS/N of the importance weights, and its quantiles are over galaxies; a "
        "galaxy fits if the best χ² among its draws is one that noise explains.",
        _galaxy_table(card["galaxies"]),
    ]
    if card["badges"]:
        kind = "real" if "catalogue" in card["galaxies"] else "simulated"
        blocks += _badge_lines(card["badges"], kind)
    if card["exact"]:
        kind = "showcase" if "showcase" in card["galaxies"] else "simulated"
        blocks += _exact_lines(card["exact"], kind)
    if card["support"]:
        blocks += _support_lines(card["support"])
    speed = card["speed"]
    blocks += [
        "## Speed",
        f"{speed['draws']:,} draws of one galaxy took {speed['seconds']:.2f} s "
        f"({speed['processor_seconds']:.2f} s of the processor); in batches "
        f"({speed['batch_galaxies']} galaxies × {speed['batch_draws']:,} draws) the network drew "
        f"{speed['batch_rate']:,.0f} a second ({speed['batch_rate_processor']:,.0f} a second of "
        f"the processor), with {speed['threads']} thread{'s' * (speed['threads'] != 1)}.",
    ]
    return "\n\n".join(blocks) + "\n"


def _describe_lessons(lessons: dict[str, Any], config: dict[str, Any]) -> str:
    kind = "simulations" if lessons["method"] == "simulated" else "exact posteriors of galaxies"
    return (
        f"{lessons['n']:,} {kind} that look like {lessons['galaxies']:,} real galaxies (seed "
        f"{lessons['seed']}), {config['lesson_share']:.0%} of each batch"
    )


def _training_rows(training: dict[str, Any], card: dict[str, Any]) -> list[tuple[str, str]]:
    config, hardware, flow = (training[name] for name in ("config", "hardware", "flow"))
    lessons = training.get("lessons")
    return [
        ("bands", ", ".join(training["bands"])),
        ("prior", training["prior"]),
        ("birth clouds", f"to {training['birth_cloud_age']:g} Gyr"),
        ("redshift", f"up to {training['redshift_max']:g}, uniform"),
        ("SSP grid", f"{training.get('stars', '')} `{training['ssp_hash']}`".strip()),
        (
            "simulations",
            f"{training['simulations']['n']:,} noiseless ones (seed "
            f"{training['simulations']['seed']}), fresh noise at every step",
        ),
        *([("lessons", _describe_lessons(lessons, config))] if lessons else []),
        (
            "network",
            f"{flow['couplings']} spline couplings of {flow['hidden']}, {flow['bins']} bins, "
            f"embedding {flow['embedding']}; {training['parameters']:,} parameters",
        ),
        (
            "training",
            f"{training['steps']:,} steps of {config['batch']:,}, learning rate "
            f"{config['learning_rate']:g}, seed {config['seed']}",
        ),
        (
            "loss",
            f"validation {training['validation_loss']:.3f} (all bands), training "
            f"{training['training_loss']:.3f} (bands hidden at random)",
        ),
        (
            "time and hardware",
            f"{training['seconds'] / 60:.0f} min on {hardware['processor']}, "
            f"{hardware['cores']} cores, device {hardware['device']}"
            + (f" ({hardware['accelerator']})" if "accelerator" in hardware else ""),
        ),
        ("versions", ", ".join(f"{k} {v}" for k, v in training["versions"].items())),
        ("date", training["date"][:10]),
        ("size", f"{card['bundle_bytes'] / 1e6:.1f} MB"),
    ]


def _quantity_table(calibration: dict[str, Any]) -> str:
    methods = list(calibration)
    heads = ["quantity"]
    for method in methods:
        heads += [f"{method}: KS", "p", "p (Holm)", "χ² p", "in band", "reading"]
    rows = []
    for k, quantity in enumerate(calibration[methods[0]]["quantities"]):
        row = [quantity["name"]]
        for method in methods:
            q = calibration[method]["quantities"][k]
            holm = "" if q["ks_p_holm"] is None else f"{q['ks_p_holm']:.2g}"
            row += [f"{q['ks']:.3f}", f"{q['ks_p']:.2g}", holm, f"{q['chi2_p']:.2g}"]
            row += ["yes" if q["inside_band"] else "no", q["reading"]]
        rows.append(row)
    return markdown_table(heads, rows)


def _galaxy_table(groups: dict[str, Any]) -> str:
    heads = ["galaxies", "method, draws", f"efficiency {_LEVELS}"]
    heads += ["the same where it fits", "fit", "Pareto k > 0.7", "unlike training"]
    rows = (
        (
            f"{found['galaxies']:,} {name} ({found['usable']:,} usable)",
            f"{found['method']}, {found['draws']:,}",
            _percent(found["efficiency"]),
            _percent(found["efficiency_where_it_fits"]),
            f"{found['fits']:,}",
            f"{found['heavy_tails']:.1%}",
            f"{found['outside_training_set']:.2%}" if "outside_training_set" in found else "",
            f"{found['seconds_a_galaxy']:.2f} "
            f"(processor {found['processor_seconds_a_galaxy']:.2f})",
            _counts(found["badges"]),
        )
        for name, found in groups.items()
    )
    return markdown_table([*heads, "seconds a galaxy", "badges"], rows)


def _badge_lines(found: dict[str, Any], kind: str) -> list[str]:
    return [
        f"**Badges against exact posteriors.** Of {found['galaxies']} {kind} galaxies "
        f"the network's posterior ({found['draws']:,} draws) is called ok for {found['ok']}. For "
        f"{found['ok_misleads']} of these a marginal is off by more than {MISLEADS} σ (Wasserstein "
        "distance in the exact posterior's standard deviations, the largest over 12 parameters "
        f"and the derived quantities), for {found['ok_wrong']} by more than {WRONG} σ; the worst "
        f"is {_number(found['ok_worst'])} σ. Of {found['refine']} called refine, "
        f"{found['refine_needless']} were within {MISLEADS} σ. The median over all is "
        f"{_number(found['off_median'])} σ; {found['without_exact']} have no finished exact "
        "posterior to compare with."
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _exact_lines(found: dict[str, Any], kind: str) -> list[str]:
    text = (
        f"{found['draws']:,} exact draws of {found['galaxies']} {kind} galaxies, one after "
        f"another, took {found['seconds_median']:.2f} s at the median "
        f"({found['processor_seconds_median']:.2f} s of the processor), "
        f"{found['seconds_a_galaxy']:.2f} s on average "
        f"({found['processor_seconds_a_galaxy']:.2f} s). "
    )
    if found["fits"]:
        text += (
            f"Of the {found['fits']} that the model fits, {found['half_effective']:.1%} end with "
            "an ESS of half the particles or more; quantiles of ESS per particle "
            f"({_LEVELS}): {_percent(found['ess_where_it_fits'])}. "
        )
    return ["## Exact posteriors", f"{text}Badges: {_counts(found['badges'])}."]


def _support_lines(support: dict[str, Any]) -> list[str]:
    heads = ("usable galaxies", "unlike training", "most in", "one band to blame")
    rows = (
        (
            f"{found['galaxies']:,} {name}",
            f"{found['outside']:,} ({found['outside'] / max(1, found['galaxies']):.3%})",
            _counts(found["parts"]) or "none",
            _counts(found["suspect_bands"]) or "none",
        )
        for name, found in support["groups"].items()
    )
    return [
        "## Photometry unlike the training set",
        f"At most {support['stated_rate']:.1%} of galaxies of the training set are to be called "
        "unlike it. A single band is to blame where the galaxy is well inside without it.",
        markdown_table(heads, rows),
    ]


def _counts(values: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in values.items())


def _percent(values: list[float | None]) -> str:
    return ", ".join("-" if v is None else f"{v:.1%}" for v in values)
