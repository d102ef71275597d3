"""How flows are trained: configurations by name, and changes to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import InputError
from .flow import FlowConfig

__all__ = ["PRESETS", "TrainingConfig", "make_config"]


@dataclass(frozen=True)
class TrainingConfig:
    """How a flow is trained.

    Attributes
    ----------
    flow : FlowConfig
    simulations : int
        Size of the stored noiseless set that the preset trains on.
    batch, steps : int
        Simulations per step, and optimiser steps.
    learning_rate : float
        After a linear warm-up, and until the decay.
    warmup_steps, decay_steps : int
        Length of the warm-up, and of the cosine decay to zero at the end.
    clip_norm : float
        Largest norm of the gradient.
    weight_decay : float
    complete_fraction : float
        Fraction of galaxies shown with all bands; the others miss a random choice of bands,
        but never so many that fewer than two are left.
    young_bursts : float
        Share of the simulations with young bursts, as for `simulate`.
    lesson_share : float
        Share of each batch that are lessons, where there are any.
    fresh_noise : bool
        Whether a simulation gets new noise and a new choice of bands each time it is used; else
        the same always.
    seed : int
    """

    flow: FlowConfig = field(default_factory=FlowConfig)
    simulations: int = 1_000_000
    batch: int = 1024
    steps: int = 31_000
    learning_rate: float = 1e-3
    warmup_steps: int = 500
    decay_steps: int = 21_500
    clip_norm: float = 5.0
    weight_decay: float = 1e-4
    complete_fraction: float = 0.75
    young_bursts: float = 0.0
    lesson_share: float = 0.5
    fresh_noise: bool = True
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return json.loads(json.dumps(asdict(self)))


PRESETS: dict[str, TrainingConfig] = {
    "nsa-ugriz": TrainingConfig(),
    "accelerator": TrainingConfig(
        flow=FlowConfig(hidden=(192, 192), embedding=(512, 512, 96)),
        simulations=8_000_000,
        batch=16_384,
        steps=40_000,
        learning_rate=2e-3,
        warmup_steps=1_500,
        decay_steps=34_000,
        young_bursts=0.25,
    ),
    "shelf": TrainingConfig(
        simulations=2_000_000, steps=20_000, decay_steps=14_000, young_bursts=0.25
    ),
    "lessons": TrainingConfig(
        steps=9_000, learning_rate=4e-4, warmup_steps=100, decay_steps=8_900, young_bursts=0.25
    ),
    "workshop": TrainingConfig(
        flow=FlowConfig(couplings=4, hidden=(64, 64), embedding=(128, 64)),
        simulations=200_000,
        batch=512,
        steps=5_000,
        decay_steps=4_000,
        warmup_steps=200,
        learning_rate=2e-3,
    ),
}
"""Named training recipes; "shelf" is that of the networks of `surveys.SURVEYS`, and "lessons" goes
on from another network, with lessons of its draws."""


def make_config(
    preset: str = "nsa-ugriz",
    *,
    steps: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    couplings: int | None = None,
    hidden: Sequence[int] | None = None,
    seed: int | None = None,
) -> TrainingConfig:
    """Take a preset and change some of it.

    With other steps the decay keeps its share of the run, and the warm-up takes a tenth of it at
    most.

    Parameters
    ----------
    preset : str
        A name in `PRESETS`.
    steps, batch, learning_rate, seed : optional
        As in `TrainingConfig`; what is left out is as in the preset.
    couplings, hidden : optional
        As in `FlowConfig`.

    Raises
    ------
    InputError
        If there is no such preset, or a number is not positive.
    """
    if preset not in PRESETS:
        raise InputError(f"There is no preset {preset!r}: choose {' or '.join(PRESETS)}.")
    changes = {"steps": steps, "batch": batch, "learning_rate": learning_rate}
    shape = {"couplings": couplings}
    for name, value in {**changes, **shape, "hidden": min(hidden or (1,))}.items():
        if value is not None and not value > 0:
            raise InputError(f"{name} is {value:g}: give a number above 0.")
    config = PRESETS[preset]
    flow: dict[str, Any] = {k: v for k, v in shape.items() if v is not None}
    if hidden:
        flow["hidden"] = tuple(hidden)
    changed: dict[str, Any] = {k: v for k, v in changes.items() if v is not None}
    if seed is not None:
        changed["seed"] = seed
    if steps is not None:
        changed["decay_steps"] = round(config.decay_steps * steps / config.steps)
        changed["warmup_steps"] = min(config.warmup_steps, steps // 10)
    return replace(config, flow=replace(config.flow, **flow), **changed)
