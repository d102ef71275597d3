"""Posteriors of many galaxies as a table: medians and 68 % intervals, part by part."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from astropy.table import Table

from ...anpe import AmortizedPosterior
from ...observations.photometry import Photometry
from ...posterior.result import PosteriorResult
from ...sps import SEDModel

__all__ = ["LEVELS", "summaries", "summary_of"]

LEVELS = {"_lo": 0.16, "": 0.5, "_hi": 0.84}
"""What is put behind the name of a quantity, and the level of the quantile."""

_AT_ONCE = 32  # galaxies for the network; of others, which take longer, an eighth


def summary_of(result: PosteriorResult, model: SEDModel | None) -> Table:
    """What the command ``infer`` would write of a result; derived quantities need the model."""
    table = result.summary(model=model)
    known = {k: result.provenance[k] for k in ("draws", "seed") if k in result.provenance}
    table.meta.update({"draws": result.samples.shape[1], **known})
    return table


def summaries(
    posterior: AmortizedPosterior,
    photometry: Photometry,
    draws: int,
    method: str,
    seed: int = 0,
    stop: threading.Event | None = None,
    first: int = 0,
) -> Iterator[tuple[slice, Table, PosteriorResult]]:
    """Infer galaxies part by part, from the first on: which, their summary, and their posteriors.

    Bad galaxies are flagged. The numbers of a galaxy do not depend on the others. It ends early,
    and keeps nothing of the part at hand, once `stop` is set.
    """
    size = _AT_ONCE if method == "fast" else _AT_ONCE // 8
    for begin in range(first, len(photometry), size):
        part = slice(begin, min(begin + size, len(photometry)))
        result = posterior.infer(photometry[part], draws, method, seed, on_bad="flag", stop=stop)
        if stop is not None and stop.is_set():
            return
        if photometry.redshift_sigma.any():
            result = result.hold_redshifts()
        table = summary_of(result, posterior.model)
        table.meta |= {"draws": draws, "seed": seed, "method": method}
        table.meta["posterior"] = posterior.bundle.name
        yield part, table, result
