"""Training a posterior flow: fresh noise at every step, checkpoints, exact resume."""

from __future__ import annotations

import copy
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from .._files import difference, reading
from ..errors import InputError, SedflowError
from ..observations.noise import NoiseModel
from ..sps.histories import Cosmology
from .batches import Batch, Loss, observe_batch
from .bundle import Bundle
from .distil import Lessons
from .flow import PosteriorFlow
from .presets import TrainingConfig
from .simulate import SimulationSet
from .tensors import load_tensors, save_tensors

__all__ = ["TrainingRecord", "fit_scaling", "train"]

_CHECKPOINT = "checkpoint.safetensors"
_VALIDATION = 10_000
_FIT_FEATURES = 50_000
_FEWEST = 20  # simulations: two of them judge
_MOST_LOST = 20  # steps in a row without a finite gradient: more are no accident


@dataclass
class TrainingRecord:
    """What happened in training.

    Attributes
    ----------
    step : list of int
    training_loss, validation_loss : list of float
        Mean negative log density, at the steps in `step`; validation is on simulations that
        training never sees, with all bands and fixed noise.
    seconds : float
        Time spent, interruptions left out.
    running_loss : float or None
        Exponential mean of the training loss, over about 50 steps.
    """

    step: list[int] = field(default_factory=list)
    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    running_loss: float | None = None


