from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sedflow_lab.errors import InputError
from sedflow_lab.parameters import (
    FREE_NAMES,
    N_FREE,
    N_THETA,
    NAMES,
    PARAMETERS,
    PRIORS,
    add_young_bursts,
    get_prior,
    weigh_young_bursts,
)

LOW = np.array([p.low for p in PARAMETERS])
HIGH = np.array([p.high for p in PARAMETERS])


@pytest.fixture(scope="module", params=sorted(PRIORS))
def prior(request):
    return get_prior(request.param)


def free_points(limit):
    """Strategy: free coordinates (11,) with probits up to `limit`."""
    probits = arrays(np.float64, N_FREE - 1, elements=st.floats(-limit, limit))
    return st.tuples(st.floats(7.0, 12.5), probits).map(lambda x: np.concatenate([[x[0]], x[1]]))


@st.composite
def thetas(draw):
    """Reported parameters (12,) anywhere in the prior, its faces, edges and corners included."""
    unit = arrays(np.float64, N_THETA, elements=st.floats(0, 1) | st.sampled_from([0.0, 1.0]))
    u = draw(unit)
    theta = LOW + u * (HIGH - LOW)
    weights = u[1:5] if u[1:5].sum() > 0 else np.array([0.0, 0.0, 1.0, 0.0])
    theta[1:5] = weights / weights.sum()
    return theta


def test_order_and_limits_are_those_of_the_paper():
    assert NAMES == (
        *("log_mstar", "beta1", "beta2", "beta3", "beta4", "fburst", "tburst"),
        *("log_gamma1", "log_gamma2", "tau_bc", "tau_ism", "n_dust"),
    )
    assert (len(NAMES), len(FREE_NAMES)) == (N_THETA, N_FREE) == (12, 11)
    limits = {p.name: (p.low, p.high) for p in PARAMETERS}
    assert limits["log_mstar"] == (7.0, 12.5)
    assert limits["tburst"] == (0.01, 13.27)
    assert limits["n_dust"] == (-2.0, 1.0)
    assert 10 ** limits["log_gamma2"][0] == pytest.approx(4.5e-5)
    assert 10 ** limits["log_gamma2"][1] == pytest.approx(1.5e-2)


@settings(deadline=None)
@given(phi=free_points(6.0))
def test_free_coordinates_come_back(phi):
    for name in PRIORS:
        prior = get_prior(name)
        np.testing.assert_allclose(prior.to_free(prior.from_free(phi)), phi, atol=2e-6)


@settings(deadline=None)
@given(phi=free_points(3.0))
def test_free_coordinates_come_back_in_single_precision(phi):
    phi = torch.tensor(phi, dtype=torch.float32)
    for name in PRIORS:
        prior = get_prior(name)
        back = prior.to_free(prior.from_free(phi))
        assert back.dtype == torch.float32
        torch.testing.assert_close(back, phi, atol=2e-3, rtol=0)


@settings(deadline=None)
@given(theta=thetas())
def test_parameters_come_back_even_from_the_edges(theta):
    for name in PRIORS:
        prior = get_prior(name)
        phi = prior.to_free(theta)
        assert np.isfinite(phi).all()
        # Probits end at 8: a millionth of a billionth of the prior, 1e-5 in a weight's cube root.
        atol = np.where(["beta" in n for n in NAMES], 2e-5, 2e-12)
        assert (np.abs(prior.from_free(phi) - theta) <= atol).all()
        single = torch.tensor(theta, dtype=torch.float32)
        back = prior.from_free(prior.to_free(single))
        torch.testing.assert_close(back, single, atol=2e-5, rtol=0)


@settings(deadline=None)
@given(phi=free_points(40.0))
def test_nothing_leaks_out_of_the_prior(phi):
    for name in PRIORS:
        for dtype in (torch.float32, torch.float64):
            theta = get_prior(name).from_free(torch.tensor(phi, dtype=dtype)).double().numpy()
            assert (theta >= LOW - 1e-6).all() and (theta <= HIGH + 1e-6).all()
            assert theta[1:5].sum() == pytest.approx(1.0, abs=1e-6)


