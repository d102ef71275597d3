"""A trained posterior on disk: weights (safetensors), everything else (JSON), no pickles.

A bundle is a folder with ``bundle.json``, ``weights.safetensors``, a description of the training
set in ``support.json`` and, once it has been judged, a calibration card ``card.json``. It records
what it was trained on and refuses to load against anything else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from .._files import replacing, write_text
from ..errors import InputError
from ..observations.noise import NoiseModel
from ..sps import BandSet, SSPGrid, load_ssp_grid
from .flow import FlowConfig, PosteriorFlow
from .support import Support

__all__ = ["SCHEMA", "Bundle", "attach", "load_bundle", "shipped_bundles"]

SCHEMA = 1
"""Version of the bundle's format."""

_DESCRIPTION, _WEIGHTS = "bundle.json", "weights.safetensors"
_SUPPORT, _CARD = "support.json", "card.json"


@dataclass(frozen=True)
class Bundle:
    """A trained flow with all that is needed to use it.

    Attributes
    ----------
    flow : PosteriorFlow
    bands : BandSet
    prior : str
        Name of the prior.
    birth_cloud_age : float
        Setting of the SED model [Gyr].
    redshift_max : float
        Highest redshift of the training set.
    ssp_hash : str
        Identity of the SSP grid.
    noise : NoiseModel
    training : dict
        Configuration, seeds, losses, time and hardware of the training.
    support : Support or None
        What the training set looks like, to tell galaxies that are unlike it.
    card : dict
        Calibration card; empty until one is made.
    name : str
        Of the shipped bundle or of the folder.
    size : int
        Bytes on the disk, the card left out; 0 if it is not from there.
    """

    flow: PosteriorFlow
    bands: BandSet
    prior: str
    birth_cloud_age: float
    redshift_max: float
    ssp_hash: str
    noise: NoiseModel
    training: dict[str, Any]
    support: Support | None = None
    card: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    size: int = 0

    def physics(self) -> dict[str, Any]:
        """Model and prior that it was trained on (JSON-able): the settings of its simulations."""
        return {
            "bands": self.bands.to_json(),
            "prior": self.prior,
            "birth_cloud_age": self.birth_cloud_age,
            "redshift_max": self.redshift_max,
            "ssp_hash": self.ssp_hash,
        }

    def settings(self) -> dict[str, Any]:
        """What it was trained on (JSON-able): physics, prior and noise."""
        return self.physics() | {"noise": self.noise.to_dict()}

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of settings and weights: its identity."""
        digest = hashlib.sha256(json.dumps(self.settings(), sort_keys=True).encode())
        for name, tensor in sorted(self.flow.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: str | Path) -> None:
        """Write the bundle; the folder appears complete or not at all.

        Raises
        ------
        InputError
            If the folder exists and is not a bundle.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()) and not (folder / _DESCRIPTION).exists():
            raise InputError(f"{folder} holds other files: choose another folder for the bundle.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        description = {
            "schema": SCHEMA,
            **self.settings(),
            "flow": self.flow.config.to_dict(),
            "training": self.training,
        }
        weights = {k: v.detach().cpu().contiguous() for k, v in self.flow.state_dict().items()}
        with replacing(folder) as partial:
            partial.mkdir()
            (partial / _DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
            (partial / _WEIGHTS).write_bytes(to_bytes(weights))
            attach(partial, self.support, self.card)


def attach(
    name: str | Path, support: Support | None = None, card: dict[str, Any] | None = None
) -> Path:
    """Write a description of the training set, a calibration card, or both into a bundle.

    Each file is replaced in one step; what is left out stays as it is. A bundle is named as for
    `load_bundle`; its folder is returned.
    """
    with _folder_of(name) as folder:
        if support is not None:
            write_text(folder / _SUPPORT, json.dumps(support.to_dict()) + "\n")
        if card:
            write_text(folder / _CARD, json.dumps(card, indent=2) + "\n")
        return folder


def shipped_bundles() -> tuple[str, ...]:
    """Names of the bundles in the package's data: a new bundle is a new folder there."""
    return tuple(
        sorted(f.name for f in (files("sedflow_lab.data") / "bundles").iterdir() if f.is_dir())
    )


def load_bundle(name: str | Path, ssp: SSPGrid | None = None) -> tuple[Bundle, SSPGrid]:
    """Read a bundle and the SSP grid that it belongs to.

    Parameters
    ----------
    name : str or path
        A shipped bundle by name, or a folder.
    ssp : SSPGrid, optional
        The grid the bundle was trained with; the shipped one when left out.

    Raises
    ------
    InputError
        If there is no such bundle, it is damaged, of another schema, or of another SSP grid.
    """
    with _folder_of(name) as folder:
        return _read(folder, ssp)


@contextmanager
def _folder_of(name: str | Path) -> Iterator[Path]:
    """The folder of a shipped bundle or, where none has this name, the folder itself."""
    if str(name) in shipped_bundles():
        with as_file(files("sedflow_lab.data") / "bundles" / str(name)) as folder:
            yield folder
    else:
        yield Path(name)


def _read(folder: Path, ssp: SSPGrid | None) -> tuple[Bundle, SSPGrid]:
    path = folder / _DESCRIPTION
    if not path.exists():
        known = ", ".join(shipped_bundles())
        raise InputError(
            f"There is no posterior bundle at {folder}: give a folder written by "
            f"sedflow-lab train, or one of the shipped bundles ({known})."
        )
    try:
        values = json.loads(path.read_text())
        if values.get("schema") != SCHEMA:
            raise InputError(
                f"{folder} is a bundle of schema {values.get('schema')}, but this version of "
                f"sedflow_lab reads schema {SCHEMA}: train it again."
            )
        bands = BandSet.from_json(values["bands"])
        config = values["flow"]
        flow = PosteriorFlow(
            len(bands), FlowConfig(**{**config, "hidden": tuple(config["hidden"])})
        )
        flow.load_state_dict(load_file(folder / _WEIGHTS))
        support_path, card_path = folder / _SUPPORT, folder / _CARD
        bundle = Bundle(
            flow=flow.eval().requires_grad_(False),
            bands=bands,
            prior=values["prior"],
            birth_cloud_age=values["birth_cloud_age"],
            redshift_max=values["redshift_max"],
            ssp_hash=values["ssp_hash"],
            noise=NoiseModel.from_dict(values["noise"]),
            training=values["training"],
            support=Support.from_dict(json.loads(support_path.read_text()))
            if support_path.exists()
            else None,
            card=json.loads(card_path.read_text()) if card_path.exists() else {},
            name=folder.name,
            size=sum(p.stat().st_size for p in folder.iterdir() if p != card_path),
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The bundle {folder} is damaged: {error}") from error
    grid = ssp if ssp is not None else load_ssp_grid()
    if grid.hash != bundle.ssp_hash:
        raise InputError(
            f"The bundle {folder} was trained with the SSP grid {bundle.ssp_hash}, not with "
            f"{grid.hash}: pass the grid it was trained with, or train it again."
        )
    return bundle, grid
