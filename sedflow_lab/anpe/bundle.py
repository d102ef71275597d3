"""A trained posterior on disk: weights (safetensors), everything else (JSON), no pickles.

A bundle is a folder with ``bundle.json``, ``weights.safetensors``, a description of the training
set in ``support.json`` and, once it has been judged, a calibration card ``card.json``. It records
what it was trained on and refuses to load against anything else. Checksums tell whether any of it
was changed after it was written.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from .._files import read_json, reading, replacing, write_json
from ..errors import InputError
from ..observations.download import cache_folder
from ..observations.noise import NoiseModel
from ..parameters import get_prior
from ..sps import BandSet, SSPGrid, load_ssp_grid
from .flow import FlowConfig, PosteriorFlow
from .support import Support
from .tensors import digest, load_tensors, save_tensors

__all__ = [
    "FILES",
    "SCHEMA",
    "Bundle",
    "attach",
    "fetched_bundles",
    "load_bundle",
    "open_bundle",
    "shelf",
    "shipped_bundles",
    "shipped_for",
]

SCHEMA = 2
"""Version of the bundle's format; bundles of the first, which had no checksums, are read too."""

_DESCRIPTION, _WEIGHTS = "bundle.json", "weights.safetensors"
_SUPPORT, _CARD = "support.json", "card.json"

FILES = (_DESCRIPTION, _WEIGHTS, _SUPPORT, _CARD)
"""Files of a bundle; the last two may be missing."""


@dataclass(frozen=True)
class Bundle:
    """A trained flow with all that is needed to use it."""

    flow: PosteriorFlow
    bands: BandSet
    prior: str  # its name
    birth_cloud_age: float  # of the SED model [Gyr]
    redshift_max: float  # of the training set
    ssp_hash: str  # identity of the SSP grid
    noise: NoiseModel
    training: dict[str, Any]  # configuration, seeds, losses, time and hardware
    support: Support | None = None  # what the training set looks like
    card: dict[str, Any] = field(default_factory=dict)  # calibration card, empty until it is made
    name: str = ""  # of the shipped bundle or of the folder
    source: str = ""  # what loads it: a name on the shelf, or a folder; "" if it is not from there
    size: int = 0  # bytes on the disk, the card left out; 0 if it is not from there

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
        weights = self.flow.state_dict()
        description = {
            "schema": SCHEMA,
            **self.settings(),
            "flow": self.flow.config.to_dict(),
            "training": self.training,
            "weights": digest(weights),
        }
        with replacing(folder) as partial:
            partial.mkdir()
            write_json(partial / _DESCRIPTION, description)
            save_tensors(partial / _WEIGHTS, weights, {})
            attach(partial, self.support, self.card)


def attach(
    name: str | Path, support: Support | None = None, card: dict[str, Any] | None = None
) -> Path:
    """Write a description of the training set, a calibration card, or both into a bundle.

    Each file is replaced in one step; what is left out stays as it is. A bundle is named as for
    `load_bundle`; its folder is returned.
    """
    with open_bundle(name) as folder:
        if support is not None:
            write_json(folder / _SUPPORT, support.to_dict(), indent=None)
        if card:
            write_json(folder / _CARD, card)
        return folder


def shipped_bundles() -> tuple[str, ...]:
    """Names of the bundles in the package's data: a new bundle is a new folder there."""
    return tuple(
        sorted(f.name for f in (files("sedflow_lab.data") / "bundles").iterdir() if f.is_dir())
    )


def shipped_for(bands: BandSet) -> str | None:
    """Name of the shipped bundle of these bands, if there is one."""
    for name in shipped_bundles():
        with open_bundle(name) as folder:
            known = read_json(folder / _DESCRIPTION, "the bundle", "install the package again")
        if BandSet.from_json(known["bands"]) == bands:
            return name
    return None


def shelf() -> Path:
    """The folder of bundles that were fetched (`shelf.fetch_network`)."""
    return cache_folder() / "networks"


def fetched_bundles() -> tuple[str, ...]:
    """Names of the bundles that were fetched."""
    return tuple(sorted(path.parent.name for path in shelf().glob(f"[!.]*/{_DESCRIPTION}")))


def load_bundle(
    name: str | Path, ssp: SSPGrid | None = None, any_grid: bool = False
) -> tuple[Bundle, SSPGrid]:
    """Read a bundle, by its name if it ships or was fetched or its folder, and its SSP grid.

    The grid is the shipped one when left out. InputError says if there is no such bundle, or it is
    damaged, of another schema, or of another grid, unless any will do.
    """
    with open_bundle(name) as folder:
        return _read(folder, ssp, any_grid)


@contextmanager
def open_bundle(name: str | Path) -> Iterator[Path]:
    """Give the folder of a bundle that ships or was fetched or, where none is so called, itself."""
    if str(name) in shipped_bundles():
        with as_file(files("sedflow_lab.data") / "bundles" / str(name)) as folder:
            yield folder
    elif not os.path.exists(name) and str(name) in fetched_bundles():
        yield shelf() / str(name)
    else:
        yield Path(name)


