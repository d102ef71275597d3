"""What the panel for own galaxies shows, without widgets: a file, how it is read, its results."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, cast

import traitlets
from astropy.table import Table, vstack

from ..._files import expanded, write_bytes
from ...errors import InputError
from ...methods import AMORTIZED
from ...observations.extinction import LAWS
from ...observations.files import read_table
from ...observations.photometry import OnBad, Photometry
from ...observations.tables import has_columns, understood
from ..kit.choice import Source, open_posterior
from ..kit.jobs import Job
from ..kit.state import State, Traits
from ..kit.summary import summaries
from ..kit.takeaway import loading_code

__all__ = ["ERRORS", "MOST_INFERRED", "MOST_UPLOADED", "VALUES", "OwnState", "code_of_reading"]

MOST_UPLOADED = 10
"""Megabytes of a file that a browser can give: Jupyter's server takes no longer message."""

MOST_INFERRED = 5000
"""Galaxies that the panel infers; longer catalogues are for the command."""

VALUES = ("flux", "mag", "asinhmag")
"""Roles of a band's value."""

ERRORS = ("sigma", "ivar", "mag_err", "asinhmag_err")
"""Roles of its uncertainty."""

# What errors advise in Python, and where a panel has it.
_REMEDIES = (
    (
        r"rename the column or pass columns=\{[^}]*\}"
        r"(, or columns=\{[^}]*\} if the band was not observed)?",
        "choose it below",
    ),
    (r"pass columns=\{[^}]*\}", "choose it below"),
    (
        r", or use on_bad='mask' to leave out bad bands or on_bad='flag' to skip bad galaxies",
        ", or choose below to leave out bad bands or galaxies",
    ),
    (r"choose one with hdu=", "write its number or name behind Table"),
)


