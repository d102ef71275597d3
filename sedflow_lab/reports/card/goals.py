"""What a posterior is held to, and what is known to limit it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...anpe.bundle import Bundle
from ...anpe.simulate import REDSHIFT_MIN
from ...anpe.support import FALSE_ALARM_RATE
from ...parameters import N_THETA, PARAMETERS

__all__ = ["judge_goals", "name_limits"]

Part = Any  # of a card: a dictionary of what was measured


class Goal(NamedTuple):
    """A goal, what to say of it, and whether it is reached, all by one part of a card."""

    text: str  # {name} is the name of the part, others are its entries
    found: Callable[[Part], str]
    reached: Callable[[Part], bool]


def _efficiency_of_at_least(limit: float) -> Goal:
    return Goal(
        f"median sampling efficiency of {{name}} at least {limit:.0%}",
        lambda part: f"{part['median']:.1%} at {part['draws']:,} draws",
        lambda part: part["median"] >= limit,
    )


def _worst(calibration: Part) -> Part:
    """The parameter that is calibrated worst."""
    return min(calibration["quantities"][:N_THETA], key=lambda quantity: quantity["ks_p_holm"])


def _joint(calibration: Part) -> list[Part]:
    return [q for q in calibration["quantities"] if q["kind"] in ("tarp", "level")]


_EFFICIENCY = (_efficiency_of_at_least(0.10), _efficiency_of_at_least(0.30))
_CALIBRATION = (
    Goal(
        "{name}: every parameter's KS p above 0.01 after Holm's correction",
        lambda part: (
            f"smallest {_worst(part)['ks_p_holm']:.2g} ({_worst(part)['name']}), "
            f"{part['simulations']:,} simulations"
        ),
        lambda part: _worst(part)["ks_p_holm"] > 0.01,
    ),
    Goal(
        "{name}: TARP and expected coverage within the 99 % band everywhere",
        lambda part: "; ".join(
            f"{q['name']} {'inside' if q['inside_band'] else 'outside'}, off by up to "
            f"{100 * q['ks']:.1f} points"
            for q in _joint(part)
        ),
        lambda part: all(q["inside_band"] for q in _joint(part)),
    ),
)
_CATALOGUE = (
    Goal(
        "every catalogue galaxy with positive fluxes has a posterior inside the prior, and a badge",
        lambda part: (
            f"{part['positive'] - part['positive_without_posterior']:,} of {part['positive']:,}"
        ),
        lambda part: part["positive_without_posterior"] == 0,
    ),
)
_EXACT = (
    Goal(
        "exact draws: ESS at least half of the particles for 99 % of galaxies that fit",
        lambda part: f"{part['half_effective']:.1%} of {part['fits']}",
        lambda part: part["half_effective"] >= 0.99,
    ),
    Goal(
        "exact draws within 1 s at the median",
        lambda part: (
            f"{part['seconds_median']:.2f} s ({part['processor_seconds_median']:.2f} s of the "
            f"processor) of {part['galaxies']} galaxies"
        ),
        lambda part: part["seconds_median"] <= 1.0,
    ),
)
_SPEED = (
    Goal(
        "{draws:,} draws of one galaxy within 0.3 s",
        lambda part: (
            f"{part['seconds']:.2f} s ({part['processor_seconds']:.2f} s of the processor)"
        ),
        lambda part: part["seconds"] <= 0.3,
    ),
    Goal(
        "50,000 draws a second in batches",
        lambda part: f"{part['batch_rate']:,.0f} a second",
        lambda part: part["batch_rate"] >= 50_000,
    ),
)
_SIZE = (
    Goal(
        "a bundle of at most 25 MB",
        lambda part: f"{part['bundle_bytes'] / 1e6:.1f} MB",
        lambda part: part["bundle_bytes"] <= 25e6,
    ),
)


def judge_goals(card: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare a card's measurements with the goals; what was not measured is left out.

    Returns
    -------
    list of dict
        Each with the goal in words (``goal``), what was found (``found``), and ``reached``.
    """
    galaxies, exact = card["galaxies"], card.get("exact")
    parts: list[tuple[tuple[Goal, ...], str, Part]] = []
    for name, what, key in (
        ("simulations", "held-out simulations", "efficiency"),
        ("showcase", "showcase galaxies that the model fits", "efficiency_where_it_fits"),
        ("catalogue", "catalogue galaxies that the model fits", "efficiency_where_it_fits"),
    ):
        if name in galaxies:
            part = {"draws": galaxies[name]["draws"], "median": galaxies[name][key][2] or 0.0}
            parts.append((_EFFICIENCY, what, part))
    parts += [(_CALIBRATION, method, found) for method, found in card["calibration"].items()]
    if "catalogue" in galaxies:
        parts.append((_CATALOGUE, "", galaxies["catalogue"]))
    if exact and exact["fits"]:
        parts.append((_EXACT, "", exact))
    parts += [(_SPEED, "", card["speed"]), (_SIZE, "", card)]
    return [
        {
            "goal": goal.text.format(**{**part, "name": name}),
            "found": goal.found(part),
            "reached": bool(goal.reached(part)),
        }
        for goals, name, part in parts
        for goal in goals
    ]


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
