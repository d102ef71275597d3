"""From settings to a bundle: simulations, noise and configuration, trained and saved."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .._version import __version__
from ..errors import InputError
from ..observations.noise import SHIPPED_NOISE, NoiseModel, load_noise
from ..parameters import get_prior
from ..sps import BandSet, SEDModel, SSPGrid, load_ssp_grid
from ..sps.histories import Cosmology
from .bundle import Bundle
from .simulate import SimulationSet, read_settings, simulate
from .support import FEWEST, fit_support
from .training import PRESETS, TrainingConfig, TrainingRecord, train

__all__ = [
    "SimulationPlan",
    "check_folder",
    "find_noise",
    "is_complete",
    "make_config",
    "plan_simulations",
    "processor_name",
    "train_bundle",
    "working_folder",
]


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


def find_noise(bands: BandSet, noise: str | Path | None = None) -> NoiseModel:
    """Read the noise model for a band set: the one that is named, else the shipped one.

    Raises
    ------
    InputError
        If it cannot be read or is of other bands, or if none is named and none ships.
    """
    if noise is not None:
        model = load_noise(noise)
        if model.bands != bands.names:
            raise InputError(
                f"The noise model {noise} is of the bands {', '.join(model.bands)}, not of "
                f"{', '.join(bands.names)}: fit one to galaxies in these (sedflow-lab noise)."
            )
        return model
    for name in SHIPPED_NOISE:
        if (model := load_noise(name)).bands == bands.names:
            return model
    raise InputError(
        f"No noise model ships for {bands.name}: fit one to a catalogue (sedflow-lab noise) and "
        "give it with --noise, or give the survey's 5-sigma depths with --depth."
    )


@dataclass(frozen=True)
class SimulationPlan:
    """Simulations to be made, or already there.

    Attributes
    ----------
    folder : Path
    n : int
    model : SEDModel
    prior : str
    seed : int
    """

    folder: Path
    n: int
    model: SEDModel
    prior: str
    seed: int

    def run(self, progress: bool = False) -> SimulationSet:
        """Make what is missing and load the set."""
        return simulate(
            self.folder, self.n, self.model, self.prior, seed=self.seed, progress=progress
        )


def plan_simulations(
    folder: str | Path,
    *,
    n: int | None = None,
    bands: str | BandSet | None = None,
    prior: str | None = None,
    birth_cloud_age: float | None = None,
    redshift_max: float | None = None,
    ssp: str | Path | SSPGrid | None = None,
    seed: int | None = None,
    default_n: int = 100_000,
) -> SimulationPlan:
    """Settle what a folder of simulations is to hold.

    A setting that is left out is that of the set in the folder, or for a new set the default:
    sdss-ugriz, flat-dirichlet, 0.1 Gyr, redshifts to 0.2, seed 0.

    Parameters
    ----------
    folder : path
    n, seed : int, optional
        As for `simulate`.
    bands, prior, birth_cloud_age, redshift_max : optional
        Settings of the model and the prior.
    ssp : path or SSPGrid, optional
        The shipped grid when left out.
    default_n : int
        Size of a new set where `n` is left out.

    Raises
    ------
    InputError
        If a setting is unknown, or the set in the folder was made with another SSP grid.
    """
    found = read_settings(folder) or {}
    grid = ssp if isinstance(ssp, SSPGrid) else load_ssp_grid(ssp)
    if found and found.get("ssp_hash") != grid.hash:
        raise InputError(
            f"{folder} holds simulations made with the SSP grid {found.get('ssp_hash')}, not with "
            f"{grid.hash}: give the grid they were made with (--ssp), or another folder."
        )

    bands_found = BandSet.from_json(found["bands"]) if found else "sdss-ugriz"

    def setting(name: str, given: Any, default: Any) -> Any:
        return found.get(name, default) if given is None else given

    return SimulationPlan(
        folder=Path(folder),
        n=setting("n", n, default_n),
        model=SEDModel(
            bands=bands_found if bands is None else bands,
            birth_cloud_age=setting("birth_cloud_age", birth_cloud_age, 0.1),
            redshift_max=setting("redshift_max", redshift_max, 0.2),
            ssp=grid,
        ),
        prior=get_prior(setting("prior", prior, "flat-dirichlet")).name,
        seed=setting("seed", seed, 0),
    )


def working_folder(folder: str | Path) -> Path:
    """Where the training of a bundle keeps its checkpoint: beside it."""
    folder = Path(folder)
    return folder.with_name(folder.name + ".training")


def check_folder(folder: str | Path) -> None:
    """Make sure that a bundle can be written here, before hours are spent on it.

    Raises
    ------
    InputError
        If the folder holds other files, or a bundle that is not of a training beside it.
    """
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
    device: str | torch.device = "cpu",
    progress: bool = False,
    stop: threading.Event | None = None,
    callback: Callable[[int, TrainingRecord], None] | None = None,
    checkpoint_seconds: float = 120.0,
) -> Bundle | None:
    """Train a flow and save it as a bundle; an interrupted run goes on where it stopped.

    Parameters
    ----------
    folder : path
        The bundle to write. The checkpoint is kept beside it, in `working_folder`.
    simulations : SimulationSet
        Noiseless simulations.
    bands : BandSet
        Their bands.
    noise : NoiseModel
        Noise to add to them.
    config : TrainingConfig
    device, progress, stop, callback, checkpoint_seconds
        As for `train`.

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
    flow, record = train(
        simulations,
        noise,
        config,
        working_folder(folder),
        device=device,
        progress=progress,
        stop=stop,
        callback=callback,
        checkpoint_seconds=checkpoint_seconds,
        evaluate_every=min(500, max(1, config.steps // 4)),
    )
    if not is_complete(config, record):
        return None
    settings = simulations.settings
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
            "simulations": {"n": len(simulations), "seed": settings["seed"]},
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
        if len(simulations) < FEWEST
        else fit_support(
            simulations.flux,
            simulations.redshift,
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
