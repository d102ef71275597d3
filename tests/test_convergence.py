from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sedflow_lab.errors import InputError
from sedflow_lab.samplers.convergence import (
    autocorrelation_time,
    ess_bulk,
    ess_tail,
    rank_normalize,
    split_rhat,
)


def autoregressive(correlation, chains, draws, parameters=3, seed=0):
    """x_t = r x_{t-1} + noise: autocorrelation time (1 + r) / (1 - r)."""
    noise = np.random.default_rng(seed).normal(size=(chains, draws, parameters))
    x = noise.copy()
    for t in range(1, draws):
        x[:, t] = correlation * x[:, t - 1] + np.sqrt(1 - correlation**2) * noise[:, t]
    return x


CASES = {
    "independent": autoregressive(0.0, 4, 500),
    "odd length": autoregressive(0.5, 2, 1001),
    "slow": autoregressive(0.95, 4, 300),
    "never mixes": autoregressive(0.999, 6, 100),
    "antithetic": autoregressive(-0.6, 4, 400),
    "many short": autoregressive(0.8, 64, 40),
    "tails": np.random.default_rng(1).standard_cauchy(size=(4, 300, 2)),
    "ties": np.round(autoregressive(0.3, 4, 200)),
    "one chain apart": autoregressive(0.3, 4, 200) + np.array([0, 0, 0, 0.7])[:, None, None],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_same_numbers_as_arviz(case):
    arviz = pytest.importorskip("arviz")
    chains = CASES[case]
    data = arviz.convert_to_dataset({"x": chains})
    np.testing.assert_allclose(split_rhat(chains), arviz.rhat(data)["x"], rtol=1e-10)
    np.testing.assert_allclose(ess_bulk(chains), arviz.ess(data)["x"], rtol=1e-10)
    # ArviZ 1.0 looks further in by default than Vehtari et al.
    tail = arviz.ess(data, method="tail", prob=(0.05, 0.95))["x"]
    np.testing.assert_allclose(ess_tail(chains), tail, rtol=1e-10)


def test_rhat_is_one_where_chains_agree_and_grows_where_one_is_apart():
    chains = autoregressive(0.0, 4, 4000, parameters=1)
    assert split_rhat(chains)[0] == pytest.approx(1.0, abs=2e-3)
    chains[0] += 1.0
    # Means of eight halves, two off by 1: their variance is 1.5/7. From seed to seed R-hat varies
    # by 0.004.
    assert split_rhat(chains)[0] == pytest.approx(np.sqrt(1 + 1.5 / 7), abs=0.03)


def test_rhat_sees_chains_that_differ_in_scale_or_drift():
    chains = autoregressive(0.0, 4, 2000, parameters=1)
    wide = chains * np.array([1, 1, 1, 3.0])[:, None, None]
    assert split_rhat(wide)[0] > 1.05  # 1.145, give or take 0.009
    drift = chains + np.linspace(0, 3.0, 2000)[None, :, None]
    assert split_rhat(drift)[0] > 1.1


def test_ess_of_a_process_with_known_correlation():
    r = 0.8
    chains = autoregressive(r, 8, 20_000, parameters=1)
    expected = 8 * 20_000 * (1 - r) / (1 + r)
    # The estimate has a standard error of 3 %.
    np.testing.assert_allclose(ess_bulk(chains), expected, rtol=0.25)


def test_autocorrelation_time_of_a_process_with_known_correlation():
    r = 0.9
    chain = np.swapaxes(autoregressive(r, 32, 20_000, parameters=1), 0, 1)
    # A window of ten times 9.5 steps gives a standard error of 2.4 % (Sokal 1997), and the means
    # of walkers, which are subtracted, lower the time by 1 %.
    np.testing.assert_allclose(autocorrelation_time(chain), (1 + r) / (1 - r), rtol=0.18)


def test_autocorrelation_time_is_emcees():
    from emcee.autocorr import integrated_time

    for correlation, size in ((0.0, 60), (0.9, 401), (0.99, 100)):
        chain = np.swapaxes(autoregressive(correlation, 8, size), 0, 1)
        np.testing.assert_allclose(autocorrelation_time(chain), integrated_time(chain, tol=0))


def test_a_walker_that_never_moves_makes_the_time_infinite():
    chain = np.random.default_rng(0).normal(size=(200, 8, 2))
    chain[:, 3] = 1.0
    assert np.isinf(autocorrelation_time(chain)).all()


def test_a_constant_parameter_is_known_by_every_draw():
    chains = autoregressive(0.0, 4, 100, parameters=2)
    chains[..., 1] = 3.0
    assert ess_bulk(chains)[1] == 400 and np.isnan(split_rhat(chains)[1])


def test_ranks_become_normal_scores_whatever_the_scale():
    x = np.random.default_rng(0).normal(size=(2, 500, 1))
    scores = rank_normalize(np.exp(5 * x))
    np.testing.assert_allclose(scores, rank_normalize(x))
    largest = norm.ppf((1000 - 0.375) / 1000.25)
    assert scores.max() == pytest.approx(largest)


def test_chains_that_cannot_be_judged_are_refused():
    with pytest.raises(InputError, match="three axes"):
        split_rhat(np.zeros((10, 2)))
    with pytest.raises(InputError, match="1 values that are not finite"):
        ess_bulk(np.where(np.arange(24).reshape(2, 6, 2) == 5, np.nan, 1.0))
    with pytest.raises(InputError, match="at least 4"):
        split_rhat(np.zeros((4, 3, 1)))
