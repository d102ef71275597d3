"""Write the report of a study: its page, its table and its figures."""

from __future__ import annotations

import os

from astropy.table import Table

from ..._files import write_text
from ...anpe import AmortizedPosterior
from ...observations.write import write_table
from ...plots.style import LabFigure
from ..figures import save_figure
from .markdown import to_markdown
from .report import collect, overall, pick_cases
from .store import Store

__all__ = ["write_report"]

_CORNER = ("log_mstar", "fburst", "age_mw", "log_z_mw", "tau_bc", "tau_ism", "n_dust")


def write_report(store: Store, posterior: AmortizedPosterior, command: str) -> str:
    """Write ``report.md``, ``report.csv`` and figures into the folder of a study.

    Parameters
    ----------
    store : Store
    posterior : AmortizedPosterior
        Of the study.
    command : str
        That makes the same again.

    Returns
    -------
    str
        The report.
    """
    import torch

    from ...anpe.recipe import processor_name
    from .figures import plot_distances

    for sample in store.samples():
        store.check_network(posterior.bundle.hash, sample.name)
    table = collect(store)
    notes = [
        f"Command: `{command}`.",
        f"Machine: {processor_name()}, {os.cpu_count()} cores; each galaxy on "
        f"{torch.get_num_threads()} of them. Times are of the wall clock.",
    ]
    text = to_markdown(store, table, notes)
    write_text(store.folder / "report.md", text)
    write_table(table, store.folder / "report.csv")
    for sample in dict.fromkeys(overall(table)["sample"]):
        path = store.folder / f"distances-{sample}.png"
        save_figure(plot_distances(table, sample), path, dpi=100)
        for case, galaxy in pick_cases(table, sample).items():
            figure = _plot_case(store, posterior, table, sample, case, galaxy)
            save_figure(figure, store.folder / f"corner-{sample}-{case}.png", dpi=80)
    return text


def _plot_case(
    store: Store, posterior: AmortizedPosterior, table: Table, sample: str, case: str, galaxy: str
) -> LabFigure:
    """Corner plot of a galaxy for which the network alone is best, in the middle, or worst."""
    from ...plots import plot_corner

    known = store.sample(sample)
    results = [store.load(sample, method, galaxy) for method in ("fast", "exact", "mcmc")]
    truth = None
    if known.truth is not None:
        truth = known.truth[known.photometry.ids.tolist().index(galaxy)]
    rows = table[(table["sample"] == sample) & (table["id"] == galaxy)]
    c2st = {row["method"]: float(row["c2st"]) for row in rows}
    return plot_corner(
        [result for result in results if result is not None],
        parameters=_CORNER,
        truth=truth,
        title=f"{galaxy}, {case} for the network alone\n"
        f"C2ST {c2st['fast']:.2f}, exact {c2st.get('exact', float('nan')):.2f}",
        model=posterior.model,
    )
