"""Nested sampling against evidences that are known."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.diagnostics.comparison import compare
from sedflow_lab.errors import SedflowError
from sedflow_lab.exact.likelihood import LogPosterior
from sedflow_lab.exact.weights import importance_weights
from sedflow_lab.samplers.nested import _from_cube, run_nested
from sedflow_lab.samplers.walkers import WalkerTarget

pytest.importorskip("nautilus")


@pytest.fixture(scope="module")
def vague(tiny_model):
    """A galaxy whose photometry says so little that draws of the prior find its posterior."""
    one = sl.showcase()[3]
    return sl.Photometry(one.flux, 1.5 * one.flux, one.redshift, one.bands, ids=["vague"])


@pytest.fixture(scope="module")
def result(vague, tiny_model):
    return run_nested(vague, tiny_model, live=400, effective=2000, draws=2000, seed=3)


def test_the_cube_is_the_prior(vague, tiny_model):
    target = WalkerTarget(vague, tiny_model, sl.get_prior())
    cube = np.random.default_rng(0).uniform(size=(50_000, 11))
    phi = _from_cube(cube, target)
    # All to six standard errors: once in 5e8 numbers.
    np.testing.assert_allclose(phi[:, 1:].mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(phi[:, 1:].T), np.eye(10), atol=0.04)
    assert phi[:, 0].min() >= 7 and phi[:, 0].max() <= 12.5
    np.testing.assert_allclose(
        np.quantile(phi[:, 0], (0.25, 0.5, 0.75)), (8.375, 9.75, 11.125), atol=0.08
    )
    # Mass does not depend on the others, though its coordinate is measured from their best one.
    assert np.abs(np.corrcoef(phi.T)[0, 1:]).max() < 0.03


def test_evidence_is_that_of_many_draws_of_the_prior(result, vague, tiny_model):
    target = LogPosterior(vague, tiny_model, "flat-dirichlet")
    prior = sl.get_prior()
    phi = prior.sample_free(200_000, torch.Generator().manual_seed(0))
    with torch.no_grad():
        log_likelihood = torch.cat(
            [target.log_likelihood(prior.from_free(part)[None])[0] for part in phi.split(50_000)]
        )
    weights, log_evidence = importance_weights(log_likelihood)
    error = float(weights.square().sum()) ** 0.5
    assert error < 0.02
    found, claimed = result.log_evidence[0], result.diagnostics["log_evidence_error"][0]
    assert claimed < 0.03
    # Six standard errors: once in 5e8 runs, were the claimed one right; allow it a fifth more.
    assert abs(found - float(log_evidence)) < 7 * np.hypot(claimed, error)


def test_draws_are_those_of_the_posterior(result, vague, tiny_model):
    prior = sl.get_prior()
    theta = prior.sample(50_000, seed=1)
    target = LogPosterior(vague, tiny_model, prior)
    log_likelihood = target.log_likelihood(theta[None])[0]
    weights = np.exp(log_likelihood - log_likelihood.max())
    known = sl.PosteriorResult.of(
        vague, theta[None], "prior", "known", weights=(weights / weights.sum())[None]
    )
    table = compare(result, known)
    # Medians of 2,000 draws scatter by 0.04 σ where the posterior is flat: six such errors.
    assert np.max(table["w1"]) < 0.2 and np.abs(table["shift"]).max() < 0.25
    assert result.badge[0] == "converged" and result.method == "nested"


def test_stopping_says_so(vague, tiny_model):
    stop = threading.Event()
    stop.set()
    with pytest.raises(SedflowError, match="stopped after 0 evaluations"):
        run_nested(vague, tiny_model, stop=stop)


def test_bad_input_is_refused(vague, tiny_model, monkeypatch):
    with pytest.raises(sl.InputError, match="one usable galaxy, not 2"):
        run_nested(sl.showcase()[:2])
    with pytest.warns(DeprecationWarning, match="called photometry"):
        with pytest.raises(sl.InputError, match="one usable galaxy, not 2"):
            sl.run_nested(phot=sl.showcase()[:2])
    with pytest.raises(sl.InputError, match="at least 100"):
        run_nested(vague, live=10)
    monkeypatch.setitem(sys.modules, "nautilus", None)
    with pytest.raises(SedflowError, match=r"pip install 'sedflow-lab\[nested\]'"):
        run_nested(vague)
