"""What each method makes of a galaxy: draws, weights, and how far to trust them."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..exact.defensive import Drawn, defend
from ..exact.draws import nearest_chi2, sample_exact
from ..exact.likelihood import LogPosterior
from ..exact.outliers import Outliers
from ..exact.redshift import RedshiftPrior, log_normal
from ..exact.ridge import StraightRidge
from ..exact.weights import effective_sample_size, importance_weights, pareto_k, thin
from ..observations.checks import MIN_BANDS
from ..observations.photometry import Photometry
from ..parameters import N_FREE, PARAMETERS, Prior
from ..posterior.result import PosteriorResult
from ..sps import SEDModel
from ..sps.histories import Cosmology
from .features import Seen
from .flow import PosteriorFlow
from .support import Support
from .trust import badge

__all__ = ["Network", "infer_galaxy"]

_ROUNDS = 60  # of redrawing what fell off the prior on the mass
_HOPELESS_DRAWS, _HOPELESS_SHARE = 1000, 1e-3  # so many, of which less is inside: given up
_TRIAL_DRAWS = 1000  # draws by which the network is judged
_SCATTERED = {"fast": 4096, "weighted": 16_384, "exact": 16_384}  # points that owe it nothing
# Among 4,096 points of the prior the nearest to any of 7,071 real galaxies has χ² below 7,600.
_HOPELESS_CHI2 = 1e6


@dataclass(frozen=True)
class Network:
    """A trained flow, with the physics that it learnt.

    Attributes
    ----------
    flow : PosteriorFlow
    model : SEDModel
    prior : Prior
    support : Support or None
        What its training set looks like.
    """

    flow: PosteriorFlow
    model: SEDModel
    prior: Prior
    support: Support | None

    def context(self, photometry: Photometry) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedded photometry (G, E) and mass offset (G,) of usable galaxies."""
        with torch.no_grad():
            return self.flow.context(self._seen(photometry))

    def informative(self, photometry: Photometry) -> Seen:
        """Usable galaxies as arrays, with the bands that the flow takes for missing masked."""
        seen = self._seen(photometry)
        return seen._replace(mask=self.flow.features.observed(seen)).numpy()

    def generator(self, photometry: Photometry, seed: int) -> torch.Generator:
        """Random numbers of one galaxy: they depend on the seed and on its measurements alone."""
        digest = hashlib.sha256(f"{seed}".encode())
        for array in (photometry.flux, photometry.sigma, photometry.redshift, photometry.mask):
            digest.update(np.ascontiguousarray(array).tobytes())
        if photometry.redshift_sigma.any():
            digest.update(photometry.redshift_sigma.tobytes())
        own = int.from_bytes(digest.digest()[:8], "big") >> 1
        return torch.Generator(device=self.model.device).manual_seed(own)

    def draw(self, photometry: Photometry, draws: int, generator: torch.Generator) -> Drawn:
        """Draws inside the prior, each at a redshift of its own where that is uncertain.

        Redshifts are from their prior: what the photometry tells of them only weights know. What
        falls off the prior on the mass is drawn again, with its redshift. A network that puts
        almost nothing inside is a network that knows nothing of this galaxy: once that is plain,
        or after many rounds, what is left is put on the edge.
        """
        mass = PARAMETERS[0]

        def inside(points: torch.Tensor) -> torch.Tensor:
            return (points[..., 0] >= mass.low) & (points[..., 0] <= mass.high)

        given = _Given.of(self, photometry)
        kind: dict[str, Any] = {"generator": generator, "device": self.model.device}
        with torch.no_grad():
            latent = torch.randn(len(photometry), draws, N_FREE, **kind)
            zeta = given.prior.draw(draws, generator)
            phi, log_q = self.flow.from_latent(latent, *given.at(zeta))
            outside = ~inside(phi)
            drawn = torch.full_like(log_q[:, 0], draws)
            kept = draws - outside.sum(1).to(drawn.dtype)
            for _ in range(_ROUNDS):
                rows = torch.nonzero(outside)[:, 0]
                if len(rows) == 0:
                    break
                latent = torch.randn(len(rows), N_FREE, **kind)
                zeta[outside] = torch.randn(len(rows), zeta.shape[-1], **kind)
                told = given.of_rows(zeta[outside], rows)
                points, density = self.flow.from_latent(latent, *told)
                phi[outside], log_q[outside] = points, density
                good = inside(points)
                drawn = drawn + torch.bincount(rows, minlength=len(drawn))
                kept = kept + torch.bincount(rows[good], minlength=len(drawn))
                outside[outside.clone()] = ~good
                hopeless = (drawn >= _HOPELESS_DRAWS) & (kept < _HOPELESS_SHARE * drawn)
                outside &= ~hopeless[:, None]
        phi[..., 0] = phi[..., 0].clamp(mass.low, mass.high)
        accepted = (kept / drawn).clamp_min(1.0 / (draws * _ROUNDS))
        log_accepted = torch.log(accepted)[:, None]

        def log_density(points: torch.Tensor) -> torch.Tensor:
            zeta = points[..., N_FREE:]
            with torch.no_grad():
                log_q = self.flow.log_prob(points[..., :N_FREE], *given.at(zeta))
            return log_q - log_accepted + log_normal(zeta)

        points = torch.cat([phi, zeta], -1)
        return Drawn(points, log_q - log_accepted + log_normal(zeta), log_density)

    def reported(self, phi: torch.Tensor) -> np.ndarray:
        """Reported parameters (..., 12) of points (..., n_free), in double precision."""
        return self.prior.from_free(phi[..., :N_FREE].double().cpu().numpy())

    def _seen(self, photometry: Photometry) -> Seen:
        return Seen.of(photometry, self.model.cosmology, self.model.device)


