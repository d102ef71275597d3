"""Networks that are broken on purpose: badly trained, or blind to a part of the parameters."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .._threads import one_thread
from ..anpe.amortized import AmortizedPosterior
from ..anpe.features import Seen
from ..anpe.flow import FlowConfig, PosteriorFlow
from ..anpe.presets import PRESETS, TrainingConfig
from ..anpe.recipe import train_bundle
from ..anpe.simulate import plan_simulations, simulate
from ..parameters import FREE_NAMES
from ..quantities import QUANTITIES
from .mocks import YOUNG

if TYPE_CHECKING:
    from ..anpe.bundle import Bundle

__all__ = ["BAD_TRAININGS", "blinded", "train_badly"]

_BURST = FREE_NAMES.index("tburst")
_NOWHERE = 1e3  # a mass that no prior allows: such draws are drawn again
_QUICK = replace(PRESETS["workshop"], complete_fraction=1.0, warmup_steps=50, learning_rate=2e-3)


@dataclass(frozen=True)
class BadTraining:
    """What is wrong with a training, and how it is done."""

    what: str
    config: TrainingConfig


BAD_TRAININGS: Mapping[str, BadTraining] = {
    "few": BadTraining(
        "300 simulations, each of them seen some seven hundred times",
        replace(
            _QUICK,
            flow=FlowConfig(couplings=2, hidden=(64, 64), embedding=(64, 32)),
            simulations=300,
            steps=400,
            decay_steps=100,
        ),
    ),
    "small": BadTraining(
        "one coupling, with four hidden numbers",
        replace(
            _QUICK,
            flow=FlowConfig(couplings=1, hidden=(4,), bins=4, embedding=(4,)),
            simulations=20_000,
            steps=600,
            decay_steps=400,
        ),
    ),
    "early": BadTraining(
        "stopped after 60 steps",
        replace(_QUICK, simulations=20_000, steps=60, decay_steps=0),
    ),
}
"""Trainings that end badly, in some seconds."""


def train_badly(
    kind: str,
    posterior: AmortizedPosterior,
    folder: str | Path,
    stop: threading.Event | None = None,
) -> AmortizedPosterior | None:
    """Train a bad network for the physics and noise of another, in a folder.

    Parameters
    ----------
    kind : str
        One of `BAD_TRAININGS`.
    posterior : AmortizedPosterior
    folder : path
        Where simulations and the network are kept; a training that is there is not done again.
    stop : threading.Event, optional
        Set it to end early; then None is returned.
    """
    config, of, home = BAD_TRAININGS[kind].config, posterior.bundle, Path(folder)
    defaults = of.physics() | {"n": config.simulations, "seed": 0}
    ssp = posterior.model.ssp
    plan = plan_simulations(home / f"simulations-{kind}", ssp=ssp, defaults=defaults)
    with one_thread():
        what = simulate(**plan), of.bands, of.noise, config
        bundle = train_bundle(home / kind, *what, stop=stop)
    return None if bundle is None else AmortizedPosterior(bundle, ssp)


def blinded(posterior: AmortizedPosterior, below: float = YOUNG) -> AmortizedPosterior:
    """A network as if trained without bursts of an age [Gyr] below a limit: it never draws them."""
    flow = _BlindFlow(posterior.bundle.flow, below)
    bundle: Bundle = replace(posterior.bundle, flow=flow, card={}, name="blinded")
    return AmortizedPosterior(bundle, posterior.model.ssp)


class _BlindFlow(PosteriorFlow):
    """A flow without its young bursts; what is left of the density is not normalised anew."""

    edge: torch.Tensor

    def __init__(self, flow: PosteriorFlow, below: float) -> None:
        torch.nn.Module.__init__(self)
        self.config, self.features, self.seeing = flow.config, flow.features, flow
        burst = QUANTITIES["tburst"]
        level = (below - burst.low) / (burst.high - burst.low)
        self.register_buffer("edge", torch.special.ndtri(torch.tensor(level)))

    def context(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        return self.seeing.context(seen)

    def log_prob(
        self, phi: torch.Tensor, context: torch.Tensor, offset: torch.Tensor
    ) -> torch.Tensor:
        log_prob = self.seeing.log_prob(phi, context, offset)
        return torch.where(phi[..., _BURST] >= self.edge, log_prob, -torch.inf)

    def from_latent(
        self, latent: torch.Tensor, context: torch.Tensor, offset: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        phi, log_q = self.seeing.from_latent(latent, context, offset)
        phi[..., 0] = torch.where(phi[..., _BURST] >= self.edge, phi[..., 0], _NOWHERE)
        return phi, log_q
