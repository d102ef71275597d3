"""What a trained network is worth in a few numbers, and the small file in which they are kept."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import read_json, reading, write_json
from ..errors import InputError
from .calibration_run import CalibrationRun

if TYPE_CHECKING:
    from ..anpe.bundle import Bundle

__all__ = ["Exam", "grade", "read_exams"]

_KIND = "sedflow_lab exam"
_REMEDY = "delete it, and hand in again"


@dataclass(frozen=True)
class Exam:
    """How a network was trained, and how it did in a calibration run of its own draws.

    Attributes
    ----------
    name : str
        Whose it is.
    how : str
        What is special about its training, in words.
    parameters : int
        Numbers that were learnt.
    simulations, steps : int
        Different simulations, and steps of the optimiser.
    seconds : float
        Of training, by the clock.
    loss : float
        Mean negative log density of the truth, of simulations that training never saw [nats].
    efficiency : float
        Median sampling efficiency of simulations.
    calibrated, quantities : int
        Quantities whose scores depart in nothing from uniform ones, and of how many.
    worst : float
        Largest distance of a p–p curve from the diagonal.
    galaxies : int
        Simulations by which it was judged.
    """

    name: str
    how: str
    parameters: int
    simulations: int
    steps: int
    seconds: float
    loss: float
    efficiency: float
    calibrated: int
    quantities: int
    worst: float
    galaxies: int

    def __post_init__(self) -> None:
        """Check the types: such files are written by others, and may be edited."""
        for name, kind in self.__annotations__.items():
            value = getattr(self, name)
            good = isinstance(value, str) if kind == "str" else _is_number(value, kind)
            if not good:
                raise InputError(f"{name} of an exam needs a {kind}, but it is {value!r}.")

    @property
    def file_name(self) -> str:
        """A name for its file that no system minds."""
        return f"{re.sub(r'[^A-Za-z0-9-]+', '-', self.name).strip('-') or 'nobody'}.json"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {"kind": _KIND, **asdict(self)}

    def save(self, folder: str | Path) -> Path:
        """Hand in: write a small JSON file, named after its owner, into a folder.

        An earlier one of the same owner is replaced. The path is returned.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}: make it, or hand in to another.")
        path = folder / self.file_name
        write_json(path, self.to_dict())
        return path

    @classmethod
    def load(cls, path: str | Path) -> Exam:
        """Read such a file; InputError if it is none."""
        values = read_json(Path(path), "the exam", _REMEDY)
        with reading(path, "the exam", _REMEDY):
            if values.pop("kind", None) != _KIND:
                raise ValueError("it is something else")
            return cls(**values)


def grade(bundle: Bundle, run: CalibrationRun, name: str = "", how: str = "") -> Exam:
    """Grade a trained network by a calibration run of its fast draws."""
    check, record = run.check(), bundle.training["record"]
    return Exam(
        name=name,
        how=how,
        parameters=sum(p.numel() for p in bundle.flow.parameters()),
        simulations=int(bundle.training["simulations"]["n"]),
        steps=int(record["step"][-1]),
        seconds=float(record["seconds"]),
        loss=float(record["validation_loss"][-1]),
        efficiency=float(np.nanmedian(run.efficiency)),
        calibrated=int(check.uniform.sum()),
        quantities=len(check.names),
        worst=float(check.ks.max()),
        galaxies=len(run),
    )


def read_exams(folder: str | Path) -> tuple[list[Exam], list[str]]:
    """What everyone handed in to a folder, the most efficient first, and files that are no exams.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: make it, or look into another.")
    exams, strange = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            exams.append(Exam.load(path))
        except InputError:
            strange.append(path.name)
    return sorted(exams, key=lambda exam: -exam.efficiency), strange


def _is_number(value: Any, kind: str) -> bool:
    kinds = int if kind == "int" else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
