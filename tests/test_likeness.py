"""Simulated galaxies like a catalogue's: chosen by what is observed, so their posteriors stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.anpe import likeness as alike
from sedflow_lab.anpe.features import Seen
from sedflow_lab.anpe.simulate import mock_photometry
from sedflow_lab.parameters import weigh_young_bursts


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture(scope="module")
def likeness(posterior):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "_STEPS", 200)
        patch.setattr(alike, "_SIMULATIONS", 20_000)
        return alike.fit_likeness(posterior, sl.showcase(), 3)


class Redder:
    """Odds that grow with the colour g - r, from a quarter of the most to all of it."""

    def __call__(self, seen):
        return torch.log(alike._MOST * self.chance(seen.flux))

    @staticmethod
    def chance(flux):
        ratio = flux[:, 2] / flux[:, 1].abs().clamp_min(1e-30)
        return 0.25 + 0.75 * torch.sigmoid(4 * (ratio.clamp(-5, 5) - 1.3))


def seen_of(posterior, made):
    measured = (made["redshift"], made["flux"], made["sigma"], made["mask"])
    return Seen.at(*measured, posterior.model.cosmology)


def test_choosing_by_what_is_observed_leaves_the_prior_behind_it(posterior, monkeypatch):
    monkeypatch.setitem(alike._BLOCK, "cpu", 10_000)
    made = alike.simulate_alike(30_000, posterior, Redder(), 5)
    assert made["phi"].shape == (30_000, 1, 11)
    phi = made["phi"][:, 0].double()
    chance = Redder.chance(made["flux"]).double()
    # What was kept with that chance, and weighted for its bursts, is the prior again.
    weights = weigh_young_bursts(phi, alike._YOUNG_BURSTS) / chance
    assert torch.allclose(made["weights"].double(), weights * chance, rtol=1e-3)
    weights = weights / weights.sum()
    size = 1 / weights.square().sum()
    # Six standard errors in 20 numbers: a false alarm in 2e-8 of the seeds.
    mean, square = (weights @ phi[:, 1:] ** power for power in (1, 2))
    assert (mean.abs() < 6 / size.sqrt()).all()
    assert ((square - 1).abs() < 6 * (2 / size).sqrt()).all()
    # Without the chance it is not: redder galaxies are older, dustier or richer in metals.
    assert (phi[:, 1:].mean(0).abs() > 10 / len(phi) ** 0.5).any()


def test_a_catalogues_galaxies_are_told_from_the_priors(posterior, likeness):
    catalogue = Seen.of(sl.showcase(), posterior.model.cosmology)
    made = alike.simulate_alike(300, posterior, likeness, 1)
    with torch.no_grad():
        real, chosen = likeness(catalogue), likeness(seen_of(posterior, made))
        mocks, _ = mock_photometry(posterior.model, posterior.prior, posterior.bundle.noise, 300)
        prior = likeness(Seen.of(mocks, posterior.model.cosmology))
    # In these units a galaxy that is as common in both has 0.
    assert real.median() > 2 and chosen.median() > 1 and prior.median() < 0
    assert (made["weights"] > 0).all() and made["weights"].max() <= alike._HEAVIEST / 0.75
    again = alike.simulate_alike(300, posterior, likeness, 1)
    assert all(torch.equal(made[name], again[name]) for name in made)


def test_brightness_does_not_count(posterior, likeness):
    seen = Seen.of(sl.showcase(), posterior.model.cosmology)
    brighter = seen._replace(flux=100 * seen.flux, sigma=100 * seen.sigma)
    with torch.no_grad():
        assert torch.allclose(likeness(seen), likeness(brighter), atol=1e-3)


def test_catalogues_that_cannot_be_imitated_are_refused(posterior, likeness, monkeypatch):
    monkeypatch.setitem(alike._BLOCK, "cpu", 20_000)
    galaxies = sl.showcase()[:3]
    mask = galaxies.mask.copy()
    mask[:, 0] = False
    without = sl.Photometry(
        galaxies.flux, galaxies.sigma, galaxies.redshift, bands=galaxies.bands, mask=mask
    )
    with pytest.raises(sl.InputError, match="No galaxy of the catalogue has all bands"):
        alike.fit_likeness(posterior, without, 0)

    def nowhere(seen):
        return torch.full_like(seen.redshift, -np.inf)

    with pytest.raises(sl.InputError, match="Of 20,000 simulated galaxies 0 look like"):
        alike.simulate_alike(10, posterior, nowhere, 0)