def _read(folder: Path, ssp: SSPGrid | None, any_grid: bool) -> tuple[Bundle, SSPGrid]:
    path = folder / _DESCRIPTION
    if not os.path.exists(path):  # which pathlib would not ask of a name that is too long
        known = ", ".join((*shipped_bundles(), *fetched_bundles()))
        raise InputError(
            f"There is no posterior bundle at {folder}: give a folder written by "
            f"sedflow-lab train, or one of the networks that are here ({known})."
        )
    what, remedy = "the bundle", "train it again or take another copy"
    values = read_json(path, what, remedy)
    schema = values.get("schema")
    if schema not in (1, SCHEMA):
        raise InputError(
            f"{folder} is a bundle of schema {schema}, but this version of sedflow_lab reads "
            f"schemas up to {SCHEMA}: train it again, or take a newer sedflow_lab."
        )
    if sealed := schema > 1:
        read_json(path, what, remedy, sealed=True)
    with reading(folder, what, remedy):
        weights, _ = load_tensors(folder / _WEIGHTS, "the weights", remedy, sealed=sealed)
        if sealed and digest(weights) != values["weights"]:
            raise ValueError(f"{_WEIGHTS} is of another network")
        bundle = Bundle(
            bands=(bands := BandSet.from_json(values["bands"])),
            flow=_flow(len(bands), values["flow"], weights),
            prior=get_prior(values["prior"]).name,
            birth_cloud_age=_positive(values, "birth_cloud_age"),
            redshift_max=_positive(values, "redshift_max"),
            ssp_hash=str(values["ssp_hash"]),
            noise=NoiseModel.from_dict(values["noise"]),
            training=dict(values["training"]),
            support=_support(folder / _SUPPORT, len(bands), sealed),
            card=_card(folder / _CARD, sealed),
            name=folder.name,
            source=_source(folder),
            size=sum(p.stat().st_size for p in folder.iterdir() if p.name != _CARD),
        )
        if bundle.noise.bands != bands.names:
            raise ValueError("its noise is of other bands")
    of = bundle.card.get("network", None if sealed and bundle.card else bundle.hash)
    if of != bundle.hash:
        raise InputError(
            f"{folder / _CARD} is of the network {of}, not of {bundle.hash}, which is beside it: "
            "delete it, and measure this one with sedflow-lab card."
        )
    grid = ssp if ssp is not None else load_ssp_grid()
    if grid.hash != bundle.ssp_hash and not any_grid:
        raise InputError(
            f"The bundle {folder} was trained with the SSP grid {bundle.ssp_hash}, not with "
            f"{grid.hash}: pass the grid it was trained with (ssp=), or train it again."
        )
    return bundle, grid


def _source(folder: Path) -> str:
    """What loads the bundle of a folder, wherever Python runs: its name on the shelf, or a path."""
    with open_bundle(folder.name) as known:
        on_the_shelf = known.is_absolute() and known == folder
    return folder.name if on_the_shelf else str(folder.absolute())


def _flow(
    n_bands: int, values: Mapping[str, Any], weights: dict[str, torch.Tensor]
) -> PosteriorFlow:
    """The flow of a configuration with these weights, which must be its own to the last."""
    settings: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
    }
    config = FlowConfig(**settings)
    # It has at least so many numbers: compared before memory for as many is asked for.
    least = config.couplings * _fewest(*config.hidden, config.bins)
    least += _fewest(*config.embedding) if config.embedding else 0
    if not 0 < least <= sum(tensor.numel() for tensor in weights.values()):
        raise ValueError("its weights are not those of its flow")
    flow = PosteriorFlow(n_bands, config)
    for name, own in flow.state_dict().items():
        if own.shape != weights[name].shape or own.dtype != weights[name].dtype:
            raise ValueError(f"{name} of its weights has another shape or type")
        if own.dtype == torch.bool and not torch.equal(own, weights[name]):
            raise ValueError(f"{name} of its weights is that of another mask")
    flow.load_state_dict(weights)
    if not (flow.mass_scale > 0 and (flow.features.scale > 0).all()):
        raise ValueError("a scale of its standardisation is not positive")
    return flow.eval().requires_grad_(False)


def _fewest(*layers: int) -> int:
    """Numbers that a network of such layers has at least."""
    if min(layers) < 1:
        raise ValueError("a layer of its flow has no width")
    return sum(a * b for a, b in pairwise((1, *layers)))


def _positive(values: Mapping[str, Any], name: str) -> float:
    if not (isinstance(values[name], int | float) and 0 < values[name] < math.inf):
        raise ValueError(f"{name} is {values[name]!r}")
    return values[name]


def _support(path: Path, n_bands: int, sealed: bool) -> Support | None:
    if not path.exists():
        return None
    what, remedy = "the description of the training set", "train the bundle again"
    values = read_json(path, what, remedy, sealed=sealed)
    with reading(path, what, remedy):
        support = Support.from_dict(values)
        if support.colours.means.shape[1] != n_bands:
            raise ValueError("it is of other bands")
        return support


def _card(path: Path, sealed: bool) -> dict[str, Any]:
    what, remedy = "the calibration card", "delete it, and make it anew with sedflow-lab card"
    return read_json(path, what, remedy, sealed=sealed) if path.exists() else {}
