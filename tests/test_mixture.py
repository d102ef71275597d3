"""Student-t mixtures against SciPy, and fits to points whose origin is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import multivariate_t

from sedflow_lab.exact.mixture import StudentMixture
from sedflow_lab.exact.particles import Moves


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
        # Six standard errors: once in 5e8 numbers.
        assert ((ratio.mean(1) - 1).abs() < 6 * ratio.std(1) / 40_000**0.5).all()


def test_fit_finds_separate_groups_and_their_shares():
    generator = torch.Generator().manual_seed(0)
    group = (torch.rand(1, 4000, 1, generator=generator) < 0.25).double()
    points = torch.randn(1, 4000, 3, generator=generator, dtype=torch.float64) * 0.5 + 8 * group
    weights = torch.full((1, 4000), 1 / 4000, dtype=torch.float64)
    fit = StudentMixture.fit(points, weights, generator)
    far = fit.means[0, :, 0] > 4
    # The share of these points, not of all that might have been drawn.
    assert float(fit.weights[0, far].sum()) == pytest.approx(float(group.mean()), abs=1e-3)
    one = StudentMixture.fit(points, weights, generator, components=1)
    assert fit.log_prob(points).mean() > one.log_prob(points).mean() + 0.5


def test_fit_heeds_weights():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 3000, 3, generator=generator)
    # Reweighted to a normal around (0.8, 0, 0) in the second galaxy.
    log_weights = torch.stack([torch.zeros(3000), 0.8 * points[1, :, 0]])
    weights = torch.softmax(log_weights, -1)
    fit = StudentMixture.fit(points, weights, generator, components=2)
    mean = (fit.weights[..., None] * fit.means).sum(1)
    # A fit keeps the weighted mean of its points; that itself scatters by 0.04 around 0.8.
    assert torch.allclose(mean, (weights[..., None] * points).sum(1).to(mean), atol=2e-3)
    assert mean[1, 0] > 0.5


def test_fit_survives_points_in_a_plane_and_copies():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(1, 200, 3, generator=generator)
    points[..., 2] = points[..., 0]
    points[:, 50:] = points[:, :1]
    fit = StudentMixture.fit(points, torch.full((1, 200), 1 / 200), generator)
    assert torch.isfinite(fit.log_prob(points)).all()
    assert torch.isfinite(fit.sample(100, generator)).all()


def _even(points):
    return torch.full_like(points[..., 0], 1 / points.shape[1])


def _is_finite(fit, points):
    drawn = fit.sample(50, torch.Generator().manual_seed(0))
    parts = fit.weights, fit.means, fit.roots, fit.log_prob(points), fit.log_prob(drawn)
    return all(bool(torch.isfinite(part).all()) for part in parts)


def _degenerate(seed, dtype, count, size, where, widths, copies, still):
    """Points of two galaxies: of any widths, away from zero, copies, constant coordinates."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(2, count, size, generator=generator, dtype=torch.float64)
    points[:, count - round(copies * (count - 1)) :] = points[:, :1]
    points = where + points * 10.0 ** torch.tensor(widths[:size], dtype=torch.float64)
    points[..., :still] = where
    return points.to(dtype)


@given(
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    count=st.integers(1, 60),
    size=st.integers(1, 12),
    where=st.sampled_from([0.0, 1.0, -300.0, 1e6]),
    widths=st.lists(st.floats(-9, 6), min_size=12, max_size=12),
    copies=st.sampled_from([0.0, 0.5, 1.0]),
    still=st.integers(0, 12),
    power=st.floats(0, 100),
)
@example(0, torch.float32, 60, 11, 1e6, [3.0] * 12, 1.0, 0, 0.0)  # all equal, far from zero
@example(0, torch.float32, 5, 11, 0.0, [0.0] * 12, 0.0, 0, 0.0)  # fewer than coordinates
@example(0, torch.float32, 60, 3, 100.0, [-6.0] * 12, 0.0, 0, 0.0)  # within their rounding
@example(0, torch.float32, 60, 11, 0.0, [0.0] * 12, 0.0, 0, 15.0)  # one has nearly all weight
def test_fit_takes_whatever_draws_there_are(
    seed, dtype, count, size, where, widths, copies, still, power
):
    points = _degenerate(seed, dtype, count, size, where, widths, copies, still)
    rank = torch.arange(points.shape[1], dtype=points.dtype)
    weights = torch.softmax(-power * rank, 0).expand(points.shape[:2])
    assert _is_finite(StudentMixture.fit(points, weights, torch.Generator()), points)


def test_draws_of_a_fit_to_equal_points_are_around_these():
    points = torch.tensor([3.0, -2000.0, 0.01]).expand(1, 400, 3)
    fit = StudentMixture.fit(points, _even(points), torch.Generator().manual_seed(0))
    drawn = fit.sample(200, torch.Generator().manual_seed(1))
    assert torch.allclose(drawn, points[:, :200], rtol=1e-3)


def test_fit_follows_coordinates_of_very_different_widths():
    generator = torch.Generator().manual_seed(0)
    widths = torch.tensor([1e5, 1.0, 1e-3])
    points = torch.randn(1, 4000, 3, generator=generator) * widths
    fit = StudentMixture.fit(points, _even(points), generator)
    # Of a normal it is 0.67, but the tails are heavier and the variance larger.
    # From so many points and draws it scatters by 0.011: seven standard errors.
    middle = fit.sample(20_000, generator)[0].abs().median(0).values.tolist()
    assert middle == pytest.approx((0.77 * widths).tolist(), rel=0.1)


@pytest.mark.parametrize("width", [0.0, 1e-7, 1e-3])
def test_jumps_to_a_degenerate_fit_leave_a_density_as_it_is(width):
    """A mixture only proposes: normal points stay so, whatever it was fitted to."""
    generator = torch.Generator().manual_seed(0)
    narrow = 0.5 + width * torch.randn(1, 50, 3, generator=generator)
    proposal = StudentMixture.fit(narrow, _even(narrow), generator)
    points = torch.randn(1, 4000, 3, generator=generator)
    moved = Moves(points).move(
        points,
        torch.tensor([0]),
        lambda x: -0.5 * x.square().sum(-1),
        proposal,
        20,
        generator,
        None,
    )
    # Standard errors are 0.016 and 0.011: six of them, once in 5e8 numbers.
    assert moved.mean(1)[0].tolist() == pytest.approx([0.0] * 3, abs=0.1)
    assert moved.std(1)[0].tolist() == pytest.approx([1.0] * 3, abs=0.07)
