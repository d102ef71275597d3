from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import reference_sed as slow
import torch
from astropy.cosmology import Planck13

from sedflow_lab.errors import InputError
from sedflow_lab.parameters import get_prior
from sedflow_lab.sps import SEDModel
from sedflow_lab.sps.properties import DERIVED, SSFR_FLOOR, derived


@pytest.fixture(scope="module")
def model():
    return SEDModel(dtype=torch.float64)


@pytest.fixture(scope="module")
def galaxies():
    theta = get_prior().sample(60, seed=11)
    redshift = np.random.default_rng(11).uniform(1e-3, 0.2, 60)
    return theta, redshift


def slow_properties(grid, theta, redshift):
    """The same quantities for one galaxy, population by population."""
    age = float(Planck13.age(redshift).value)
    beta, gamma, (fburst, tburst) = theta[1:5], theta[7:9], theta[5:7]
    share = fburst if tburst <= age else 0.0
    total = slow.sfh_integral(beta, 0.0, age)
    recent = {
        span: (1 - share) * slow.sfh_integral(beta, 0.0, span) / total + share * (tburst <= span)
        for span in (1.0, 0.1)
    }
    edges = np.minimum(slow.EDGES, age)
    # The ten youngest bins are one population.
    pairs = [(0.0, edges[10]), *pairwise(edges[10:])]
    mass = [(1 - share) * slow.sfh_integral(beta, a, b) / total for a, b in pairs if b > a]
    ages = [0.5 * (a + b) for a, b in pairs if b > a]
    mass, ages = np.array([*mass, share]), np.array([*ages, tburst])
    z = np.array([slow.metallicity(gamma, t) for t in ages])
    i = np.log(np.clip(ages, grid.age_gyr[0], grid.age_gyr[-1]))
    j = np.log(np.clip(z, grid.metallicity[0], grid.metallicity[-1]))
    by_metallicity = np.array(
        [np.interp(i, np.log(grid.age_gyr), column) for column in grid.surviving_mass.T]
    )
    alive = np.array(
        [
            np.interp(x, np.log(grid.metallicity), row)
            for x, row in zip(j, by_metallicity.T, strict=True)
        ]
    )
    survived = mass @ alive
    rate = {span: max(f / (span * 1e9), SSFR_FLOOR) for span, f in recent.items()}
    return {
        "log_sfr_1gyr": theta[0] + np.log10(rate[1.0]),
        "log_sfr_100myr": theta[0] + np.log10(rate[0.1]),
        "log_ssfr_1gyr": np.log10(rate[1.0] / survived),
        "log_z_mw": np.log10(mass @ z),
        "log_z_mw_true": np.log10(mass @ z * 0.0142 / 0.019),
        "age_mw": mass @ ages,
        "log_mstar_surviving": theta[0] + np.log10(survived),
    }


def test_agree_with_slow_sums(model, galaxies):
    theta, redshift = galaxies
    fast = derived(theta, redshift, model)
    assert list(fast) == [quantity.name for quantity in DERIVED]
    for row in range(len(theta)):
        want = slow_properties(model.ssp, theta[row], redshift[row])
        for name, value in want.items():
            assert fast[name][row] == pytest.approx(value, abs=1e-5), name


def test_single_precision_is_enough(model, galaxies):
    theta, redshift = galaxies
    double = derived(theta, redshift, model)
    single = derived(theta, redshift, SEDModel())
    # The worst of 100,000 galaxies, of a rate next to the floor, is off by 7e-5.
    for name, values in double.items():
        np.testing.assert_allclose(single[name], values, atol=2e-4, err_msg=name)


def test_recent_burst_enters_the_rates_that_cover_it(model):
    theta = get_prior().sample(1, seed=0)
    theta[:, 0], theta[:, 1:5], theta[:, 5] = 10.0, [0, 0, 0, 1], 0.5
    theta = np.repeat(theta, 3, axis=0)
    theta[:, 6] = [0.05, 0.5, 5.0]
    rates = derived(theta, 0.01, model)
    # Half of 1e10 Msun in 1 Gyr is 5 Msun/yr, in 100 Myr 50 Msun/yr.
    np.testing.assert_allclose(rates["log_sfr_1gyr"][:2], np.log10(5), atol=1e-6)
    np.testing.assert_allclose(rates["log_sfr_100myr"][0], np.log10(50), atol=1e-6)
    floor = 10 + np.log10(SSFR_FLOOR)
    np.testing.assert_allclose(rates["log_sfr_1gyr"][2], floor)
    np.testing.assert_allclose(rates["log_sfr_100myr"][1:], floor)


def test_no_stars_formed_is_a_floor_not_infinity(model):
    theta = get_prior().sample(20, seed=1)
    theta[:, 1:5], theta[:, 5] = [0, 0, 0, 1], 0.0
    values = derived(theta, 0.1, model)
    assert all(np.isfinite(v).all() for v in values.values())
    np.testing.assert_allclose(values["log_sfr_1gyr"] - theta[:, 0], np.log10(SSFR_FLOOR))


def test_burst_before_the_big_bang_counts_for_nothing(model):
    theta = get_prior().sample(2, seed=2)
    theta[1] = theta[0]
    theta[0, 5:7], theta[1, 5:7] = [0.9, 13.2], [0.0, 1.0]
    for values in derived(theta, 0.15, model).values():
        assert values[0] == values[1]


def test_shapes_and_kinds(model, galaxies):
    theta, redshift = galaxies
    flat = derived(theta, redshift, model)
    nested = derived(torch.as_tensor(theta).reshape(3, 20, 12), redshift.reshape(3, 20), model)
    for name, value in nested.items():
        assert isinstance(value, torch.Tensor) and value.shape == (3, 20)
        np.testing.assert_allclose(value.reshape(-1).numpy(), flat[name], rtol=1e-12)
    single = derived(theta[0], redshift[0], model)
    assert single["age_mw"].shape == ()


def test_bad_redshift_is_refused(model, galaxies):
    with pytest.raises(InputError, match=r"redshift 0\.9 is outside"):
        derived(galaxies[0], 0.9, model)
