"""Infer a catalogue: what is finished is kept beside the table until all of it is."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import difference, read_json, write_json
from ..anpe import AmortizedPosterior
from ..errors import InputError
from ..exact import Outliers
from ..methods import RECIPE
from ..observations.photometry import Photometry
from ..observations.write import read_sealed, write_sealed, write_table
from ..posterior.result import PosteriorResult
from ..quantities import QUANTITIES
from ..sps.bands import BandSet
from ..sps.rest_frame import at_rest
from .rows import identity

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["infer_catalogue"]

_AT_ONCE = 32  # galaxies, of which workers take one each
_DRAWS_AT_ONCE = 2_000_000  # of these galaxies: 200 MB
_SECONDS = 10.0  # of work that a kill may cost
_PREFIX = "galaxies-"
_OF = "part_of"  # metadata of a part


def infer_catalogue(
    posterior: AmortizedPosterior,
    photometry: Photometry,
    out: str | Path,
    draws: int = 1000,
    method: str = "fast",
    seed: int = 0,
    *,
    outliers: Outliers | None = None,
    samples: str | Path | None = None,
    rest_frame: str | BandSet | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Table:
    """Infer every galaxy of a catalogue; those that cannot be inferred are flagged.

    A run that takes long keeps what is finished in the folder ``<out>.partial``, and the same
    call goes on from there. The folder is removed once the table is written.

    Parameters
    ----------
    posterior : AmortizedPosterior
    photometry : Photometry
        N galaxies.
    out : path
        Table to write.
    draws, method, seed, outliers, stop
        As for `AmortizedPosterior.infer`.
    samples : path, optional
        HDF5 file for all draws, for which all have to fit into memory.
    rest_frame : str or BandSet, optional
        Bands in which the table has rest-frame quantities (see `PosteriorResult.derived`).
    progress : bool
        Show a progress bar.
    tell : callable
        Called with a sentence where an earlier run goes on, or left something damaged.

    Returns
    -------
    astropy.table.Table
        One row a galaxy, in their order: `PosteriorResult.summary`, with derived quantities. Its
        metadata record error floors and the probability of bad bands.

    Raises
    ------
    InputError
        If the folder holds parts of another run, or the SSP grid does not reach under bands at
        rest.
    """
    from tqdm.auto import tqdm

    if rest_frame is not None:  # what the stars do not reach is refused before any work
        rest_frame = at_rest(posterior.model, rest_frame).bands
    settings = {
        "network": posterior.bundle.hash,
        "method_recipe": RECIPE,
        **{"method": method, "draws": draws, "seed": seed, "samples": samples is not None},
        "galaxies": identity(photometry),
        "quantities": list(QUANTITIES),
        **({} if rest_frame is None else {"rest_frame": rest_frame.to_json()}),
        **(outliers.settings() if outliers else {}),
    }
    out = Path(out)
    kept = _Kept(out.with_name(f"{out.name}.partial"), settings)
    done, fresh = kept.read(tell), list[Any]()
    first, since = sum(len(part) for part in done), time.monotonic()
    if first:
        tell(f"{first:,} galaxies were inferred before, and are taken from {kept.folder}")
    n, stopped = len(photometry), False
    summary = partial(PosteriorResult.summary, model=posterior.model, rest_frame=rest_frame)
    size = max(1, min(_AT_ONCE, _DRAWS_AT_ONCE // max(1, draws)))
    with tqdm(total=n, initial=first, unit=" galaxies", desc=method, disable=not progress) as bar:
        while first < n or not (done or fresh):
            last = n if stopped else min(n, first + size)
            result = posterior.infer(
                photometry[first:last],
                draws,
                method,
                seed,
                outliers=outliers,
                on_bad="flag",
                stop=stop,
            )
            now = stop is not None and stop.is_set() and "unfinished" in result.badge
            if photometry.redshift_sigma.any():
                result = result.hold_redshifts()
            if fresh and not stopped and (now or time.monotonic() - since > _SECONDS):
                part = _join(fresh)
                kept.write(first - len(part), part)
                done, fresh, since = [*done, part], [], time.monotonic()
            fresh.append(result if samples else summary(result))
            bar.update(last - first)
            first, stopped = last, stopped or now
    whole = _join(done + fresh)
    if samples:
        whole.save(samples)
        whole = summary(whole)
    whole.meta |= {"draws": draws, "seed": seed, "posterior": posterior.bundle.name}
    if rest_frame is not None:
        whole.meta["rest_frame"] = rest_frame.name
    for band, floor in photometry.settings().get("error_floor", {}).items():
        whole.meta[f"error_floor_{band}"] = floor
    if outliers is not None:
        whole.meta["outliers"] = outliers.probability
    write_table(whole, out)
    if not stopped:
        kept.remove()
    return whole


@dataclass(frozen=True)
class _Kept:
    """What is finished of a run: consecutive galaxies, in files named by the first of each.

    With draws they are results, without them tables.
    """

    folder: Path
    settings: dict[str, Any]

    def read(self, tell: Callable[[str], None]) -> list[Any]:
        """Parts that are there, from the first galaxy on without a gap."""
        if not self._manifest.exists():
            return []
        found = read_json(self._manifest, "what is kept of a run", "delete its folder")
        if differing := difference(found, self.settings):
            raise InputError(
                f"{self.folder} keeps a run that differs in {differing}: delete it, or write to "
                "another file."
            )
        parts, first = list[Any](), 0
        while (path := self._path(first)).exists():
            try:
                part = PosteriorResult.load(path) if self._draws else read_sealed(path)
                if self._about(part).pop(_OF, None) != self._of(first):
                    raise InputError(f"{path} is a part of something else.")
                parts.append(part)
            except InputError as error:
                tell(f"{error} It is made anew now.")
                break
            first += len(parts[-1])
        return parts

    def write(self, first: int, part: Any) -> None:
        """Keep a part that begins with a galaxy."""
        self.folder.mkdir(exist_ok=True)
        if not self._manifest.exists():
            write_json(self._manifest, self.settings)
        about = self._about(part)
        about[_OF] = self._of(first)
        if self._draws:
            part.save(self._path(first))
        else:
            write_sealed(part, self._path(first))
        del about[_OF]

    def remove(self) -> None:
        """Remove all of it, and the folder where nothing else is in it."""
        for path in (*self.folder.glob(f"{_PREFIX}*"), self._manifest):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it was never made, or holds something else
            self.folder.rmdir()

    def _of(self, first: int) -> str:
        """What a part belongs to: the run, and its place there."""
        known = json.dumps([self.settings, first], sort_keys=True)
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    def _about(self, part: Any) -> dict[str, Any]:
        """The metadata of a part."""
        return part.provenance if self._draws else part.meta

    @property
    def _manifest(self) -> Path:
        return self.folder / "run.json"

    @property
    def _draws(self) -> bool:
        return bool(self.settings["samples"])

    def _path(self, first: int) -> Path:
        return self.folder / f"{_PREFIX}{first:09d}.{'h5' if self._draws else 'ecsv'}"


def _join(parts: list[Any]) -> Any:
    """One table, or one result, of several."""
    from astropy.table import vstack

    if not isinstance(parts[0], PosteriorResult):
        return vstack(parts, metadata_conflicts="silent")
    names = {name: v for part in parts for name, v in part.diagnostics.items()}
    for part in parts:
        for name, values in names.items():
            unknown = np.full((len(part), *values.shape[1:]), np.nan)
            part.diagnostics.setdefault(name, unknown)
    whole = PosteriorResult.concatenate(parts)
    seconds = sum(part.provenance["seconds"] for part in parts)
    whole.provenance = parts[0].provenance | {"seconds": seconds}
    return whole