def test_jacobian_is_the_one_of_the_transform(prior):
    phi = prior.sample_free(8, torch.Generator().manual_seed(3)).double()
    for point in phi:
        matrix = torch.autograd.functional.jacobian(prior.from_free, point)
        free = torch.cat([matrix[:4], matrix[5:]])  # without beta4
        expected = torch.linalg.slogdet(free)[1]
        torch.testing.assert_close(prior.log_abs_det_jacobian(point), expected)


@settings(deadline=None)
@given(phi=free_points(5.0))
def test_densities_agree_in_both_coordinates(phi):
    for name in PRIORS:
        prior = get_prior(name)
        expected = prior.log_prob_free(phi) - prior.log_abs_det_jacobian(phi)
        assert prior.log_prob(prior.from_free(phi)) == pytest.approx(expected, abs=1e-5)


def test_flat_dirichlet_has_one_density_everywhere():
    prior = get_prior("flat-dirichlet")
    box = np.delete(HIGH - LOW, [1, 2, 3, 4])
    # A simplex of three free weights has the volume 1/3!.
    expected = math.log(6) - np.log(box).sum()
    theta = prior.sample(500, seed=4)
    theta[0, 1:5], theta[1, 1:5] = [1, 0, 0, 0], [0, 0, 0, 1]
    np.testing.assert_allclose(prior.log_prob(theta), expected, atol=1e-6)


def test_free_density_is_normalised(prior):
    # Uniform in the mass, standard normal in the rest.
    grid = np.linspace(7.0, 12.5, 11)
    phi = np.zeros((11, N_FREE))
    phi[:, 0] = grid
    expected = -math.log(5.5) - 5 * math.log(2 * math.pi)
    np.testing.assert_allclose(prior.log_prob_free(phi), expected)
    phi[0, 0], phi[1, 0], phi[2, 1] = 6.999, 12.501, 3.0
    values = prior.log_prob_free(phi)
    assert np.isneginf(values[:2]).all()
    assert values[2] == pytest.approx(expected - 4.5)


@pytest.mark.parametrize(
    ("name", "means"),
    [("flat-dirichlet", [0.25] * 4), ("stick-breaking", [0.5, 0.25, 0.125, 0.125])],
)
def test_mean_weights(name, means):
    theta = get_prior(name).sample(200_000, seed=5)
    # Six standard errors of weights that scatter by less than 0.3: once in 5e8 numbers.
    np.testing.assert_allclose(theta[:, 1:5].mean(0), means, atol=6 * 0.3 / math.sqrt(200_000))
    np.testing.assert_allclose(theta[:, 1:5].sum(1), 1.0, atol=1e-12)


def test_flat_dirichlet_weights_follow_its_marginal_distribution():
    beta = get_prior("flat-dirichlet").sample(100_000, seed=6)[:, 1:5]
    for column in beta.T:
        # Beta(1, 3): P(beta < b) = 1 - (1 - b)^3.
        for b in (0.05, 0.2, 0.5, 0.8):
            p = 1 - (1 - b) ** 3
            # Six standard errors: once in 5e8 numbers, and there are 16.
            assert np.mean(column < b) == pytest.approx(p, abs=6 * math.sqrt(p * (1 - p) / 1e5))


def test_other_parameters_are_uniform(prior):
    theta = prior.sample(100_000, seed=7)
    for k in (0, *range(5, 12)):
        u = (theta[:, k] - LOW[k]) / (HIGH[k] - LOW[k])
        # Six standard errors: once in 5e8 numbers, and there are 80.
        np.testing.assert_allclose(
            np.histogram(u, 10, (0, 1))[0] / len(u), 0.1, atol=6 * math.sqrt(0.09 / 1e5)
        )