@dataclass(frozen=True)
class _Given:
    """What a flow is told of G galaxies, at whatever redshifts they may be.

    Attributes
    ----------
    flow : PosteriorFlow
    seen : Seen
        At the redshifts that were measured.
    known : tuple of tensors, shape (G, E) and (G,)
        Context and mass offset at these.
    prior : RedshiftPrior
    cosmology : Cosmology
    """

    flow: PosteriorFlow
    seen: Seen
    known: tuple[torch.Tensor, torch.Tensor]
    prior: RedshiftPrior
    cosmology: Cosmology

    @classmethod
    def of(cls, network: Network, photometry: Photometry) -> _Given:
        """What a network is told of measured galaxies."""
        model = network.model
        prior = RedshiftPrior(photometry, model.redshift_max, model.device)
        seen, known = network._seen(photometry), network.context(photometry)
        return cls(network.flow, seen, known, prior, model.cosmology)

    def at(self, zeta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Contexts (G, D, E) and offsets (G, D) at coordinates of redshifts (G, D, size).

        Where all are known there is one context a galaxy, (G, 1, E).
        """
        if not self.prior.size:
            context, offset = self.known
            return context[:, None], offset[:, None]
        n, draws = zeta.shape[:2]
        rows = torch.arange(n, device=zeta.device).repeat_interleave(draws)
        told = self.of_rows(zeta.flatten(0, 1), rows)
        context, offset = (x.unflatten(0, (n, draws)) for x in told)
        return context, offset

    def of_rows(self, zeta: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Contexts (n, E) and offsets (n,) of galaxies by their rows, at coordinates (n, size)."""
        if not self.prior.size:
            context, offset = self.known
            return context[rows], offset[rows]
        flux, sigma, mask = self.seen.rows(rows)[:3]
        redshift = self.prior.select(rows).redshift(zeta)[:, 0].to(flux)
        return self.flow.context(Seen.at(redshift, flux, sigma, mask, self.cosmology))


def infer_galaxy(
    network: Network,
    photometry: Photometry,
    draws: int,
    method: str,
    seed: int,
    stop: threading.Event | None,
    outliers: Outliers | None = None,
    refine: bool = True,
) -> PosteriorResult:
    """Posterior of one usable galaxy, whatever other galaxies there are.

    Galaxies are inferred one by one: in a batch the last digits of a matrix product depend on
    its size, and with them what a sampler accepts.
    """
    if stop is not None and stop.is_set():
        return _without(photometry, draws, method, "Stopped before this galaxy was inferred.")
    try:
        if method != "auto":
            return _infer(network, photometry, draws, method, seed, stop, outliers)
        fast = _infer(network, photometry, draws, "fast", seed, stop, outliers)
        if fast.badge[0] != "refine" or not refine or (stop is not None and stop.is_set()):
            return fast
        fast.put([0], _infer(network, photometry, draws, "exact", seed, stop, outliers))
        return fast
    except (RuntimeError, ArithmeticError, ValueError) as error:
        # Arithmetic that breaks down for one galaxy must not take the others along.
        first_line = str(error).strip().partition("\n")[0].rstrip(".")
        reason = (
            f"Galaxy {str(photometry.ids[0])!r} (row {photometry.rows[0]}, counting from 0): the "
            f"posterior could not be computed ({first_line}): check its fluxes, uncertainties, "
            "redshift and their units."
        )
        return _without(photometry, draws, method, reason)


def _infer(
    network: Network,
    photometry: Photometry,
    draws: int,
    method: str,
    seed: int,
    stop: threading.Event | None,
    outliers: Outliers | None,
) -> PosteriorResult:
    generator = network.generator(photometry, seed)
    target = LogPosterior(photometry, network.model, network.prior, outliers)
    # Any flux may be that of a bad band; where all are, the badge says so.
    if method == "exact" and not outliers and (reason := _hopeless(target, photometry, generator)):
        return _without(photometry, draws, method, reason, "model cannot fit")
    n_drawn = {"fast": draws, "weighted": max(draws, _TRIAL_DRAWS), "exact": _TRIAL_DRAWS}[method]
    n_judged = n_drawn if method == "weighted" else min(n_drawn, _TRIAL_DRAWS)
    drawn = network.draw(photometry, n_drawn, generator)
    phi, finished = drawn.phi, None
    ridge = StraightRidge(target)
    with torch.no_grad():
        pool = defend(ridge, drawn.first(n_judged), _SCATTERED[method], generator)
        ratio_weights, _ = importance_weights(pool.log_ratio)
        efficiency = effective_sample_size(ratio_weights) / n_judged
        diagnostics = {
            # Weights of which none is finite say nothing, least of all that all is well.
            "efficiency": torch.where(torch.isfinite(pool.log_evidence), efficiency, 0.0),
            "pareto_k": pareto_k(pool.log_ratio),
            "distance": pool.distance,
        }
        if target.redshift_prior.size:
            diagnostics["redshift_cut"] = target.redshift_prior.cut
        log_evidence = pool.log_evidence
        weights = torch.full((1, draws), 1.0 / draws, device=phi.device)
        ess = torch.full_like(efficiency, draws)
        if method == "weighted":
            rows, weights = (each[None] for each in thin(pool.weights[0], draws, generator))
            phi, ess = pool.phi[:, rows[0]], effective_sample_size(weights)
        elif method == "exact":
            exact = sample_exact(ridge, pool, draws, generator, stop=stop)
            phi, ess, log_evidence = exact.phi, exact.ess, exact.log_evidence
            finished = exact.finished.cpu().numpy()
            for name in ("log_evidence_error", "evaluations"):
                diagnostics[name] = getattr(exact, name)
    samples, redshift = network.reported(phi), target.reported(phi)[1]
    if target.redshift_prior.size:
        diagnostics["draw_redshift"] = redshift
    bad = target.bad_bands(samples, _array(weights), redshift) if outliers else None
    with torch.no_grad():
        judged = phi if method == "weighted" else phi[:, :_TRIAL_DRAWS]
        chi2_min = _array(target.best_chi2(*target.reported(judged)))
    arrays = {name: _array(value) for name, value in diagnostics.items()}
    if network.support is not None:
        arrays["support"] = network.support(network.informative(photometry)).p_value
    if not (np.isfinite(samples).all() and np.isfinite(chi2_min).all()):
        raise ArithmeticError("draws or their likelihood are not finite")
    misfit = chi2_min
    if bad is not None:
        arrays["bad_band"] = bad
        misfit = np.where((bad < 0.5).sum(1) < MIN_BANDS, np.inf, chi2_min)
    words = badge(
        method,
        arrays["distance"],
        misfit,
        photometry.mask.sum(1),
        finished,
        arrays.get("support"),
    )
    return PosteriorResult.of(
        photometry,
        samples,
        method,
        words,
        weights=_array(weights),
        ess=_array(ess),
        chi2_min=chi2_min,
        log_evidence=_array(log_evidence),
        diagnostics=arrays,
    )


def _hopeless(target: LogPosterior, photometry: Photometry, generator: torch.Generator) -> str:
    """Why no parameters come near a galaxy; empty where some may."""
    chi2 = float(nearest_chi2(target, generator))
    if chi2 <= _HOPELESS_CHI2:
        return ""
    return (
        f"Galaxy {str(photometry.ids[0])!r} (row {photometry.rows[0]}, counting from 0): nothing "
        f"in the prior comes near its photometry, in units of its uncertainties (chi-squared "
        f"{chi2:.2g} at best): check its "
        "fluxes, uncertainties, redshift and their units."
    )


def _without(
    photometry: Photometry, draws: int, method: str, reason: str, badge: str = "unfinished"
) -> PosteriorResult:
    return PosteriorResult.blank(photometry, draws, method, np.array([reason]), badge)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.double().cpu().numpy()
