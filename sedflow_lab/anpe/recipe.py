"""From settings to a bundle: simulations, noise and configuration, trained and saved."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .._version import __version__
from ..errors import InputError
from ..observations.noise import NoiseModel
from ..sps import BandSet
from ..sps.histories import Cosmology
from .bundle import Bundle
from .distil import Lessons
from .presets import TrainingConfig
from .simulate import SimulationSet
from .support import FEWEST, fit_support
from .training import TrainingRecord, train

__all__ = [
    "check_folder",
    "is_complete",
    "processor_name",
    "train_bundle",
    "working_folder",
]


def working_folder(folder: str | Path) -> Path:
    """Where the training of a bundle keeps its checkpoint: beside it."""
    folder = Path(folder)
    return folder.with_name(folder.name + ".training")


def check_folder(folder: str | Path) -> None:
    """Make sure that a bundle can be written here, before hours are spent on it."""
    folder = Path(folder)
    is_bundle = (folder / "bundle.json").exists()
    if is_bundle and not working_folder(folder).exists():
        raise InputError(f"{folder} holds a bundle already: choose another folder, or delete it.")
    if folder.exists() and not is_bundle and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds other files: choose another folder for the bundle.")


def is_complete(config: TrainingConfig, record: TrainingRecord) -> bool:
    """Whether a training took all its steps."""
    return bool(record.step) and record.step[-1] >= config.steps


def train_bundle(
    folder: str | Path,
    simulations: SimulationSet,
    bands: BandSet,
    noise: NoiseModel,
    config: TrainingConfig,
    *,
    start: Bundle | None = None,
    lessons: Lessons | None = None,
    device: str | torch.device = "cpu",
    **how: Any,
) -> Bundle | None:
    """Train a flow and save it as a bundle; an interrupted run goes on where it stopped.

    Parameters
    ----------
    folder : path
        The bundle to write. The checkpoint is kept beside it, in `working_folder`.
    simulations, noise, config, start, lessons, device, **how
        As for `train`; evaluated every 500 steps, or four times, if not told otherwise.
    bands : BandSet
        Those of the simulations.

    Returns
    -------
    Bundle or None
        None if `stop` ended the training before its last step.

    Raises
    ------
    InputError
        If the folder holds anything but a bundle of this training.
    """
    check_folder(folder)
    how.setdefault("evaluate_every", min(500, max(1, config.steps // 4)))
    flow, record = train(
        simulations,
        noise,
        config,
        working_folder(folder),
        start=start,
        lessons=lessons,
        device=device,
        **how,
    )
    if not is_complete(config, record):
        return None
    settings, alike = simulations.settings, simulations.of_prior(config.seed)
    bundle = Bundle(
        name=Path(folder).name,
        flow=flow.cpu().eval().requires_grad_(False),
        bands=bands,
        prior=settings["prior"],
        birth_cloud_age=settings["birth_cloud_age"],
        redshift_max=settings["redshift_max"],
        ssp_hash=settings["ssp_hash"],
        noise=noise,
        training={
            "config": config.to_dict(),
            "simulations": {
                "n": len(simulations),
                "seed": settings["seed"],
                "young_bursts": settings.get("young_bursts", 0.0),
            },
            **({} if start is None else {"start": start.hash, "before": start.training}),
            **({} if lessons is None else {"lessons": lessons.settings}),
            "record": asdict(record),
            "hardware": _hardware(torch.device(device)),
            "versions": {
                "sedflow_lab": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "zuko", "numpy")},
            },
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        support=None
        if len(alike) < FEWEST
        else fit_support(
            alike.flux,
            alike.redshift,
            noise,
            Cosmology(settings["redshift_max"], torch.float32),
            config.seed,
        ),
    )
    bundle.save(folder)
    return bundle


def _hardware(device: torch.device) -> dict[str, Any]:
    """What the training ran on."""
    hardware: dict[str, Any] = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        hardware["accelerator"] = torch.cuda.get_device_name(device)
    return hardware


def processor_name() -> str:
    """Model of the processor; Linux tells it in a file only."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