def test_samples_follow_the_seed(prior):
    np.testing.assert_array_equal(prior.sample(5, seed=1), prior.sample(5, seed=1))
    assert not np.array_equal(prior.sample(5, seed=1), prior.sample(5, seed=2))
    assert not np.array_equal(prior.sample(5, seed=None), prior.sample(5, seed=None))


def test_kinds_and_shapes_are_kept(prior):
    theta = prior.sample(6).reshape(2, 3, 12)
    phi = prior.to_free(theta)
    assert isinstance(phi, np.ndarray) and phi.shape == (2, 3, 11)
    assert prior.log_prob(theta).shape == prior.log_prob_free(phi).shape == (2, 3)
    tensor = prior.from_free(torch.tensor(phi, dtype=torch.float32))
    assert tensor.shape == (2, 3, 12) and tensor.dtype == torch.float32
    assert isinstance(prior.log_prob(tensor), torch.Tensor)


def test_outside_the_prior_has_no_density(prior):
    theta = prior.sample(4, seed=8)
    theta[0, 0], theta[1, 9], theta[2, 1] = 6.0, 3.1, theta[2, 1] + 0.01
    values = prior.log_prob(theta)
    assert np.isneginf(values[:3]).all() and np.isfinite(values[3])


def test_bad_input_is_named(prior):
    theta = prior.sample(3)
    with pytest.raises(InputError, match=r"parameters need 12 values .* \(3, 11\)"):
        prior.to_free(theta[:, :11])
    with pytest.raises(InputError, match="free coordinates need 11 values"):
        prior.from_free(theta)
    high = theta.copy()
    high[1, 10] = 3.5
    with pytest.raises(InputError, match=r"Row 1: tau_ism = 3\.5 is outside its prior \[0, 3\]"):
        prior.to_free(high)
    unequal = theta.copy()
    unequal[2, 1:5] = 0.3
    with pytest.raises(InputError, match=r"Row 2: beta1\.\.beta4 sum to 1\.2"):
        prior.to_free(unequal)
    undefined = theta.copy()
    undefined[0, 5] = np.nan
    with pytest.raises(InputError, match="Row 0: fburst = nan"):
        prior.to_free(undefined)
    with pytest.raises(InputError, match="no prior 'flat'"):
        get_prior("flat")


def test_weights_make_draws_with_young_bursts_those_of_the_prior():
    generator = torch.Generator().manual_seed(4)
    phi = get_prior().sample_free(200_000, generator)
    burst = FREE_NAMES.index("tburst")
    for share in (0.25, 0.5):
        changed = add_young_bursts(phi, share, generator)
        weights = weigh_young_bursts(changed, share)
        assert weights.max() <= 1 / (1 - share)
        # Six standard errors, at least, of weights that are no more than 2.
        assert float(weights.mean()) == pytest.approx(1.0, abs=0.01)
        # Weighted, the burst's probit is standard normal again; the other coordinates are.
        x = changed[:, burst].double()
        assert float((weights * x).mean()) == pytest.approx(0.0, abs=0.02)
        assert float((weights * x.square()).mean()) == pytest.approx(1.0, abs=0.03)
        assert torch.equal(changed[:, :burst], phi[:, :burst])
        # A factor of ten in age is as long as any other in the logarithm.
        young = get_prior().from_free(changed.double().numpy())[:, NAMES.index("tburst")] < 0.1
        expected = share * np.log(10) / np.log(1327) + (1 - share) * 0.09 / 13.26
        assert young.mean() == pytest.approx(expected, abs=0.006)


def test_density_with_young_bursts_integrates_to_one():
    x = torch.linspace(-8, 8, 400_001, dtype=torch.float64)
    phi = torch.zeros(len(x), N_FREE, dtype=torch.float64)
    phi[:, FREE_NAMES.index("tburst")] = x
    normal = torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)
    for share in (0.0, 0.25, 0.9):
        density = normal / weigh_young_bursts(phi, share)
        assert float(torch.trapezoid(density, x)) == pytest.approx(1.0, abs=1e-6)
