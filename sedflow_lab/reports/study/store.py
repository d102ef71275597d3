"""The folder of a study: the settings, the galaxies, and one file a galaxy and method.

::

    study.json                        settings of the chains
    showcase/galaxies.ecsv            photometry, in nanomaggies
    showcase/mcmc/82151.h5            PosteriorResult of each galaxy, by method
    showcase/fast/82151.h5
    showcase/fast/82151.ecsv          its comparison with the chain
    simulations/galaxies.ecsv         photometry and true parameters
    simulations/mcmc/sim-0000.h5
    ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._files import difference, expanded, read_json, reading, write_json
from ...errors import InputError
from ...methods import RECIPE
from ...observations.photometry import Photometry
from ...observations.write import read_sealed, write_sealed
from ...parameters import NAMES
from ...posterior.result import PosteriorResult
from ...sps import get_bands
from .galaxies import Sample

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["NETWORK", "SAMPLES", "Store"]

SAMPLES = ("showcase", "simulations")
"""Kinds of galaxies that a study may hold."""

NETWORK = ("fast", "weighted", "exact")
"""Methods of the network that are held against the chains."""

_SETTINGS = "study.json"
_GALAXIES = "galaxies.ecsv"


@dataclass(frozen=True)
class Store:
    """Where the results of a study are kept."""

    folder: Path

    @classmethod
    def create(cls, folder: str | Path, settings: dict[str, Any]) -> Store:
        """Make the folder of a study, or go on with one of the same settings.

        Raises
        ------
        InputError
            If the folder holds a study with other settings, or other files.
        """
        store = cls(expanded(folder))
        path = store.folder / _SETTINGS
        if path.exists():
            if differing := difference(store.settings(), settings):
                raise InputError(
                    f"{folder} holds a study that differs in {differing}: choose another folder, "
                    "or delete the old study."
                )
        elif store.folder.exists() and any(store.folder.iterdir()):
            raise InputError(f"{folder} holds other files: choose an empty folder for the study.")
        else:
            store.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, settings)
        return store

    def settings(self) -> dict[str, Any]:
        """Settings of the chains.

        Raises
        ------
        InputError
            If there are none.
        """
        path = self.folder / _SETTINGS
        if not path.exists():
            raise InputError(f"{self.folder} holds no study: make one with 'sedflow-lab compare'.")
        remedy = "delete the study, and make it again with sedflow-lab compare"
        settings = read_json(path, "the study", remedy)
        with reading(path, "the study", remedy):
            get_bands(settings["bands"])
            int(settings["seed"])
        return settings

    def add(self, sample: Sample) -> None:
        """Write the photometry, and the truth where it is known, of the galaxies of a sample.

        A table with more galaxies stays: the samples are nested.

        Raises
        ------
        InputError
            If the study has other galaxies of these names, as simulations of another network are.
        """
        path = self.folder / sample.name / _GALAXIES
        if path.exists():
            before, now = self.sample(sample.name).photometry, sample.photometry
            both = slice(min(len(before), len(now)))
            for name in ("flux", "sigma", "redshift"):
                there, here = (getattr(p, name)[both] for p in (before, now))
                if not np.allclose(there, here, rtol=1e-6, equal_nan=True):
                    raise InputError(
                        f"{path} holds other {sample.name} than this network's: choose another "
                        "folder for the study."
                    )
            if len(before) >= len(now):
                return
        table = sample.photometry.to_table()
        if sample.truth is not None:
            for name, values in zip(NAMES, sample.truth.T, strict=True):
                table[f"true_{name}"] = values
        path.parent.mkdir(exist_ok=True)
        write_sealed(table, path)

    def sample(self, name: str) -> Sample:
        """Read the galaxies of a sample.

        Raises
        ------
        InputError
            If the study does not have it.
        """
        path = self.folder / name / _GALAXIES
        if not path.exists():
            raise InputError(f"The study in {self.folder} has no {name}.")
        remedy = "delete it, and run the same sedflow-lab compare again"
        table = read_sealed(path, remedy)
        with reading(path, "the galaxies of a study", remedy):
            truth = None
            if f"true_{NAMES[0]}" in table.colnames:
                truth = np.column_stack([table[f"true_{name}"] for name in NAMES]).astype(float)
                table.remove_columns([f"true_{name}" for name in NAMES])
            return Sample(name, Photometry.from_table(table, bands=self.settings()["bands"]), truth)

    def path(self, sample: str, method: str, galaxy: str, suffix: str = ".h5") -> Path:
        """File of a result, or with ``".ecsv"`` of its comparison with the chain."""
        return self.folder / sample / method / f"{galaxy}{suffix}"

    def save(self, sample: str, result: PosteriorResult) -> None:
        """Keep the result of one galaxy; the file appears complete or not at all."""
        path = self.path(sample, result.method, str(result.ids[0]))
        path.parent.mkdir(parents=True, exist_ok=True)
        result.save(path)

    def save_comparison(self, sample: str, method: str, table: Table) -> None:
        """Keep the comparison of a result with the chain."""
        path = self.path(sample, method, table.meta["id"], ".ecsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(table, path)

    def load(self, sample: str, method: str, galaxy: str) -> PosteriorResult | None:
        """Result of a galaxy, None if there is none yet.

        Raises
        ------
        InputError
            If the file holds something else, as one that was copied or renamed does.
        """
        path = self.path(sample, method, galaxy)
        if not path.exists():
            return None
        result = PosteriorResult.load(path)
        if result.method != method or [str(name) for name in result.ids] != [galaxy]:
            raise InputError(f"{path} is not the {method} result of galaxy {galaxy}: delete it.")
        return result

    def load_comparison(self, sample: str, method: str, galaxy: str) -> Table | None:
        """Comparison with the chain, None if there is none yet.

        Raises
        ------
        InputError
            If the file holds something else.
        """
        path = self.path(sample, method, galaxy, ".ecsv")
        remedy = "delete it, and compare again with --fresh"
        if not path.exists():
            return None
        table = read_sealed(path, remedy)
        of = (str(table.meta.get("id")), str(table.meta.get("methods")).partition(" ")[0])
        if of != (galaxy, method):
            raise InputError(f"{path} is not the comparison of {method} {galaxy}: {remedy}.")
        return table

    def check_network(
        self, network: str, sample: str, anew: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Refuse results of a sample that are not of a network, lest they be shown under its name.

        The network is known by `Bundle.hash`. Results ``(method, galaxy)`` that will be replaced
        in any case may be `anew`.

        Raises
        ------
        InputError
            If there is a result of another network, or of another version of its methods.
        """
        wanted = {"bundle_hash": network, "method_recipe": RECIPE}
        for method in NETWORK:
            for path in sorted((self.folder / sample / method).glob("*.h5")):
                if (method, path.stem) in anew:
                    continue
                known = PosteriorResult.load(path).provenance
                found = {key: known[key] for key in wanted if key in known}
                if differing := difference(found, wanted):
                    raise InputError(
                        f"{path} differs in {differing}: infer all of it anew with --fresh, which "
                        "keeps the chains, or choose another folder."
                    )

    def samples(self) -> Iterator[Sample]:
        """Samples that the study has."""
        for name in SAMPLES:
            if (self.folder / name / _GALAXIES).exists():
                yield self.sample(name)
