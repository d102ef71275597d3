"""Exact draws where the answer is known: toy posteriors, and emcee on real galaxies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.anpe.trust import pareto_k
from sedflow_lab.diagnostics.comparison import Draws, js_distance
from sedflow_lab.exact.draws import sample_exact
from sedflow_lab.exact.profile import MassProfile

WIDTH = 0.05  # of the mass, as a fraction: a signal-to-noise ratio of 20


class _Toy:
    """Stands in for a `LogPosterior`: the best mass and the likelihood of φ1 are known.

    The likelihood is Gaussian in the mass, around 10^10 M☉ whatever φ, and has two peaks in φ1,
    at -2 and 2, of which the second holds three times as much of the posterior.
    """

    def __init__(self, n: int) -> None:
        self.prior = sl.get_prior()
        self.n = n

    def select(self, rows: torch.Tensor) -> _Toy:
        return _Toy(len(rows))

    @property
    def signal_to_noise(self) -> torch.Tensor:
        return torch.full((self.n,), 1 / WIDTH)

    def profile(self, phi: torch.Tensor) -> MassProfile:
        x = phi[..., 1]
        # Likelihood times the normal prior of φ1 is the mixture of two peaks.
        peaks = torch.logaddexp(
            np.log(0.25) - 0.5 * ((x + 2) / 0.3).square(),
            np.log(0.75) - 0.5 * ((x - 2) / 0.3).square(),
        )
        one = torch.ones_like(x)
        return MassProfile(one, one / WIDTH**2, peaks + 0.5 * x.square())

    def log_weights(self, phi: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
        log_likelihood = self.profile(phi).log_likelihood(phi[..., 0])
        return self.prior.log_prob_free(phi) + log_likelihood - log_q


def _draws(n, size, seed=0, centre=0.0, spread=1.0):
    """From an approximation that is right in all but φ1."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, size, 11, generator=generator)
    log_q = -0.5 * z.square().sum(-1) - 5.5 * np.log(2 * np.pi)
    phi = z.clone()
    phi[..., 0] = 10 + z[..., 0] * WIDTH / np.log(10)
    phi[..., 1] = centre + spread * z[..., 1]
    return phi, log_q - np.log(WIDTH / np.log(10)) - np.log(spread)


@pytest.mark.parametrize(
    ("centre", "spread", "tempered"),
    # One that covers both peaks; one that knows but one peak and does not know it; a bad one.
    [(0.5, 2.2, False), (-2.0, 0.35, False), (-1.0, 0.1, True)],
    ids=["good", "one peak", "bad"],
)
def test_toy_posterior_is_met_whatever_the_network_knew(centre, spread, tempered):
    exact = _Toy(2)
    phi, log_q = _draws(2, 3000, centre=centre, spread=spread)
    log_weights = exact.log_weights(phi, log_q)
    k = pareto_k(log_weights)
    result = sample_exact(exact, phi, log_weights, k, 1000, torch.Generator().manual_seed(1))
    assert result.finished.all()
    assert ((result.temperatures > 1) == tempered).all()
    right = (result.phi[..., 1] > 0).float().mean(1)
    assert right.tolist() == pytest.approx([0.75, 0.75], abs=0.06)
    upper = result.phi[..., 1][result.phi[..., 1] > 0]
    assert [float(upper.mean()), float(upper.std())] == pytest.approx([2.0, 0.3], abs=0.05)
    mass = (10.0 ** (result.phi[..., 0] - 10)).std(1)
    assert mass.tolist() == pytest.approx([WIDTH] * 2, rel=0.1)
    rest = result.phi[..., 2:]
    assert float(rest.mean()) == pytest.approx(0, abs=0.03)
    assert float(rest.std()) == pytest.approx(1, abs=0.03)
    # Peaks hold 0.3 of what a unit normal does; the mass, its width over the prior's 5.5 dex.
    known = np.log(0.3) + np.log(np.sqrt(2 * np.pi) * WIDTH / np.log(10) / 5.5)
    pull = (result.log_evidence - known) / result.log_evidence_error
    assert pull.abs().max() < 5


@pytest.mark.parametrize("nsaid", ["82151", "15185"])
def test_galaxies_that_the_network_finds_hard_agree_with_emcee(nsaid):
    galaxies = sl.showcase()
    one = galaxies[np.asarray(galaxies.ids).astype(str) == nsaid]
    posterior = sl.load_posterior()
    exact = posterior.infer(one, 1000, "exact", seed=1)
    chain = sl.run_mcmc(one, seed=0, start="prior", draws=4000)
    assert chain.badge[0] == "converged"
    reference = chain.samples[0]
    got, wanted = Draws(exact.samples[0]), Draws(reference)
    # Two sets of a thousand independent draws are up to 0.12 apart.
    assert js_distance(got, wanted).max() < 0.14
    shift = np.median(exact.samples[0], axis=0) - np.median(reference, axis=0)
    assert np.abs(shift / reference.std(axis=0)).max() < 0.35
