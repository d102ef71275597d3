r"""Simulated galaxies that look like those of a catalogue: exact lessons that cost nothing.

A simulated galaxy comes with a draw of its own exact posterior: its true parameters. Choosing
simulations by what is observed of them leaves p(θ | x) as it is,

.. math:: p(\theta, x)\, a(x) \propto p(\theta \mid x)\, [p(x)\, a(x)],

so simulations may be kept as often as they look like real galaxies. How often that is, the odds
p_catalogue(x) / p(x), a small classifier tells (Cranmer, Pavez & Louppe 2015, arXiv:1506.02169).
If it is wrong, the network learns other galaxies better than those of the catalogue, but nothing
wrong of any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from zuko.nn import MLP

from ..errors import InputError
from ..observations.photometry import Photometry
from ..parameters import weigh_young_bursts
from .features import Features, Seen
from .simulate import draw_simulations

if TYPE_CHECKING:
    from .amortized import AmortizedPosterior

__all__ = ["Likeness", "fit_likeness", "simulate_alike", "vary"]

_YOUNG_BURSTS = 0.25  # share of the simulations, undone by weights
_MOST = 50.0  # times that galaxies are more common in lessons than in the prior
_HEAVIEST = 10.0  # weight of galaxies for which that is not enough
_BLOCK = {"cpu": 50_000, "cuda": 2_000_000}  # simulations at a time
_FEWEST = 1e-4  # of the simulations, among the lessons
_SIMULATIONS, _COPIES = 100_000, 16
_STEPS, _BATCH = 3000, 1024
_NOISE = 0.7  # of the measured uncertainties, added to fluxes that have theirs already
_SIGMA_SCATTER = 0.1  # in ln σ, of all bands together and of each
_REDSHIFT_SCATTER = 0.07  # in ln z
_INCOMPLETE = 0.1  # galaxies from which a band is hidden


class Likeness(torch.nn.Module):
    """The odds that a galaxy is of a catalogue and not of the prior, from all but its brightness.

    Parameters
    ----------
    features : Features
        Standardised.
    """

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features = features
        self.network = MLP(features.size, 1, (64, 64), activation=torch.nn.SiLU)

    def forward(self, seen: Seen) -> torch.Tensor:
        """Log odds (N,), as many galaxies given of the one as of the other."""
        x, _ = self.features(seen)
        x[:, self.features.n_bands] = 0.0
        return self.network(x)[:, 0]


def vary(photometry: Photometry, rng: np.random.Generator, redshift_max: float) -> Photometry:
    """Galaxies like those of a catalogue: other noise, uncertainties, distances, missing bands.

    Parameters
    ----------
    photometry : Photometry
        G usable galaxies.
    rng : numpy.random.Generator
    redshift_max : float

    Returns
    -------
    Photometry
        G galaxies.
    """
    shape = photometry.flux.shape
    scatter = rng.normal(size=(shape[0], 1)) + rng.normal(size=shape)
    flux = photometry.flux + _NOISE * photometry.sigma * rng.normal(size=shape)
    redshift = photometry.redshift * np.exp(_REDSHIFT_SCATTER * rng.normal(size=shape[0]))
    chosen = (rng.random(shape[0]) < _INCOMPLETE) & (photometry.mask.sum(1) > 2)
    hidden = chosen[:, None] & (rng.random(shape).argsort(1) == 0)
    return Photometry(
        flux,
        photometry.sigma * np.exp(_SIGMA_SCATTER * scatter),
        np.minimum(redshift, redshift_max),
        bands=photometry.bands,
        ids=photometry.ids,
        mask=photometry.mask & ~hidden,
    )


def fit_likeness(posterior: AmortizedPosterior, photometry: Photometry, seed: int) -> Likeness:
    """Teach a classifier what galaxies of a catalogue look like.

    Parameters
    ----------
    posterior : AmortizedPosterior
        Its simulations are what they are compared with.
    photometry : Photometry
        Usable galaxies; those that lack a band are left out.
    seed : int
    """
    whole = photometry[photometry.mask.all(1)]
    if len(whole) == 0:
        raise InputError("No galaxy of the catalogue has all bands: others cannot be simulated.")
    device, bundle, cosmology = posterior.device, posterior.bundle, posterior.model.cosmology
    rng = np.random.default_rng(seed)
    copies = [
        Seen.of(vary(whole, rng, bundle.redshift_max), cosmology, device) for _ in range(_COPIES)
    ]
    real = Seen(*(torch.cat(columns) for columns in zip(*copies, strict=True)))
    real = real.rows(real.mask.all(1))
    generator = torch.Generator(device).manual_seed(seed)
    _, z, f = draw_simulations(posterior.model, posterior.prior, _SIMULATIONS, generator)
    made = Seen.at(z, *bundle.noise.observe(f, generator), torch.ones_like(f) > 0, cosmology)
    kind: dict[str, Any] = {"generator": generator, "device": device}
    torch.manual_seed(seed)
    likeness = Likeness(posterior.flow.features).to(device)
    network = likeness.network
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    truth = torch.cat([torch.ones(_BATCH), torch.zeros(_BATCH)]).to(device)
    for _ in range(_STEPS):
        which = (
            group.rows(torch.randint(len(group.redshift), (_BATCH,), **kind))
            for group in (real, made)
        )
        odds = likeness(Seen(*(torch.cat(pair) for pair in zip(*which, strict=True))))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(odds, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return likeness.requires_grad_(False)


def simulate_alike(
    n: int, posterior: AmortizedPosterior, likeness: Likeness, seed: int
) -> dict[str, torch.Tensor]:
    """Simulate n galaxies like those of a catalogue, as the tensors of lessons.

    Raises
    ------
    InputError
        If too few simulations are like them.
    """
    device = posterior.device
    generator = torch.Generator(device).manual_seed(seed)
    model, noise = posterior.model, posterior.bundle.noise
    parts: list[list[torch.Tensor]] = []
    kept, made = 0, 0
    while kept < n:
        phi, redshift, flux = draw_simulations(
            model, posterior.prior, _BLOCK[device.type], generator, _YOUNG_BURSTS
        )
        flux, sigma = noise.observe(flux, generator)
        mask = torch.ones_like(flux) > 0
        odds = torch.exp(likeness(Seen.at(redshift, flux, sigma, mask, model.cosmology))) / _MOST
        uniform = torch.rand(len(odds), generator=generator, device=device)
        rows = torch.nonzero(uniform < odds)[:, 0]
        weights = odds[rows].clamp(1.0, _HEAVIEST) * weigh_young_bursts(phi[rows], _YOUNG_BURSTS)
        columns = (phi, flux, sigma, mask, redshift)
        parts.append([*(x[rows].cpu() for x in columns), weights.cpu()])
        kept, made = kept + len(rows), made + len(odds)
        if kept < _FEWEST * made:
            raise InputError(
                f"Of {made:,} simulated galaxies {kept} look like those of the catalogue: is it "
                "of galaxies that the model makes, in the right units?"
            )
    phi, flux, sigma, mask, redshift, weights = (
        torch.cat(part)[:n] for part in zip(*parts, strict=True)
    )
    return {
        "phi": phi[:, None],
        "flux": flux,
        "sigma": sigma,
        "mask": mask,
        "redshift": redshift,
        "weights": weights,
    }