class OwnState(State):
    """A file of galaxies, how its columns are read, and what is inferred of them.

    Parameters
    ----------
    path : path, optional
        A file to begin with.
    posterior : AmortizedPosterior, str or Path, optional
        As of `GalaxyChoice`.
    **choice
        First values of traits.
    """

    name = traitlets.Unicode("")  # of the file
    hdu = traitlets.Unicode("")  # number or name of its table, where there are several
    table = traitlets.Instance(Table, allow_none=True)  # as it was read
    columns: traitlets.Dict = traitlets.Dict()  # mended by hand: by role, as read_photometry has it
    units: traitlets.Dict = traitlets.Dict()  # mended by hand: by column
    on_bad = traitlets.Enum(("flag", "mask", "raise"), default_value="flag")
    extinction = traitlets.Enum(("", *LAWS), default_value="")  # "": fluxes are corrected
    understood: traitlets.Dict = traitlets.Dict()  # column and unit, by role
    galaxies = traitlets.Instance(Photometry, allow_none=True)  # None: see `message`
    warning = traitlets.Unicode("")  # what looks wrong with most galaxies
    reading = traitlets.Bool(False)
    method = traitlets.Enum(AMORTIZED, default_value="auto")
    draws = traitlets.Int(1000, min=100, max=20_000)
    running = traitlets.Bool(False)
    done = traitlets.Int(0)
    results = traitlets.Instance(Table, allow_none=True)  # one row a galaxy, once all are inferred

    def __init__(
        self, path: str | Path | None = None, posterior: Source = None, **choice: Any
    ) -> None:
        self.posterior = open_posterior(posterior)
        self._folder = tempfile.TemporaryDirectory(prefix="sedflow-")
        self._path: Path | None = None
        super().__init__(**choice)
        self.observe(lambda _: self._understand(), ["columns", "units", "on_bad", "extinction"])
        self.observe(lambda _: self._read(), "hdu")
        self.observe(lambda _: self._forget(), ["method", "draws", "galaxies"])
        if path is not None:
            self.open(path)

    def close(self) -> None:
        """Stop all threads, and delete what was uploaded."""
        super().close()
        self._folder.cleanup()

    # The file

    def open(self, path: str | Path) -> None:
        """Read a file of this machine."""
        self._path = expanded(path)
        self._begin(self._path.name)

    def receive(self, name: str, content: bytes) -> None:
        """Read a file that a browser sent: its name, of which the ending counts, and its bytes."""
        safe = re.sub(r"[^\w.+-]+", "_", Path(name.replace("\\", "/")).name)[-80:] or "file"
        self._path = Path(self._folder.name) / safe.lstrip(".")
        write_bytes(self._path, content)
        self._begin(safe)

    def _begin(self, name: str) -> None:
        with self.jobs.lock, self.hold_trait_notifications():
            self.jobs.stop()
            nothing: Traits = {"table": None, "galaxies": None, "understood": {}, "running": False}
            self._put(nothing | {"name": name, "columns": {}, "units": {}, "hdu": ""})
        self._read()

    def _read(self) -> None:
        path, bands, hdu = self._path, self.posterior.bands, self.hdu.strip() or None
        if path is None:
            return

        def work(job: Job) -> Traits:
            try:
                table = read_table(path, lambda one: has_columns(one, bands), hdu)
            except InputError as error:
                told = str(error).replace(f"{self._folder.name}/", "")
                return {"message": _in_panel(told), "galaxies": None, "table": None}
            job.post(self._take_table, table)
            return {}

        self._put({"message": "", "warning": ""})
        self._start("read", "reading", "The file cannot be read", work)

    def _take_table(self, table: Table) -> None:
        self.table = table
        self._understand()

    # How it is read

    def mend(self, role: str, column: str | None) -> None:
        """Say which column has a role, ``flux_u`` or ``redshift``; None if the band is missing.

        A band has one value and one uncertainty: another role of the same kind is forgotten.
        """
        kind, _, band = role.rpartition("_")
        rivals: tuple[str, ...] = next((g for g in (VALUES, ERRORS) if kind in g), ())
        if column is None and kind in VALUES:
            rivals += ERRORS
        kept = {r: c for r, c in self.columns.items() if r not in {f"{x}_{band}" for x in rivals}}
        self.columns = kept | {role: column}

    def give_unit(self, column: str, unit: str) -> None:
        """Say which unit a column has; ``""`` for none."""
        self.units = self.units | {column: unit}

    def _understand(self) -> None:
        """Make photometry of the table, as the package reads it."""
        table, bands = self.table, self.posterior.bands
        if table is None:
            return
        how: Any = {"columns": self.columns, "units": self.units}
        try:
            self.understood = understood(table, bands, **how)
            law = self.extinction or None
            found = Photometry.from_table(
                table, bands, on_bad=cast(OnBad, self.on_bad), extinction=law, **how
            )
        except InputError as error:
            self._put({"message": _in_panel(str(error)), "warning": "", "galaxies": None})
            return
        self._put({"message": "", "warning": found.warning, "galaxies": found})

    @property
    def file(self) -> str:
        """What Python reads: the path of the file, or the name of one that a browser sent."""
        path = self._path
        if path is None or path.parent == Path(self._folder.name):
            return self.name
        return str(path.absolute())

    @property
    def code(self) -> str:
        """Python that reads and infers the same; empty where nothing can be read."""
        return "" if self.galaxies is None else code_of_reading(self)

    # Results

    def infer(self) -> None:
        """Infer all galaxies, in a thread."""
        with self.jobs.lock:
            galaxies = self.galaxies
            if galaxies is None or self.running:
                return
            if len(galaxies) > MOST_INFERRED:
                self.message = (
                    f"{len(galaxies):,} galaxies are more than the {MOST_INFERRED:,} that are "
                    "inferred here: the command infer, in a terminal, takes any number of them."
                )
                return
            self._put({"message": "", "done": 0, "results": None})

            def work(job: Job) -> Traits:
                parts = []
                for part, table, _ in summaries(
                    self.posterior, galaxies, self.draws, self.method, stop=job.stop
                ):
                    parts.append(table)
                    job.post(self._put, {"done": part.stop})
                return {"results": vstack(parts, metadata_conflicts="silent")}

            self._start("infer", "running", "The run failed", work)

    def cancel(self) -> None:
        """Give up the run."""
        with self.jobs.lock:
            self.jobs.stop("infer")
            self._put({"running": False, "done": 0})

    def _forget(self) -> None:
        self.cancel()
        self.results = None


def code_of_reading(state: OwnState) -> str:
    """Python that reads what a state reads, and infers it."""
    options: dict[str, Any] = {"columns": dict(state.columns), "units": dict(state.units)}
    options |= {"on_bad": state.on_bad, "extinction": state.extinction, "hdu": state.hdu}
    lines = [f"    {name}={value!r}," for name, value in options.items() if value]
    how = f"draws={state.draws}, method={state.method!r}, seed=0, on_bad='flag'"
    return "\n".join(
        [
            *loading_code(state.posterior),
            "galaxies = sl.read_photometry(",
            f"    {state.file!r},",
            "    posterior.bands,",
            *lines,
            ")",
            f"result = posterior.infer(galaxies, {how})",
            "result.summary()",
            "",
        ]
    )


def _in_panel(message: str) -> str:
    """An error's sentence with remedies that a panel has."""
    for python, here in _REMEDIES:
        message = re.sub(python, here, message)
    return message
