"""Which flow learns most in a given time: sizes, embeddings, features, ensembles side by side.

python benchmarks/architectures.py --minutes 2.5 --out benchmarks/architectures.md --work /tmp/work

Every variant trains from the same simulations with the same seed until it has used the same
processor time, its learning rate falling with the time that is left. Time of the processor and
not of the clock: other work on the machine then slows a variant, but does not cut it short.
Results are kept in --work, and a run that was stopped goes on with the variants that are missing.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

import sedflow_lab as sl
from sedflow_lab.anpe.batches import Batch, observe_batch
from sedflow_lab.anpe.features import Features, Seen
from sedflow_lab.anpe.flow import FlowConfig, PosteriorFlow
from sedflow_lab.anpe.presets import TrainingConfig
from sedflow_lab.anpe.simulate import SimulationSet, draw_simulations, mock_photometry
from sedflow_lab.anpe.training import fit_scaling
from sedflow_lab.exact.weights import effective_sample_size, importance_weights
from sedflow_lab.observations.noise import load_noise
from sedflow_lab.parameters import N_FREE

N_BANDS = 5
VALIDATION = 10_000
DRAWS = 1000


class WithoutOffset(PosteriorFlow):
    """The mass itself as a coordinate, not the mass-to-light ratio."""

    def context(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        context, offset = super().context(seen)
        return context, torch.zeros_like(offset)


class UnclippedFeatures(Features):
    """Standardised features as they come."""

    def forward(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        features, present, absolute = self.raw(seen)
        return (features - self.mean) / self.scale * present, absolute


class ErrorlessFeatures(Features):
    """Features without the magnitude errors."""

    def forward(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        features, absolute = super().forward(seen)
        errors = slice(self.n_bands + 1, 2 * self.n_bands + 1)
        keep = torch.ones_like(features)
        keep[..., errors] = 0.0
        return features * keep, absolute


class Ensemble(torch.nn.Module):
    """The equal mixture of flows; draws take turns among them."""

    def __init__(self, flows: list[PosteriorFlow]) -> None:
        super().__init__()
        self.flows = torch.nn.ModuleList(flows)

    def context(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [flow.context(seen) for flow in self.flows]
        return torch.cat([context for context, _ in parts], -1), parts[0][1]

    def log_prob(self, phi, context, offset):
        contexts = context.chunk(len(self.flows), -1)
        each = [f.log_prob(phi, c, offset) for f, c in zip(self.flows, contexts, strict=True)]
        return torch.stack(each).logsumexp(0) - math.log(len(each))

    def from_latent(self, latent, context, offset):
        n = len(self.flows)
        context = context.expand(*latent.shape[:-1], -1)
        offset = offset.expand(latent.shape[:-1])
        contexts = context.chunk(n, -1)
        phi = torch.empty_like(latent)
        for k, flow in enumerate(self.flows):
            turn = (..., slice(k, None, n), slice(None))
            phi[turn], _ = flow.from_latent(latent[turn], contexts[k][turn], offset[turn[:-1]])
        return phi, self.log_prob(phi, context, offset)


@dataclass(frozen=True)
class Variant:
    """One entry of the table."""

    what: str
    flow: FlowConfig = field(default_factory=FlowConfig)
    kind: type[PosteriorFlow] = PosteriorFlow
    features: type[Features] = Features
    members: int = 1
    batch: int = 512
    learning_rate: float = 1e-3


VARIANTS = {
    "shipped": Variant("8 couplings of (128, 128), embedding (256, 256, 64), 8 bins"),
    "4-couplings": Variant("4 couplings", FlowConfig(couplings=4)),
    "12-couplings": Variant("12 couplings", FlowConfig(couplings=12)),
    "narrow": Variant("couplings of (64, 64)", FlowConfig(hidden=(64, 64))),
    "wide": Variant("couplings of (256, 256)", FlowConfig(hidden=(256, 256))),
    "16-bins": Variant("16 bins a spline", FlowConfig(bins=16)),
    "small-embedding": Variant("embedding (64, 16)", FlowConfig(embedding=(64, 16))),
    "large-embedding": Variant("embedding (512, 512, 128)", FlowConfig(embedding=(512, 512, 128))),
    "no-offset": Variant("the mass as it is, no mass offset", kind=WithoutOffset),
    "unclipped": Variant("features not clipped", features=UnclippedFeatures),
    "no-errors": Variant("features without magnitude errors", features=ErrorlessFeatures),
    "ensemble": Variant("mixture of two, half the time each", members=2),
    "large-batch": Variant("batches of 2048", batch=2048),
    "workshop": Variant(
        "4 couplings of (64, 64), embedding (128, 64), learning rate 2e-3",
        FlowConfig(couplings=4, hidden=(64, 64), embedding=(128, 64)),
        learning_rate=2e-3,
    ),
}


def train_for(
    variant: Variant, seconds: float, simulations: SimulationSet, setting: Setting, seed: int
) -> tuple[PosteriorFlow, int]:
    """Train until the processor time is used up; return the flow and the number of steps."""
    config = TrainingConfig(flow=variant.flow, seed=seed)
    torch.manual_seed(seed)
    flow = variant.kind(N_BANDS, variant.flow)
    flow.features = variant.features(N_BANDS)
    noise, cosmology = setting.noise, setting.cosmology
    n = len(simulations) - VALIDATION
    fit_scaling(flow, simulations, n, noise, cosmology, config)
    optimiser = torch.optim.AdamW(flow.parameters(), lr=0.0, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(seed)
    began, steps = time.process_time(), 0
    while (used := (time.process_time() - began) / seconds) < 1:
        rate = min(1.0, used / 0.03) * 0.5 * (1 + math.cos(math.pi * used))
        for group in optimiser.param_groups:
            group["lr"] = variant.learning_rate * rate
        rows = torch.randint(n, (variant.batch,), generator=generator)
        batch = observe_batch(
            simulations, rows, noise, cosmology, config.complete_fraction, generator
        )
        optimiser.zero_grad(set_to_none=True)
        batch.loss(flow).backward()
        norm = torch.nn.utils.clip_grad_norm_(flow.parameters(), config.clip_norm)
        if torch.isfinite(norm):
            optimiser.step()
        steps += 1
    return flow.eval(), steps


@dataclass
class Setting:
    """What all variants share."""

    model: sl.SEDModel
    noise: object
    validation: Batch
    galaxies: dict[str, sl.Photometry]

    @property
    def cosmology(self):
        """The model's cosmology."""
        return self.model.cosmology