def train(
    simulations: SimulationSet,
    noise: NoiseModel,
    config: TrainingConfig,
    folder: str | Path,
    *,
    start: Bundle | None = None,
    lessons: Lessons | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    stop: threading.Event | None = None,
    callback: Callable[[int, TrainingRecord], None] | None = None,
    checkpoint_seconds: float = 120.0,
    evaluate_every: int = 500,
) -> tuple[PosteriorFlow, TrainingRecord]:
    """Train a flow; an interrupted run goes on where it stopped, to the same result.

    Every step draws its simulations, noise and masks from a seed made of `config.seed` and the
    step's number. So the run does not depend on where it was interrupted.

    Parameters
    ----------
    simulations : SimulationSet
        Noiseless simulations; the last 10,000 (at most a tenth) are kept for validation.
    noise : NoiseModel
    config : TrainingConfig
    folder : path
        Where the checkpoint is kept.
    start : Bundle, optional
        Whose flow to go on from, of its size and with its standardisation; a new one when left
        out.
    lessons : Lessons, optional
        Exact posteriors of real galaxies: a part of every batch.
    device : str or torch.device
    progress : bool
        Show rate, loss and time left.
    stop : threading.Event, optional
        Set it to stop after the current step; the checkpoint is written.
    callback : callable, optional
        Called as ``callback(step, record)`` at each evaluation.
    checkpoint_seconds : float
        Time between checkpoints.
    evaluate_every : int
        Steps between evaluations of the validation loss.

    Returns
    -------
    flow : PosteriorFlow
    record : TrainingRecord

    Raises
    ------
    InputError
        If the folder holds a checkpoint of another configuration or set of simulations, the
        physics of the start or of the lessons is not that of the simulations, or these are fewer
        than 20.
    SedflowError
        If the loss is not finite any more; the last good checkpoint is kept.
    """
    if start is not None:
        _check_physics("posterior to start from", start.physics(), simulations)
    if lessons is not None:
        _check_physics("posterior behind the lessons", lessons.settings["physics"], simulations)
    if len(simulations) < _FEWEST:
        raise InputError(
            f"{len(simulations)} simulations are too few to train with: give {_FEWEST} or more, of "
            "which a tenth is kept to judge the network by."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    n_bands = simulations.flux.shape[1]
    device = torch.device(device)
    simulations = simulations.to(device)
    if lessons is not None:
        lessons = lessons.to(device)
    cosmology = Cosmology(simulations.settings["redshift_max"], torch.float32).to(device)
    n_validation = min(_VALIDATION, len(simulations) // 10)
    n_training = len(simulations) - n_validation
    validation = observe_batch(
        simulations,
        torch.arange(n_training, len(simulations)),
        noise,
        cosmology,
        1.0,
        _generator(config.seed, -1, device),
    )

    stale = None
    if not config.fresh_noise:
        every = torch.arange(n_training)
        generator = _generator(config.seed, -3, device)
        stale = observe_batch(
            simulations, every, noise, cosmology, config.complete_fraction, generator
        )

    if start is None:
        torch.manual_seed(config.seed)
        flow = PosteriorFlow(n_bands, config.flow).to(device)
        fit_scaling(flow, simulations, n_training, noise, cosmology, config)
    else:
        flow = copy.deepcopy(start.flow).requires_grad_(True).train().to(device)
    optimiser = torch.optim.AdamW(
        flow.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    record = TrainingRecord()
    identity = _identity(config, simulations, noise, start, lessons)
    n_lessons = 0 if lessons is None else round(config.batch * config.lesson_share)
    first = _resume(folder / _CHECKPOINT, flow, optimiser, record, identity)
    started = time.monotonic() - record.seconds
    last_checkpoint = time.monotonic()
    bar = tqdm(total=config.steps, initial=first, unit=" steps", desc="train", disable=not progress)
    step, lost = first, 0
    graphed: Callable[..., Any] | None = None
    with bar:
        while step < config.steps and not (stop is not None and stop.is_set()):
            generator = _generator(config.seed, step, device)
            rows = torch.randint(
                n_training, (config.batch - n_lessons,), generator=generator, device=device
            )
            if stale is None:
                batch = observe_batch(
                    simulations, rows, noise, cosmology, config.complete_fraction, generator
                )
            else:
                batch = stale.rows(rows)
            if lessons is not None:
                batch = batch.joined(*lessons.draw(n_lessons, cosmology, generator))
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * _schedule(step, config)
            optimiser.zero_grad(set_to_none=True)
            if device.type == "cuda" and step == first:
                # An accelerator is faster than it can be told what to do, piece by piece.
                graphed = torch.cuda.make_graphed_callables(Loss(flow), batch.tensors())
            loss = batch.loss(flow) if graphed is None else graphed(*batch.tensors())
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(flow.parameters(), config.clip_norm)
            # A step with a gradient that is not finite would ruin the weights for good.
            lost = 0 if torch.isfinite(norm) else lost + 1
            if lost > _MOST_LOST:
                raise _no_number("loss", step, folder)
            if not lost:
                optimiser.step()
                value = float(loss.detach())
                last = value if record.running_loss is None else record.running_loss
                record.running_loss = 0.98 * last + 0.02 * value
            step += 1
            bar.update(1)
            if step % evaluate_every == 0 or step == config.steps:
                record.step.append(step)
                record.training_loss.append(record.running_loss or math.nan)
                record.validation_loss.append(_evaluate(flow, validation))
                if not math.isfinite(record.validation_loss[-1]):
                    raise _no_number("validation loss", step, folder)
                record.seconds = time.monotonic() - started
                bar.set_postfix(
                    loss=f"{record.training_loss[-1]:.3f}",
                    valid=f"{record.validation_loss[-1]:.3f}",
                )
                if callback is not None:
                    callback(step, record)
            # Weights that have just led to no number may be the reason: they are not kept.
            if not lost and time.monotonic() - last_checkpoint > checkpoint_seconds:
                record.seconds = time.monotonic() - started
                _save(folder / _CHECKPOINT, flow, optimiser, step, record, identity)
                last_checkpoint = time.monotonic()
    record.seconds = time.monotonic() - started
    if not lost or step >= config.steps:
        _save(folder / _CHECKPOINT, flow, optimiser, step, record, identity)
    return flow, record


def fit_scaling(
    flow: PosteriorFlow,
    simulations: SimulationSet,
    n_training: int,
    noise: NoiseModel,
    cosmology: Cosmology,
    config: TrainingConfig,
) -> None:
    """Set the flow's standardisation from simulations."""
    rows = torch.arange(min(_FIT_FEATURES, n_training))
    generator = _generator(config.seed, -2, simulations.flux.device)
    batch = observe_batch(simulations, rows, noise, cosmology, config.complete_fraction, generator)
    flow.features.fit(batch.seen)
    _, offset = flow.context(batch.seen)
    mass = batch.phi[:, 0] + offset
    low, middle, high = torch.quantile(mass, mass.new_tensor([0.1587, 0.5, 0.8413]))
    flow.mass_mean.copy_(middle)
    flow.mass_scale.copy_(0.5 * (high - low))


def _generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed((seed + 1) * 1_000_000_007 + step)


def _schedule(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then constant, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decayed = (step - (config.steps - config.decay_steps)) / max(1, config.decay_steps)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, decayed))))


