"""What a posterior is held to, and what is known to limit it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...anpe.bundle import Bundle
from ...anpe.simulate import REDSHIFT_MIN
from ...anpe.support import FALSE_ALARM_RATE
from ...parameters import N_THETA, PARAMETERS
from .badges import MISLEADS, WRONG
from .measure import LEVELS

__all__ = ["judge_goals", "name_limits"]


def judge_goals(card: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare a card's measurements with the goals; what was not asked for is left out.

    Returns
    -------
    list of dict
        Each with the goal in words (``goal``), what was found (``found``), and ``reached``, which
        is None where it takes real galaxies and there were none.
    """
    goals = (
        *_badges(card),
        *_efficiency(card["galaxies"]),
        *_calibration(card["calibration"]),
        *_others(card),
    )
    return [
        {"goal": goal, "found": found, "reached": None if reached is None else bool(reached)}
        for goal, found, reached in goals
    ]


Goal = tuple[str, str, bool | None]  # the goal, what was found, and whether it is reached


def _badges(card: dict[str, Any]) -> Iterator[Goal]:
    if not (found := card["badges"]):
        return
    kind = "real" if "catalogue" in card["galaxies"] else "simulated"
    of = f"of {found['ok']} {kind} galaxies called ok"
    for key, off, limit in (("ok_wrong", WRONG, 0.01), ("ok_misleads", MISLEADS, 0.05)):
        yield (
            f"ok is wrong by more than {off} σ in at most {limit:.0%}",
            f"{found[key]} {of}",
            found[key] <= limit * found["ok"],
        )
    yield (
        f"at least 65 % of {kind} galaxies called ok",
        f"{found['ok_share']:.0%} of {found['galaxies']}",
        found["ok_share"] >= 0.65,
    )


def _efficiency(galaxies: dict[str, Any]) -> Iterator[Goal]:
    for name, what, key in (
        ("simulations", "held-out simulations", "efficiency"),
        ("showcase", "showcase galaxies that the model fits", "efficiency_where_it_fits"),
        ("catalogue", "catalogue galaxies that the model fits", "efficiency_where_it_fits"),
    ):
        found = galaxies.get(name)
        for words, level, limit in (("median", 0.5, 0.45), ("10 % quantile of the", 0.1, 0.05)):
            goal = f"{words} sampling efficiency of {what} at least {limit:.0%}"
            if found is None:
                yield goal, "not measured: no real galaxies in these bands", None
                continue
            value = dict(zip(LEVELS, found[key], strict=True))[level] or 0.0
            yield goal, f"{value:.1%} at {found['draws']:,} draws", value >= limit


def _calibration(runs: dict[str, Any]) -> Iterator[Goal]:
    for method, found in runs.items():
        quantities = found["quantities"]
        worst = min(quantities[:N_THETA], key=lambda quantity: quantity["ks_p_holm"])
        yield (
            f"{method}: every parameter's KS p above 0.01 after Holm's correction",
            f"smallest {worst['ks_p_holm']:.2g} ({worst['name']}), "
            f"{found['simulations']:,} simulations",
            worst["ks_p_holm"] > 0.01,
        )
        joint = [q for q in quantities if q["kind"] in ("tarp", "level")]
        yield (
            f"{method}: TARP and expected coverage within the 99 % band everywhere",
            "; ".join(
                f"{q['name']} {'inside' if q['inside_band'] else 'outside'}, off by up to "
                f"{100 * q['ks']:.1f} points"
                for q in joint
            ),
            all(q["inside_band"] for q in joint),
        )


def _others(card: dict[str, Any]) -> Iterator[Goal]:
    kind = "catalogue" if "catalogue" in card["galaxies"] else "simulations"
    found = card["galaxies"][kind]
    lost = found["positive_without_posterior"]
    yield (
        f"every galaxy of the {kind} with positive fluxes has a posterior inside the prior, and a "
        "badge",
        f"{found['positive'] - lost:,} of {found['positive']:,}",
        lost == 0,
    )
    exact, speed, size = card.get("exact"), card["speed"], card["bundle_bytes"]
    if exact and exact["fits"]:
        yield (
            "exact draws: ESS at least half of the particles for 99 % of galaxies that fit",
            f"{exact['half_effective']:.1%} of {exact['fits']}",
            exact["half_effective"] >= 0.99,
        )
        yield (
            "exact draws within 1 s at the median",
            f"{exact['seconds_median']:.2f} s ({exact['processor_seconds_median']:.2f} s of the "
            f"processor) of {exact['galaxies']} galaxies",
            exact["seconds_median"] <= 1.0,
        )
    if batch := card["batch"]:
        for what, limit in (("all", 0.25), ("refine", 0.6)):
            found = batch[what]
            yield (
                f"{batch['draws']:,} exact draws in a batch within {limit} s a galaxy on average, "
                f"{'all' if what == 'all' else 'those called refine'}",
                f"{found['seconds']:.2f} s of {found['galaxies']}, {batch['threads']} threads",
                found["seconds"] <= limit,
            )
    yield (
        f"{speed['draws']:,} draws of one galaxy within 0.3 s",
        f"{speed['seconds']:.2f} s ({speed['processor_seconds']:.2f} s of the processor)",
        speed["seconds"] <= 0.3,
    )
    rate = speed["batch_rate"]
    yield "50,000 draws a second in batches", f"{rate:,.0f} a second", rate >= 50_000
    yield "a bundle of at most 25 MB", f"{size / 1e6:.1f} MB", size <= 25e6


def name_limits(bundle: Bundle, card: dict[str, Any]) -> list[str]:
    """Say in sentences where the posterior ends."""
    noise, mass = bundle.noise, PARAMETERS[0]
    limits = [
        f"Trained for {', '.join(bundle.bands.labels)} with any two or more of them observed, at "
        f"redshifts {REDSHIFT_MIN:g} to {bundle.redshift_max:g}; higher redshifts are refused.",
        f"Uncertainties are those of sources between {noise.bright:g} and {noise.faint:g} mag in "
        f"{bundle.bands.labels[len(bundle.bands) // 2]}, with heavy tails. Photometry unlike the "
        f"training set is told with a false-alarm rate of {FALSE_ALARM_RATE:.1%}, and never "
        "called ok.",
        f"Stellar masses formed lie between 10^{mass.low:g} and 10^{mass.high:g} solar masses "
        "(the prior), metallicities within the SSP grid, ages within the age of the universe.",
        "The likelihood is Gaussian in flux and independent between bands: errors common to all "
        "bands, and wrong uncertainties, are not seen.",
    ]
    if bundle.bands.dusty:
        limits.append(
            f"{', '.join(bundle.bands.dusty)} lie beyond 2.5 micron, where the model is starlight "
            "only: posteriors are wrong where warm dust shines, unless these bands are masked."
        )
    for name, found in card["galaxies"].items():
        if "outside_training_set" in found and name != "simulations":
            limits.append(
                f"{found['outside_training_set']:.1%} of the {found['usable']:,} usable galaxies "
                f"of the {name} are unlike the training set, and {found['heavy_tails']:.1%} have "
                "importance weights with heavy tails: there the network is a rough guide only."
            )
    for method, found in card["calibration"].items():
        bad = [
            f"{q['name']} ({q['reading']}, by up to {100 * q['ks']:.1f} points)"
            for q in found["quantities"]
            if q["p_holm"] < 0.05
        ]
        if bad:
            limits.append(f"The {method} posterior is not calibrated in: {'; '.join(bad)}.")
    return limits