@torch.no_grad()
def efficiency(flow: torch.nn.Module, setting: Setting, photometry: sl.Photometry, seed: int):
    """Sampling efficiency of every galaxy, and draws per second of processor time."""
    generator = torch.Generator().manual_seed(seed)
    context, offset = flow.context(Seen.of(photometry, setting.cosmology))
    out, spent = [], 0.0
    for i in range(len(photometry)):
        latent = torch.randn(1, DRAWS, N_FREE, generator=generator)
        began = time.process_time()
        phi, log_q = flow.from_latent(latent, context[i][None, None], offset[i][None, None])
        spent += time.process_time() - began
        log_p = sl.LogPosterior(photometry[i], setting.model)(phi)
        weights, _ = importance_weights(log_p - log_q)
        out.append(float(effective_sample_size(weights)) / DRAWS)
    return np.array(out), DRAWS * len(photometry) / spent


def judge(
    variant: Variant, seconds: float, simulations: SimulationSet, setting: Setting, seed: int
):
    """Train a variant, and return its row of the table."""
    trained = [
        train_for(variant, seconds / variant.members, simulations, setting, seed + 100 * k)
        for k in range(variant.members)
    ]
    flow = trained[0][0] if variant.members == 1 else Ensemble([f for f, _ in trained])
    with torch.no_grad():
        loss = float(setting.validation.loss(flow))
    row = {
        "what": variant.what,
        "parameters": sum(p.numel() for p in flow.parameters()),
        "steps": sum(steps for _, steps in trained),
        "loss": loss,
        "seconds": seconds,
        "simulations": len(simulations),
        "seed": seed,
    }
    for name, galaxies in setting.galaxies.items():
        values, row["rate"] = efficiency(flow, setting, galaxies, seed)
        row[name] = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return row


