"""What the training panel shows, without widgets: a training that goes on, and its exam."""

from __future__ import annotations

import copy
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from ..._threads import one_thread
from ...anpe.amortized import AmortizedPosterior, load_posterior
from ...anpe.bundle import Bundle, shipped_bundles
from ...anpe.flow import FlowConfig
from ...anpe.presets import PRESETS, TrainingConfig, make_config
from ...anpe.recipe import train_bundle
from ...anpe.simulate import plan_simulations, simulate
from ...anpe.training import TrainingRecord
from ...diagnostics.bands import pp_band, pp_curve
from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.exam import Exam, grade, read_exams
from ...diagnostics.runs import run_calibration
from ...errors import SedflowError
from ...observations import Photometry
from ..kit.choice import Drawn, GalaxyChoice, Source
from ..kit.jobs import Job
from ..kit.state import Traits

__all__ = ["BUDGETS", "GRID", "SETS", "SIZES", "Examined", "Progress", "TrainState"]

SETS = (1_000, 10_000, 50_000, 200_000)
"""Numbers of different simulations to choose from."""

BUDGETS = (500, 1_000, 2_500, 5_000, 10_000)
"""Steps of the optimiser to choose from."""

SIZES: Mapping[str, FlowConfig] = {
    "small": FlowConfig(couplings=2, hidden=(32, 32), embedding=(64, 32)),
    "medium": PRESETS["workshop"].flow,
    "large": FlowConfig(couplings=6, hidden=(128, 128), embedding=(256, 64)),
}
"""Networks to choose from."""

GRID = np.linspace(0, 1, 51)
"""Where curves are drawn."""

