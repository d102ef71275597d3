"""The commands that make a posterior: simulate, train and distil."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import cores, shared
from .shared import option

if TYPE_CHECKING:
    from ..anpe.presets import TrainingConfig
    from ..anpe.training import TrainingRecord
    from ..observations.noise import NoiseModel
    from ..sps import BandSet

__all__ = ["add_commands"]

_AGAIN = "run the same command again to go on."


def add_commands(commands: shared.Commands) -> None:
    """Add simulate, train and distil."""
    parser = shared.add_command(
        commands,
        "simulate",
        "draw galaxies from the prior and compute their photometry",
        "Draws galaxies from the prior and computes their noiseless photometry, for training.\n"
        "Noise is added when they are used. A run that was stopped goes on when repeated.",
        "sedflow-lab simulate simulations -n 1000000 --bands decam-grz",
        _simulate,
        f"files that are complete are kept: {_AGAIN}",
    )
    option(parser, "out OUT", "folder for the simulations")
    option(parser, "-n, --number N", "galaxies to simulate (default: 100000)", least=1)
    shared.add_model_options(parser)
    _add_young_bursts(parser)
    option(parser, "--seed N", "the same seed gives the same numbers (default: 0)", least=0)
    cores.add_workers(parser)
    cores.add_threads(parser)
    _add_train(commands)
    _add_distil(commands)


def _add_young_bursts(parser: shared.Parser) -> None:
    option(
        parser,
        "--young-bursts SHARE",
        "share of new simulations with bursts uniform in the log of their age, which weights "
        "undo in training: 0 or more, below 1 (default: 0, or the preset's)",
        type=float,
    )


def _add_train(commands: shared.Commands) -> None:
    parser = shared.add_command(
        commands,
        "train",
        "train a network for a band set",
        "Trains a normalizing flow on simulated galaxies and writes it as a folder that other\n"
        "commands take as --posterior. Simulations are made if there are none. A run that was\n"
        "stopped goes on when repeated; what it needs is kept beside OUT, in OUT.training.",
        "sedflow-lab train my-posterior --preset workshop\n"
        "  sedflow-lab train desi --bands decam-grz --depth 24.0 23.4 22.5 --floor 0.02\n"
        "  sedflow-lab train mine --survey legacy-grz --preset shelf\n"
        "  sedflow-lab train better --preset lessons --start nsa-ugriz --lessons lessons",
        _train,
        f"simulations that are complete are kept: {_AGAIN}",
    )
    option(parser, "out OUT", "folder for the trained posterior")
    option(
        parser,
        "--preset NAME",
        "nsa-ugriz: hours on a laptop; shelf: the same for a --survey; accelerator: minutes on "
        "one, with --lessons; lessons: an hour, on from --start with --lessons; workshop: a small "
        "network, a few minutes",
        default="nsa-ugriz",
    )
    option(
        parser,
        "--survey NAME",
        "take bands, highest redshift and depths of a survey: legacy-grz, panstarrs-grizy or "
        "lsst-ugrizy (default: those of the options below)",
    )
    option(parser, "--start NAME", "posterior to go on from: nsa-ugriz, or a folder")
    option(parser, "--lessons FOLDER", "lessons made by 'sedflow-lab distil' to learn from")
    option(
        parser,
        "--simulations FOLDER",
        "simulations to train on, made if missing (default: OUT.training/simulations)",
    )
    option(
        parser,
        "-n, --number N",
        "galaxies to simulate (default: the preset's, 1000000 or 200000)",
        least=1,
    )
    shared.add_model_options(parser)
    _add_young_bursts(parser)
    noise = parser.add_argument_group(
        "noise", "Ones ship for sdss-ugriz and galex-sdss; other bands need one."
    )
    option(
        noise,
        "--noise FILE",
        "noise model made by 'sedflow-lab noise', or one that ships: nsa-ugriz, nsa-galex",
    )
    option(
        noise,
        "--depth MAG",
        "5-sigma depths of the survey [AB mag], one a band or one for all",
        type=float,
        nargs="+",
    )
    option(
        noise,
        "--floor MAG",
        "calibration error beside --depth (default: %(default)s mag)",
        default=0.02,
    )
    size = parser.add_argument_group("network and training", "Defaults are those of the preset.")
    option(size, "--steps N", "steps of the optimiser", type=int)
    option(size, "--batch N", "galaxies in a step", type=int)
    option(size, "--learning-rate RATE", "its highest value", type=float)
    option(size, "--couplings N", "spline couplings of the flow", type=int)
    option(size, "--hidden N", "hidden layers of each coupling", type=int, nargs="+")
    option(size, "--seed N", "of new simulations and of training (default: 0)", least=0)
    option(size, "--device DEVICE", "where to compute: cpu, cuda, ...", default="cpu")
    cores.add_threads(parser)


def _add_distil(commands: shared.Commands) -> None:
    parser = shared.add_command(
        commands,
        "distil",
        "make exact posteriors of galaxies like a catalogue's, to train on",
        "Varies the galaxies of a catalogue and keeps draws of their exact posteriors: lessons\n"
        "for 'sedflow-lab train --lessons'. A network gets better from them where galaxies are.\n"
        "A run that was stopped goes on when repeated.",
        "sedflow-lab distil lessons galaxies.csv -n 6000",
        _distil,
        f"files that are complete are kept: {_AGAIN}",
    )
    option(parser, "out OUT", "folder for the lessons")
    shared.add_catalog(parser)
    shared.add_posterior(parser)
    option(
        parser,
        "-n, --number N",
        "galaxies to make, from those of the catalogue in turn",
        default=6000,
        least=1,
    )
    option(
        parser,
        "--method",
        "how draws are made exact, quickly or surely; or simulate galaxies that look alike, whose "
        "parameters are known",
        choices=("weighted", "exact", "simulated"),
        default="weighted",
    )
    option(parser, "--device DEVICE", "where to compute: cpu, cuda, ...", default="cpu")
    option(parser, "--seed N", "the same seed gives the same lessons", default=0, least=0)
    cores.add_threads(parser)


def _plan(args: argparse.Namespace, folder: Path, defaults: dict[str, Any]) -> dict[str, Any]:
    from ..anpe.simulate import plan_simulations

    return plan_simulations(
        folder,
        n=args.number,
        bands=args.bands,
        prior=args.prior,
        birth_cloud_age=args.birth_cloud_age,
        redshift_max=args.redshift_max,
        ssp=args.ssp,
        seed=args.seed,
        young_bursts=args.young_bursts,
        defaults=defaults,
    )


def _simulate(args: argparse.Namespace) -> None:
    from ..anpe.simulate import simulate

    plan = _plan(args, Path(args.out), {})
    made = simulate(
        **plan,
        progress=shared.is_interactive(),
        workers=args.workers,
        scheduler=args.scheduler,
    )
    settings = made.settings
    print(
        f"{len(made):,} simulations in {', '.join(plan['model'].bands.labels)} "
        f"(prior {settings['prior']}, birth clouds to {settings['birth_cloud_age']:g} Gyr, "
        f"redshifts to {settings['redshift_max']:g}, seed {settings['seed']}) are in {args.out}."
    )


def _train(args: argparse.Namespace) -> None:
    from .._arrays import check_device
    from ..anpe import recipe
    from ..anpe.bundle import load_bundle
    from ..anpe.distil import Lessons
    from ..anpe.presets import make_config
    from ..anpe.simulate import simulate
    from ..observations.surveys import get_survey
    from ..sps import load_ssp_grid

    config = make_config(
        args.preset,
        steps=args.steps,
        batch=args.batch,
        learning_rate=args.learning_rate,
        couplings=args.couplings,
        hidden=args.hidden,
        seed=args.seed,
    )
    if args.survey is not None:
        survey = get_survey(args.survey)
        args.bands = args.bands or survey.bands
        args.redshift_max = args.redshift_max or survey.redshift_max
    out = Path(args.out)
    recipe.check_folder(out)
    check_device(args.device)
    work = recipe.working_folder(out)
    defaults = {"n": config.simulations, "young_bursts": config.young_bursts}
    start, lessons = None, None
    if args.start is not None:
        start, _ = load_bundle(args.start, load_ssp_grid(args.ssp))
        config = replace(config, flow=start.flow.config)
        defaults |= start.physics()
    if args.lessons is not None:
        lessons = Lessons.load(args.lessons)
    plan = _plan(args, Path(args.simulations or work / "simulations"), defaults)
    bands = plan["model"].bands
    noise = start.noise if start and args.noise is args.depth is None else _noise(args, bands)
    shared.say(f"simulations: {plan['n']:,} in {', '.join(bands.labels)}, kept in {plan['folder']}")
    simulations = simulate(**plan, progress=shared.is_interactive())
    shared.say(
        f"training: {config.steps:,} steps of {config.batch:,} galaxies; Ctrl-C stops it safely"
    )
    with shared.stop_on_interrupt() as stop:
        bundle = recipe.train_bundle(
            out,
            simulations,
            bands,
            noise,
            config,
            start=start,
            lessons=lessons,
            device=args.device,
            progress=shared.is_interactive(),
            stop=stop,
            callback=None if shared.is_interactive() else _Reporter(config),
        )
    if bundle is None:
        raise KeyboardInterrupt(f"the checkpoint is in {work}: {_AGAIN}")
    record = bundle.training["record"]
    print(
        f"The posterior for {bands.name} is in {out}: validation loss "
        f"{record['validation_loss'][-1]:.3f} after {config.steps:,} steps and "
        f"{_duration(record['seconds'])}. Use it with --posterior {out}. Nothing needs {work} any "
        "more, unless you want to train longer."
    )


def _distil(args: argparse.Namespace) -> None:
    from ..anpe.amortized import load_posterior
    from ..anpe.distil import distil
    from ..sps import load_ssp_grid

    posterior = load_posterior(args.posterior, ssp=load_ssp_grid(args.ssp), device=args.device)
    photometry = shared.read_catalog(args, posterior.bands, "flag")
    with shared.stop_on_interrupt() as stop:
        lessons = distil(
            args.out,
            posterior,
            photometry,
            args.number,
            method=args.method,
            seed=args.seed,
            progress=shared.is_interactive(),
            stop=stop,
        )
    if lessons is None:
        raise KeyboardInterrupt(f"what is finished is in {args.out}: {_AGAIN}")
    print(
        f"{len(lessons):,} lessons of {args.number:,} galaxies are in {args.out}; the others had "
        "too few effective draws. Train on them with sedflow-lab train --lessons."
    )


def _noise(args: argparse.Namespace, bands: BandSet) -> NoiseModel:
    from ..observations.noise import NoiseModel, find_noise
    from ..observations.surveys import get_survey, noise_of

    if args.depth is args.noise is None and args.survey is not None:
        noise = noise_of(get_survey(args.survey))
        if noise.bands != bands.names:
            raise InputError(
                f"The depths of {args.survey} are of {', '.join(noise.bands)}, not of "
                f"{', '.join(bands.names)}: give those of your bands with --depth."
            )
        return noise
    if args.depth is None:
        return find_noise(bands, args.noise)
    if args.noise is not None:
        raise InputError("--noise and --depth were both given: give one of them.")
    if len(args.depth) not in (1, len(bands)):
        raise InputError(
            f"--depth has {len(args.depth)} values, but the bands are "
            f"{', '.join(bands.labels)}: give {len(bands)}, or one for all."
        )
    depth = args.depth if len(args.depth) > 1 else args.depth * len(bands)
    if not all(0 < value < 50 for value in depth) or not 0 < args.floor < 1:
        raise InputError(
            f"--depth {' '.join(f'{d:g}' for d in args.depth)} and --floor {args.floor:g} are in "
            "AB mag: depths lie between 0 and 50, the floor between 0 and 1."
        )
    return NoiseModel.from_depths(bands.names, depth, args.floor)


class _Reporter:
    """Prints a line at each evaluation, for logs."""

    def __init__(self, config: TrainingConfig) -> None:
        self._steps = config.steps

    def __call__(self, step: int, record: TrainingRecord) -> None:
        rate = step / max(record.seconds, 1e-9)
        shared.say(
            f"step {step:,} of {self._steps:,}: loss {record.training_loss[-1]:.3f}, validation "
            f"{record.validation_loss[-1]:.3f}, {rate:.1f} steps/s, "
            f"{_duration((self._steps - step) / rate)} left"
        )


def _duration(seconds: Any) -> str:
    """Write seconds as people do."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