def table(rows: dict[str, dict], galaxies: dict[str, int]) -> str:
    """Markdown."""
    first = next(iter(rows.values()))
    lines = [
        "# Architectures at equal time",
        "",
        f"Each variant trained for {first['seconds']:g} s of processor time on one "
        f"thread ({_machine()}; torch {torch.__version__}), from the same "
        f"{first['simulations']:,} stored simulations with fresh noise, seed {first['seed']}, the "
        "learning rate falling to zero, in batches of 512. So the table tells what learns "
        "fastest, not where each would end: the shipped network trained for much longer, in "
        "larger batches. Each variant differs from `shipped` only in what is named. The loss "
        "is the mean of −ln q over "
        f"{VALIDATION:,} held-out simulations with all bands. Efficiency is ESS/N of importance "
        f"weights of {DRAWS:,} draws a galaxy: quartiles over "
        + " and ".join(f"{n} {name}" for name, n in galaxies.items())
        + " galaxies. Draws per second are of processor time, one galaxy at a time.",
        "",
        "| variant | what | parameters | steps | validation loss | "
        + " | ".join(f"efficiency: {name}" for name in galaxies)
        + " | draws/s |",
        "|---|---|---|---|---|" + "---|" * len(galaxies) + "---|",
    ]
    for name, row in sorted(rows.items(), key=lambda item: item[1]["loss"]):
        quartiles = [" / ".join(f"{v:.1%}" for v in row[key]) for key in galaxies]
        lines.append(
            f"| `{name}` | {row['what']} | {row['parameters']:,} | {row['steps']:,} | "
            f"{row['loss']:.3f} | {' | '.join(quartiles)} | {row['rate']:,.0f} |"
        )
    command = (
        f"python benchmarks/architectures.py --minutes {first['seconds'] / 60:g} "
        f"--simulations {first['simulations']} --galaxies {max(galaxies.values())} "
        f"--seed {first['seed']} --only {' '.join(rows)}"
    )
    return "\n".join([*lines, "", f"Made by `{command}`.", ""])


def _machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4.0, help="processor time of a variant")
    parser.add_argument("--simulations", type=int, default=400_000)
    parser.add_argument("--galaxies", type=int, default=192, help="of each kind, at most 192")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/architectures.md"))
    parser.add_argument("--work", type=Path, default=Path("architectures.work"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    model, prior, noise = sl.SEDModel(), sl.get_prior(), load_noise()
    drawn = draw_simulations(
        model, prior, args.simulations, torch.Generator().manual_seed(args.seed + 1)
    )
    simulations = SimulationSet(*drawn, settings={})
    held = torch.arange(len(simulations) - VALIDATION, len(simulations))
    step = max(1, 192 // args.galaxies)
    setting = Setting(
        model,
        noise,
        observe_batch(
            simulations, held, noise, model.cosmology, 1.0, torch.Generator().manual_seed(7)
        ),
        {
            "simulated": mock_photometry(model, prior, noise, args.galaxies, args.seed + 1000)[0],
            "showcase": sl.showcase()[::step],
        },
    )
    rows = {}
    for name in args.only:
        path = args.work / f"{name}.json"
        if path.exists():
            row = json.loads(path.read_text())
        if not path.exists() or row["seconds"] != 60 * args.minutes:
            row = judge(VARIANTS[name], 60 * args.minutes, simulations, setting, args.seed)
            path.write_text(json.dumps(row, indent=1))
        rows[name] = row
        counts = {key: len(value) for key, value in setting.galaxies.items()}
        args.out.write_text(table(rows, counts))
        print(f"{name}: loss {row['loss']:.3f}, {row['steps']} steps", flush=True)


if __name__ == "__main__":
    main()
