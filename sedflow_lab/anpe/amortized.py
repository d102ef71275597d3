"""The amortized posterior: from photometry to draws, weighted draws, or exact draws."""

from __future__ import annotations

import threading
import time
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from .._arrays import check_device, to_tensor
from .._keywords import renamed
from .._threads import share_out, workers
from .._version import __version__
from ..errors import InputError
from ..exact.outliers import Outliers
from ..methods import AMORTIZED, RECIPE
from ..observations.photometry import Photometry
from ..parameters import N_THETA, Prior, get_prior
from ..posterior.result import PosteriorResult
from ..sps import BandSet, SEDModel, SSPGrid
from .block import Network, infer_galaxy
from .bundle import Bundle, load_bundle, shipped_for
from .support import SupportScore

if TYPE_CHECKING:
    from sbi.inference.posteriors import DirectPosterior

__all__ = ["AmortizedPosterior", "load_posterior"]

_ROWS = 16_384  # points whose density is found at once


class AmortizedPosterior:
    """Posterior of any galaxy at once, from a trained flow.

    Parameters
    ----------
    bundle : Bundle
    ssp : SSPGrid
        The grid that the bundle was trained with.
    device : str or torch.device
    """

    def __init__(self, bundle: Bundle, ssp: SSPGrid, device: str | torch.device = "cpu") -> None:
        self.bundle = bundle
        self.device = torch.device(device)
        self.flow = bundle.flow.to(self.device).eval()
        self.prior: Prior = get_prior(bundle.prior)
        self._ssp = ssp

    def __repr__(self) -> str:
        return (
            f"<AmortizedPosterior for {self.bands.name}, redshift up to "
            f"{self.bundle.redshift_max:g}, prior {self.prior.name}>"
        )

    @property
    def bands(self) -> BandSet:
        """Bands of the photometry it takes."""
        return self.bundle.bands

    @property
    def card(self) -> dict[str, Any]:
        """Calibration card, how good it was found to be; empty if nobody has measured it."""
        return self.bundle.card

    @cached_property
    def model(self) -> SEDModel:
        """The SED model that the flow was trained on."""
        return SEDModel(
            self.bands,
            birth_cloud_age=self.bundle.birth_cloud_age,
            ssp=self._ssp,
            redshift_max=self.bundle.redshift_max,
            device=self.device,
        )

    @cached_property
    def _network(self) -> Network:
        return Network(self.flow, self.model, self.prior, self.bundle.support)

    @renamed(n="draws")
    def sample(self, photometry: Photometry, draws: int = 1000, seed: int = 0) -> np.ndarray:
        """Draws (N, draws, 12) of the network's posterior of N usable galaxies.

        Each is at a redshift of its own where that is uncertain, which `infer` tells.
        """
        self.check(photometry, "raise")
        network = self._network

        def draw(one: Photometry) -> np.ndarray:
            return network.reported(network.draw(one, draws, network.generator(one, seed)).phi)

        parts = list(share_out(draw, list(photometry), workers()))
        return np.concatenate(parts) if parts else np.empty((0, draws, N_THETA))

    def log_prob(self, photometry: Photometry, theta: Any) -> np.ndarray:
        """Log density (N, D) of the network's posterior of N usable galaxies at theta (N, D, 12).

        The density is in eleven reported coordinates (β4 left out), as is `Prior.log_prob`. It is
        not renormalised for what the network puts beyond the prior's limits on the mass. InputError
        is raised where a redshift is uncertain.
        """
        self.check(photometry, "raise")
        _check_known(photometry)
        phi = self.prior.to_free(np.asarray(theta, dtype=np.float64))
        if phi.ndim != 3 or len(phi) != len(photometry):
            raise InputError(
                f"theta needs the shape ({len(photometry)}, draws, {N_THETA}), not "
                f"{np.shape(theta)}."
            )
        context, offset = self._network.context(photometry)
        x = to_tensor(phi, torch.float32, self.device)
        parts = []
        with torch.no_grad():
            for rows in torch.arange(len(photometry)).split(max(1, _ROWS // phi.shape[1])):
                shape = x[rows].shape[:2]
                c = context[rows][:, None].expand(*shape, -1)
                parts.append(self.flow.log_prob(x[rows], c, offset[rows][:, None].expand(shape)))
        log_q = torch.cat(parts).double().cpu().numpy()
        return log_q - self.prior.log_abs_det_jacobian(phi)

    def support(self, photometry: Photometry) -> SupportScore | None:
        """How odd N usable galaxies are beside the training set; None if it is not described.

        Bands that the network takes for missing are left out.
        """
        self.check(photometry, "raise")
        if self.bundle.support is None:
            return None
        return self.bundle.support(self._network.informative(photometry))

    def suspect_bands(self, photometry: Photometry) -> np.ndarray:
        """Label (N,) of the band without which a galaxy unlike the training set would be like it.

        Empty where there is nothing to blame, or no single band.
        """
        self.check(photometry, "raise")
        if self.bundle.support is None:
            return np.full(len(photometry), "")
        labels = np.array([*self.bands.labels, ""])
        return labels[self.bundle.support.suspect(self._network.informative(photometry))]

    def infer(
        self,
        photometry: Photometry,
        draws: int = 1000,
        method: str = "fast",
        seed: int = 0,
        *,
        outliers: Outliers | None = None,
        refine: bool = True,
        on_bad: str = "raise",
        threads: int | None = None,
        progress: bool = False,
        stop: threading.Event | None = None,
    ) -> PosteriorResult:
        """Infer the posterior of every galaxy.

        Parameters
        ----------
        photometry : Photometry
            N galaxies.
        draws : int
            Draws per galaxy.
        method : str
            ``"fast"`` draws from the network; ``"weighted"`` takes draws of the network and
            points that owe it nothing, with importance weights that correct them to the exact
            posterior; ``"exact"`` gives draws of it; ``"auto"`` is fast, and exact for those
            galaxies whose badge would be ``"refine"``. Where a redshift is uncertain, fast draws
            are at redshifts of its prior, and all others at those of its posterior.
        seed : int
            With the same seed a galaxy gets the same numbers, whatever other galaxies there are,
            in whatever order, and however many threads.
        outliers : Outliers, optional
            Let each band be bad with a small probability, in the likelihood by which draws are
            weighted, moved and judged; the network itself knows nothing of it, so not by
            ``"fast"``. Then ``bad_band`` (B) is among the diagnostics, the probability that
            each of them is.
        refine : bool
            Whether ``"auto"`` makes posteriors exact; else their badge stays ``"refine"``.
        on_bad : str
            What to do about galaxies that cannot be inferred: ``"raise"`` an error, or
            ``"flag"`` them (NaN draws, badge ``"bad photometry"``, the reason in `problems`).
        threads : int, optional
            Galaxies that are inferred at a time, each on one thread; by default as many as there
            are cores that this process may use.
        progress : bool
            Show a progress bar.
        stop : threading.Event, optional
            Set it to end early: galaxies that were not reached are flagged.

        Returns
        -------
        PosteriorResult
            Where redshifts are uncertain, among the diagnostics are ``draw_redshift`` (D), that of
            each draw, and ``redshift_cut``, the share of the normal prior that is beyond the
            network's range, and cut off.

        Raises
        ------
        InputError
            If the bands differ from the network's, or on bad galaxies as `on_bad` says, or if
            `outliers` is given and the method is fast.
        """
        if method not in AMORTIZED:
            raise InputError(
                f"There is no method {method!r}: choose one of {', '.join(AMORTIZED)}."
            )
        if draws < 1:
            raise InputError(f"The number of draws must be positive, it is {draws}.")
        if outliers is not None and method == "fast":
            raise InputError(
                "The network's own draws know nothing of bad bands: choose one of the methods "
                "weighted, exact or auto, or leave out the outliers."
            )
        problems = self.check(photometry, on_bad)
        usable = np.flatnonzero(problems == "")
        result = PosteriorResult.blank(photometry, draws, method, problems)
        result.diagnostics = {
            name: np.full(len(photometry), np.nan)
            for name in ("efficiency", "pareto_k", "distance")
        }
        if photometry.redshift_sigma.any():
            result = result.hold_redshifts()
        started = time.perf_counter()
        work = partial(
            infer_galaxy,
            self._network,
            draws=draws,
            method=method,
            seed=seed,
            stop=stop,
            outliers=outliers,
            refine=refine,
        )
        found = share_out(work, [photometry[int(row)] for row in usable], workers(threads))
        with tqdm(total=len(usable), unit=" galaxies", desc=method, disable=not progress) as bar:
            for row, part in zip(usable, found, strict=True):
                result.put([row], part)
                bar.update(1)
        result.provenance = {
            "method": method,
            "draws": draws,
            "seed": seed,
            "seconds": time.perf_counter() - started,
            "bundle": self.bundle.name,
            "bundle_hash": self.bundle.hash,
            "method_recipe": RECIPE,
            "prior": self.prior.name,
            **self.model.settings(),
            **photometry.settings(),
            **(outliers.settings() if outliers else {}),
            "sedflow_lab": __version__,
        }
        return result

    def to_sbi(self, photometry: Photometry) -> DirectPosterior:
        """The posterior as an object of the `sbi` package, in free coordinates.

        The default observation is the one galaxy of the photometry, whose redshift must be known.
        """
        from .sbi import to_direct_posterior

        self.check(photometry, "raise")
        _check_known(photometry)
        return to_direct_posterior(self.flow, self.model.cosmology, photometry)

    def check(self, photometry: Photometry, on_bad: str = "flag") -> np.ndarray:
        """Reasons (N,) why galaxies cannot be inferred, empty where they can.

        Raises
        ------
        InputError
            If the bands differ from the network's, or for the first bad galaxy where `on_bad` is
            ``"raise"``.
        """
        if on_bad not in ("raise", "flag"):
            raise InputError(f"on_bad must be 'raise' or 'flag', not {on_bad!r}.")
        if photometry.bands != self.bands:
            other = shipped_for(photometry.bands)
            raise InputError(
                f"This posterior is for the bands {', '.join(self.bands.names)}, but the "
                f"photometry has {', '.join(photometry.bands.names)}"
                + (f": take the network {other}, which has them." if other else ".")
            )
        problems = photometry.problems.astype(object)
        for row in np.flatnonzero(photometry.redshift > self.bundle.redshift_max):
            if not problems[row]:
                problems[row] = (
                    f"Galaxy {photometry.ids[row]} (row {photometry.rows[row]}): redshift "
                    f"{photometry.redshift[row]:g} is above the trained range "
                    f"(0, {self.bundle.redshift_max:g}]: leave it out or use another posterior."
                )
        bad = np.flatnonzero(problems != "")
        if len(bad) and on_bad == "raise":
            raise InputError(str(problems[bad[0]]))
        return problems.astype(np.str_) if len(bad) else np.full(len(problems), "", dtype="<U80")


def _check_known(photometry: Photometry) -> None:
    uncertain = np.flatnonzero(photometry.redshift_sigma)
    if len(uncertain):
        raise InputError(
            f"The redshift of galaxy {photometry.ids[uncertain[0]]} is uncertain, and the density "
            "that is asked for is that at a known one: give photometry.with_redshift_sigma(0)."
        )


def load_posterior(
    name: str | Path = "nsa-ugriz",
    *,
    ssp: SSPGrid | None = None,
    device: str | torch.device = "cpu",
) -> AmortizedPosterior:
    """Load a trained posterior: a shipped bundle by name, or a folder.

    Parameters
    ----------
    name : str or path
    ssp : SSPGrid, optional
        The SSP grid that the bundle was trained with; the shipped one when left out.
    device : str or torch.device

    Raises
    ------
    InputError
        If there is no such bundle, or it is damaged or belongs to another SSP grid.
    """
    check_device(str(device))
    bundle, grid = load_bundle(name, ssp)
    return AmortizedPosterior(bundle, grid, device)
