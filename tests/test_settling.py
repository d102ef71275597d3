"""Particles that settle, and tempered ones, on targets whose evidence and moments are known."""

from __future__ import annotations

import math
import threading

import pytest
import torch

from sedflow_lab.exact.mixture import StudentMixture
from sedflow_lab.exact.settling import settle
from sedflow_lab.exact.smc import tempered_smc


def _reach(n_galaxies, dim, width=2.0):
    """One broad component around zero for each galaxy."""
    eye = torch.eye(dim).expand(n_galaxies, 1, dim, dim)
    return StudentMixture(
        torch.ones(n_galaxies, 1), torch.zeros(n_galaxies, 1, dim), width * eye.clone()
    )


def _run(density, n_galaxies=2, particles=1500, dim=3, seed=0, **options):
    """From points of the reach, whatever their weights should be."""
    generator = torch.Generator().manual_seed(seed)
    reach = _reach(n_galaxies, dim)
    points = reach.sample(4000, generator)
    even = torch.full_like(points[..., 0], 1 / 4000)
    return settle(density, points, even, reach, particles, generator, **options)


def _gaussian(x, mean, sigma):
    z = (x - mean) / sigma
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1) - x.shape[-1] * math.log(sigma)


def _two_modes(x, rows):
    left = _gaussian(x, -1.5, 0.3) + math.log(0.7)
    right = _gaussian(x, 1.5, 0.3) + math.log(0.3)
    return torch.logaddexp(left, right)


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
        assert abs(float(pull)) < 6  # once in 5e8 runs, twice in 1e7 if errors are a tenth low


@pytest.mark.parametrize("dim", [2, 8])
def test_bimodal_keeps_both_modes_in_proportion(dim):
    result = _run(_two_modes, particles=2000, dim=dim)
    assert result.log_evidence.tolist() == pytest.approx([0.0, 0.0], abs=0.2)
    left = (result.points[..., 0] < 0).float().mean(1)
    # Six standard errors of 2,000 draws, or of particles some of which are copies.
    assert left.tolist() == pytest.approx([0.7, 0.7], abs=0.075)


def test_a_mode_that_the_start_hardly_knows_gets_its_weight():
    def density(x, rows):
        far = _gaussian(x, 6.0, 0.5) + math.log(0.5)
        return torch.logaddexp(far, _gaussian(x, 0.0, 0.5) + math.log(0.5))

    result = _run(density, particles=2000, dim=2)
    far = (result.points[..., 0] > 3).float().mean(1)
    assert far.tolist() == pytest.approx([0.5, 0.5], abs=0.075)  # more than six standard errors


def test_banana_keeps_its_curve():
    def density(x, rows):
        across = _gaussian(x[..., :1], 0.0, 1.0)
        return across + _gaussian(x[..., 1:2] - x[..., :1].square() + 1.0, 0.0, 0.2)

    result = _run(density, particles=3000, dim=2)
    x, y = result.points.unbind(-1)
    assert result.log_evidence.tolist() == pytest.approx([0.0, 0.0], abs=0.15)
    assert (y - x.square() + 1).std(1).tolist() == pytest.approx([0.2, 0.2], abs=0.02)
    assert x.std(1).tolist() == pytest.approx([1.0, 1.0], abs=0.1)


def test_seeds_repeat():
    first, second = _run(_two_modes, particles=500), _run(_two_modes, particles=500)
    assert torch.equal(first.points, second.points)
    assert not torch.equal(first.points, _run(_two_modes, particles=500, seed=1).points)


def test_weighted_draws_settle_without_copies_or_bias():
    generator = torch.Generator().manual_seed(0)
    points = 1.5 * torch.randn(1, 4000, 3, generator=generator)
    log_weights = _gaussian(points, 0.5, 0.8) - _gaussian(points, 0.0, 1.5)
    result = settle(
        lambda x, rows: _gaussian(x, 0.5, 0.8),
        points,
        torch.softmax(log_weights, -1),
        _reach(1, 3),
        3000,
        generator,
    )
    assert result.finished.all()
    assert len(torch.unique(result.points[0], dim=0)) > 2970
    # Six standard errors, 0.8 / sqrt(3000) and that over sqrt(2): once in 5e8 runs.
    assert result.points.mean(1)[0].tolist() == pytest.approx([0.5] * 3, abs=0.09)
    assert result.points.std(1)[0].tolist() == pytest.approx([0.8] * 3, abs=0.063)


@pytest.mark.parametrize("draws", [300, 2500])
def test_fewer_or_more_draws_than_particles(draws):
    result = _run(_two_modes, particles=1000, dim=2, draws=draws)
    assert result.points.shape == (2, draws, 2)
    assert len(torch.unique(result.points[0], dim=0)) > 0.97 * draws
    left = (result.points[..., 0] < 0).float().mean(1)
    # Six standard errors of both galaxies, and no more draws are independent than particles.
    error = math.sqrt(0.7 * 0.3 / (2 * min(draws, 1000)))
    assert float(left.mean()) == pytest.approx(0.7, abs=6 * error)


def test_a_run_that_is_stopped_says_so():
    stop = threading.Event()
    calls = []

    def density(x, rows):
        calls.append(1)
        if len(calls) == 20:
            stop.set()
        return _gaussian(x, 1.0, 0.01)

    result = _run(density, stop=stop)
    assert not result.finished.any()
    assert len(calls) < 40


def test_tempered_particles_reach_a_corner_that_the_start_hardly_knows():
    """A narrow peak six from the middle of a unit normal, of known mass, and nothing elsewhere."""

    def density(x, rows):
        return _gaussian(x, 6.0, 0.05) + math.log(7.0)

    generator = torch.Generator().manual_seed(0)
    result = tempered_smc(density, _reach(2, 2, width=1.0), 1500, generator)
    assert result.finished.all()
    # Of 1,500 draws, some of which are copies, a mean is known to 0.0017.
    assert result.points.mean(1).flatten().tolist() == pytest.approx([6.0] * 4, abs=0.012)
    # Of 1,500 draws a deviation is known to 0.0009.
    assert result.points.std(1).flatten().tolist() == pytest.approx([0.05] * 4, abs=0.007)
    pull = (result.log_evidence - math.log(7.0)) / result.log_evidence_error
    assert pull.abs().max() < 7


def test_tempered_particles_keep_modes_in_proportion_and_seeds_repeat():
    def run():
        return tempered_smc(_two_modes, _reach(1, 8), 2000, torch.Generator().manual_seed(3))

    first, second = run(), run()
    assert float((first.points[..., 0] < 0).float().mean()) == pytest.approx(0.7, abs=0.075)
    assert torch.equal(first.points, second.points)
