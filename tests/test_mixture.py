"""Student-t mixtures against SciPy, and fits to points whose origin is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from sedflow_lab.exact.mixture import StudentMixture


def _mixture(seed=0, galaxies=2, components=3, size=4):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(components), galaxies)
    means = rng.normal(size=(galaxies, components, size))
    roots = np.tril(0.3 * rng.normal(size=(galaxies, components, size, size)))
    roots[..., range(size), range(size)] = rng.uniform(0.5, 1.5, (galaxies, components, size))
    return StudentMixture(*(torch.tensor(a, dtype=torch.float64) for a in (weights, means, roots)))


def test_density_is_that_of_scipy():
    mixture = _mixture()
    x = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = mixture.log_prob(x)
    for g in range(2):
        density = sum(
            float(w) * multivariate_t(m.numpy(), (r @ r.T).numpy(), df=6).pdf(x[g].numpy())
            for w, m, r in zip(mixture.weights[g], mixture.means[g], mixture.roots[g], strict=True)
        )
        assert got[g].numpy() == pytest.approx(np.log(density), abs=1e-10)


def test_draws_follow_the_density():
    # The mean of another density over this one, over draws from this one, is one.
    mixture, other = _mixture(size=2), _mixture(seed=1, size=2)
    broad = mixture.add(other, 0.5)
    x = broad.sample(40_000, torch.Generator().manual_seed(2))
    for part in (mixture, other):
        ratio = torch.exp(part.log_prob(x) - broad.log_prob(x))
        assert ratio.mean(1).tolist() == pytest.approx([1.0, 1.0], abs=0.02)


def test_fit_finds_separate_groups_and_their_shares():
    generator = torch.Generator().manual_seed(0)
    group = (torch.rand(1, 4000, 1, generator=generator) < 0.25).double()
    points = torch.randn(1, 4000, 3, generator=generator, dtype=torch.float64) * 0.5 + 8 * group
    weights = torch.full((1, 4000), 1 / 4000, dtype=torch.float64)
    fit = StudentMixture.fit(points, weights, generator)
    far = fit.means[0, :, 0] > 4
    assert float(fit.weights[0, far].sum()) == pytest.approx(0.25, abs=0.02)
    one = StudentMixture.fit(points, weights, generator, components=1)
    assert fit.log_prob(points).mean() > one.log_prob(points).mean() + 0.5


def test_fit_heeds_weights():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 3000, 3, generator=generator)
    # Reweighted to a normal around (0.8, 0, 0) in the second galaxy.
    log_weights = torch.stack([torch.zeros(3000), 0.8 * points[1, :, 0]])
    fit = StudentMixture.fit(points, torch.softmax(log_weights, -1), generator, components=2)
    mean = (fit.weights[..., None] * fit.means).sum(1)
    assert mean[0].tolist() == pytest.approx([0, 0, 0], abs=0.08)
    assert mean[1].tolist() == pytest.approx([0.8, 0, 0], abs=0.12)


def test_fit_survives_points_in_a_plane_and_copies():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(1, 200, 3, generator=generator)
    points[..., 2] = points[..., 0]
    points[:, 50:] = points[:, :1]
    fit = StudentMixture.fit(points, torch.full((1, 200), 1 / 200), generator)
    assert torch.isfinite(fit.log_prob(points)).all()
    assert torch.isfinite(fit.sample(100, generator)).all()