_LEVEL = 0.95
_EXAM_DRAWS, _DRAWS = 500, 2000
_WARMUP = 50  # steps
_LOOKS = 40  # evaluations of the validation loss in a training
_PATIENCE = 0.1  # seconds between looks whether an earlier training has ended


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a training is."""

    stage: str  # what is done now; "" once it has come to its end
    steps: int  # that are wanted
    record: TrainingRecord

    @property
    def done(self) -> int:
        """Steps that are done."""
        return self.record.step[-1] if self.record.step else 0

    @property
    def seconds_left(self) -> float | None:
        """Time until the last step, at the pace so far; None where there is no telling."""
        if not self.done:
            return None
        return (self.steps - self.done) * self.record.seconds / self.done


@dataclass(frozen=True, eq=False)
class Examined:
    """How a network did, ready to be drawn."""

    exam: Exam
    run: CalibrationRun
    curves: np.ndarray  # (G, Q), p–p curves at `GRID`
    band: np.ndarray  # (2, G), holds a whole curve of right posteriors

    @classmethod
    def of(cls, bundle: Bundle, run: CalibrationRun, how: str) -> Examined:
        """Grade a network by a calibration run of its fast draws."""
        curves, band = pp_curve(run.scores, GRID), np.array(pp_band(len(run), GRID, _LEVEL))
        return cls(grade(bundle, run, how=how), run, curves, band)


class TrainState(GalaxyChoice):
    """A network that is trained in a background thread, and examined beside another.

    Every choice has a checkpoint of its own: one that was cancelled goes on where it stopped, and
    one that is done goes on with more steps.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        The network to compare with, whose bands and noise are taken; default `DEFAULT_BUNDLE`.
    photometry : Photometry, optional
        Galaxies to look at with both; default `sedflow_lab.example_galaxies`.
    folder : path, optional
        Where simulations, checkpoints and networks are kept; default, a folder that vanishes.
    **choice
        First values of traits.
    """

    simulations = traitlets.Int(200_000, min=200, max=10_000_000)  # different ones
    steps = traitlets.Int(5_000, min=20, max=1_000_000)
    size = traitlets.Enum(tuple(SIZES), default_value="medium")
    embedding = traitlets.Bool(True)  # a network of its own reads the photometry
    mass_offset = traitlets.Bool(True)  # the mass-to-light ratio is learnt, not the mass
    fresh_noise = traitlets.Bool(True)  # at every use of a simulation
    seed = traitlets.Int(0, min=0)
    examined = traitlets.Int(200, min=20, max=20_000)  # simulations of an exam
    progress = traitlets.Instance(Progress, allow_none=True)  # of the present choice
    mine = traitlets.Instance(Examined, allow_none=True)
    theirs = traitlets.Instance(Examined, allow_none=True)  # of the network to compare with
    drawn = traitlets.Dict()  # `Drawn` of the chosen galaxy, by "mine" and "theirs"
    room = traitlets.Unicode("")  # folder to hand in to
    handed_in: Any = traitlets.List()  # exams in the room
    busy = traitlets.Bool(False)

    def __init__(
        self,
        posterior: Source = None,
        photometry: Photometry | None = None,
        folder: str | Path | None = None,
        **choice: Any,
    ) -> None:
        self._folder = folder
        self._at_work = threading.Lock()
        self.records: dict[str, TrainingRecord] = {}  # of all trainings so far, by their choice
        self.network: AmortizedPosterior | None = None  # what has been trained last
        super().__init__(posterior, photometry, **choice)
        self.observe(lambda _: self._look_again(), list(_CHOICES))
        self.observe(lambda _: self._draw(), "index")

    @property
    def rival(self) -> str:
        """What the network to compare with is called."""
        bundle = self.posterior.bundle
        return "shipped" if bundle.source in shipped_bundles() else bundle.name or "other"

    @property
    def config(self) -> TrainingConfig:
        """How the present choice is trained: all bands are always seen."""
        config = make_config("workshop", steps=self.steps, seed=self.seed)
        flow = replace(SIZES[self.size], mass_offset=self.mass_offset)
        return replace(
            config,
            flow=flow if self.embedding else replace(flow, embedding=()),
            simulations=self.simulations,
            complete_fraction=1.0,
            warmup_steps=_WARMUP,  # of any length of the run, or it could not be made longer
            fresh_noise=self.fresh_noise,
        )

    @property
    def how(self) -> str:
        """The present choice, without its budget, in words."""
        parts = [self.size, f"{self.simulations:,} simulations"]
        parts += [f"no {word}" for name, word in _SWITCHES.items() if not getattr(self, name)]
        return ", ".join([*parts, *([f"seed {self.seed}"] if self.seed else [])])

    @property
    def goes_on(self) -> bool:
        """Whether the present choice has been begun, and may go on."""
        return 0 < self.done < self.steps

    @property
    def done(self) -> int:
        """Steps that the present choice has been trained for."""
        record = self.records.get(self.how)
        return record.step[-1] if record is not None and record.step else 0

    def start(self) -> None:
        """Train the present choice, on from where it was; what is under way is cancelled."""
        with self.jobs.lock:
            self.jobs.stop()
            self.message, self.mine, self.drawn = "", None, {}
            how, config, count = self.how, self.config, self.examined
            folder = self._home() / how.replace(", ", "-").replace(" ", "-").replace(",", "")
            record = self.records.get(how, TrainingRecord())
            self.progress = Progress("simulating", config.steps, record)

            def work(job: Job) -> Traits:
                while not self._at_work.acquire(timeout=_PATIENCE):
                    if job.stop.is_set():
                        return {}
                try:
                    with one_thread():
                        return self._train(job, how, config, folder, count)
                finally:
                    self._at_work.release()

            self._start("train", "busy", "The training failed", work)

    def cancel(self) -> None:
        """Stop after the present step; a checkpoint is written, from which `start` goes on."""
        with self.jobs.lock:
            self.jobs.stop("train")
            self.busy = False
            self._look_again()

    def hand_in(self, name: str) -> None:
        """Write the exam of the network that was trained last into the room's folder."""
        self.message = ""
        if self.mine is None:
            self.message = "There is no network to hand in yet: train one."
        elif not name.strip():
            self.message = "Whose network is it? Give a name."
        else:
            self._in_room(lambda: replace(self.mine.exam, name=name.strip()).save(self.room))

    def look_around(self) -> None:
        """Read what everyone has handed in."""
        self.message = ""
        self._in_room(lambda: None)

    def _in_room(self, act: Any) -> None:
        try:
            act()
            self.handed_in, strange = read_exams(self.room)
        except SedflowError as error:
            self.message = str(error)
            return
        if strange:
            self.message = f"These files of the room are no exams: {', '.join(strange)}."

    def _home(self) -> Path:
        """The folder of everything that is kept."""
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="sedflow-train-")
            self._folder = self._temporary.name
        return Path(self._folder)

    def _look_again(self) -> None:
        """Show how far the present choice is, which is another."""
        if self.busy:
            return
        record = self.records.get(self.how)
        self.progress = None if record is None else Progress("", self.steps, record)

    def _train(
        self, job: Job, how: str, config: TrainingConfig, folder: Path, count: int
    ) -> Traits:
        """Simulate, train and examine."""
        bundle = self.posterior.bundle
        defaults = bundle.physics() | {"n": config.simulations, "seed": 0}
        home = folder.parent / f"simulations-{config.simulations}"
        plan = plan_simulations(home, ssp=self.posterior.model.ssp, defaults=defaults)
        simulations = simulate(**plan)

        def tell(_: int, record: TrainingRecord) -> None:
            told = Progress("training", config.steps, copy.deepcopy(record))
            job.post(self._learnt, how, told)

        trained = train_bundle(
            folder,
            simulations,
            bundle.bands,
            bundle.noise,
            config,
            stop=job.stop,
            callback=tell,
            evaluate_every=max(10, config.steps // _LOOKS),
        )
        if trained is None:
            return {}
        record = TrainingRecord(**trained.training["record"])
        job.post(self._learnt, how, Progress("examining", config.steps, record))
        network = load_posterior(folder, ssp=self.posterior.model.ssp)
        run = run_calibration(network, "fast", count, _EXAM_DRAWS, stop=job.stop)
        if job.stop.is_set():
            return {}
        found: Traits = {"mine": Examined.of(network.bundle, run, how)}
        if self.theirs is None or len(self.theirs.run) != count:
            run = run_calibration(self.posterior, "fast", count, _EXAM_DRAWS, stop=job.stop)
            if job.stop.is_set():
                return {}
            found["theirs"] = Examined.of(self.posterior.bundle, run, f"the {self.rival} one")
        self.network = network
        found |= {"drawn": self._both(network, self.galaxy)}
        return found | {"progress": Progress("", config.steps, record)}

    def _learnt(self, how: str, progress: Progress) -> None:
        """Keep the record of a training, and show it."""
        self.records[how] = progress.record
        self.progress = progress

    def _draw(self) -> None:
        """Infer the chosen galaxy with both networks."""
        network = self.network
        if network is None or self.mine is None:
            return
        galaxy = self.galaxy

        def work(job: Job) -> Traits:
            return {"drawn": self._both(network, galaxy)}

        with self.jobs.lock:
            self._start("draw", None, "The galaxy could not be inferred", work)

    def _both(self, network: AmortizedPosterior, galaxy: Photometry) -> dict[str, Drawn]:
        """Draws of a galaxy by both networks."""
        found = {}
        for name, posterior in (("mine", network), ("theirs", self.posterior)):
            result = posterior.infer(galaxy, _DRAWS, "fast", on_bad="flag")
            found[name] = self._outcome(galaxy, result, 0.0).drawn
        return found


_SWITCHES = {
    "embedding": "embedding",
    "mass_offset": "mass coordinate",
    "fresh_noise": "fresh noise",
}
_CHOICES = ("simulations", "steps", "size", "seed", *_SWITCHES)
