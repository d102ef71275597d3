"""What a posterior says beyond the prior, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from sedflow_lab.posterior.information import information_gain


@pytest.fixture
def prior():
    return np.random.default_rng(1).normal(size=400_000)


# Six times what 60 seeds scatter by, and the bias: the narrowest is within three bins.
@pytest.mark.parametrize(("width", "error"), [(0.02, 0.16), (0.1, 0.11), (0.5, 0.08), (1.0, 0.02)])
def test_narrower_normals_say_as_much_as_the_formula(prior, width, error):
    x = np.random.default_rng(0).normal(0, width, 4000)
    expected = -np.log2(width) + (width**2 - 1) / (2 * np.log(2))
    found = information_gain(x, np.full(4000, 1 / 4000), prior)
    assert found == pytest.approx(expected, abs=error)


def test_weights_count(prior):
    x = np.random.default_rng(0).normal(size=8000)
    weights = np.exp(-0.5 * x**2 * (1 / 0.25 - 1))
    found = information_gain(x, weights / weights.sum(), prior)
    assert found == pytest.approx(1 - 0.75 / (2 * np.log(2)), abs=0.05)


def test_a_prior_that_piles_up_tells_nothing_of_itself():
    prior = np.clip(np.random.default_rng(1).normal(size=20_000), -0.5, 0.5)
    x = np.clip(np.random.default_rng(0).normal(size=4000), -0.5, 0.5)
    assert information_gain(x, np.full(4000, 1 / 4000), prior) < 0.08
