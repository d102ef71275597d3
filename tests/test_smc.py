"""Tempered SMC on targets whose evidence and moments are known."""

from __future__ import annotations

import math

import pytest
import torch

from sedflow_lab.smc import tempered_smc


def _run(log_density, n_galaxies=2, particles=1500, dim=3, seed=0):
    """Carry standard normal particles to a density given up to nothing: its evidence is known."""

    def transport(latent, rows):
        log_normal = -0.5 * (latent.square() + math.log(2 * math.pi)).sum(-1)
        return latent.clone(), log_density(latent, rows) - log_normal

    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(n_galaxies, particles, dim, generator=generator)
    return tempered_smc(transport, latent, generator)


def _gaussian(x, mean, sigma):
    z = (x - mean) / sigma
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1) - x.shape[-1] * math.log(sigma)


def test_gaussians_give_their_moments_and_evidence():
    means = torch.tensor([1.0, -2.0])
    scales = torch.tensor([3.0, 1 / 7.0])

    def density(x, rows):
        return _gaussian(x, means[rows][:, None, None], 0.3) + torch.log(scales[rows])[:, None]

    result = _run(density)
    assert result.finished.all()
    assert result.points.mean((1, 2)) == pytest.approx(means.tolist(), abs=0.04)
    assert result.points.std(1).mean(1) == pytest.approx([0.3, 0.3], abs=0.03)
    for k in range(2):
        pull = (result.log_evidence[k] - math.log(scales[k])) / result.log_evidence_error[k]
        assert abs(float(pull)) < 4


def test_bimodal_keeps_both_modes_in_proportion():
    def density(x, rows):
        left = _gaussian(x, -1.5, 0.3) + math.log(0.7)
        right = _gaussian(x, 1.5, 0.3) + math.log(0.3)
        return torch.logaddexp(left, right)

    result = _run(density, particles=4000, dim=2)
    assert result.log_evidence.tolist() == pytest.approx([0.0, 0.0], abs=0.25)
    left = (result.points[..., 0] < 0).float().mean(1)
    assert left.tolist() == pytest.approx([0.7, 0.7], abs=0.1)


def test_banana_keeps_its_curve():
    def density(x, rows):
        across = _gaussian(x[..., :1], 0.0, 1.0)
        return across + _gaussian(x[..., 1:2] - x[..., :1].square() + 1.0, 0.0, 0.2)

    result = _run(density, particles=3000, dim=2)
    x, y = result.points.unbind(-1)
    assert result.log_evidence.tolist() == pytest.approx([0.0, 0.0], abs=0.25)
    assert (y - x.square() + 1).std(1).tolist() == pytest.approx([0.2, 0.2], abs=0.03)
    assert x.std(1).tolist() == pytest.approx([1.0, 1.0], abs=0.12)


def test_a_perfect_start_takes_one_temperature_and_seeds_repeat():
    def density(x, rows):
        return _gaussian(x, 0.0, 1.0)

    first, second = _run(density, seed=3), _run(density, seed=3)
    assert first.temperatures.tolist() == [1, 1]
    assert first.log_evidence.tolist() == pytest.approx([0, 0], abs=1e-5)
    assert torch.equal(first.points, second.points)