@torch.no_grad()
def _evaluate(flow: PosteriorFlow, validation: Batch) -> float:
    return float(validation.loss(flow))


def _check_physics(what: str, physics: dict[str, Any], simulations: SimulationSet) -> None:
    if differing := difference(physics, {k: simulations.settings[k] for k in physics}):
        raise InputError(
            f"The {what} and the simulations differ in {differing}: take simulations, start and "
            "lessons of the same model, bands and prior."
        )


def _no_number(what: str, step: int, folder: Path) -> SedflowError:
    return SedflowError(
        f"Training stopped at step {step}, because the {what} is not finite any more: delete "
        f"{folder} and train with a lower learning rate (the last good checkpoint is kept there)."
    )


def _identity(
    config: TrainingConfig,
    simulations: SimulationSet,
    noise: NoiseModel,
    start: Bundle | None,
    lessons: Lessons | None,
) -> dict[str, Any]:
    """What must agree for a checkpoint to be continued.

    The length of the run may be changed in between: it only sets when the decay begins.
    """
    training = config.to_dict()
    for name in ("steps", "decay_steps"):
        training.pop(name)
    return json.loads(
        json.dumps(
            {
                "training": training,
                "simulations": {**simulations.settings, "n": len(simulations)},
                "noise": noise.to_dict(),
                "start": start and start.hash,
                "lessons": lessons and lessons.settings,
            }
        )
    )


def _save(
    path: Path,
    flow: PosteriorFlow,
    optimiser: torch.optim.AdamW,
    step: int,
    record: TrainingRecord,
    identity: dict[str, Any],
) -> None:
    tensors = {f"flow.{k}": v.detach().cpu().contiguous() for k, v in flow.state_dict().items()}
    for name, parameter in flow.named_parameters():
        for key, value in optimiser.state[parameter].items():
            tensors[f"optimiser.{key}.{name}"] = value.detach().cpu().contiguous()
    state = {"step": step, "record": asdict(record), "identity": identity}
    save_tensors(path, tensors, state)


def _resume(
    path: Path,
    flow: PosteriorFlow,
    optimiser: torch.optim.AdamW,
    record: TrainingRecord,
    identity: dict[str, Any],
) -> int:
    """Load a checkpoint, if there is one, and return the number of steps done."""
    if not path.exists():
        return 0
    what, remedy = "the checkpoint", "delete it to start anew"
    tensors, state = load_tensors(path, what, remedy)
    with reading(path, what, remedy):
        if differing := difference(state["identity"], identity):
            raise InputError(
                f"{path} is the checkpoint of another training, which differs in {differing}: "
                "choose an empty folder or delete it."
            )
        flow.load_state_dict({k[5:]: v for k, v in tensors.items() if k.startswith("flow.")})
        for name, parameter in flow.named_parameters():
            prefix = "optimiser."
            optimiser.state[parameter] = {
                key[len(prefix) :].split(".", 1)[0]: value
                if key.startswith(prefix + "step")
                else value.to(parameter.device)
                for key, value in tensors.items()
                if key.startswith(prefix) and key[len(prefix) :].split(".", 1)[1] == name
            }
        record.__dict__.update(TrainingRecord(**state["record"]).__dict__)
        return int(state["step"])
