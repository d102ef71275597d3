"""The same galaxy, the same numbers; and no galaxy ends the run."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.anpe import block


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


def same(a: sl.PosteriorResult, b: sl.PosteriorResult) -> bool:
    names = ("samples", "weights", "ess", "chi2_min", "log_evidence", "badge", "ids")
    return all(
        np.array_equal(getattr(a, n), getattr(b, n), equal_nan=n not in ("badge", "ids"))
        for n in names
    )


@pytest.mark.parametrize(("method", "n"), [("fast", 24), ("weighted", 12), ("auto", 2)])
def test_order_company_and_threads_do_not_matter(posterior, method, n):
    galaxies = sl.showcase()[:n]
    whole = posterior.infer(galaxies, 200, method, seed=3, threads=1)
    turned = posterior.infer(galaxies[np.arange(n)[::-1]], 200, method, seed=3, threads=2)
    assert same(whole, turned[np.arange(n)[::-1]])
    assert same(whole[0], posterior.infer(galaxies[0], 200, method, seed=3))
    assert not same(whole[0], posterior.infer(galaxies[0], 200, method, seed=4))


def test_exact_draws_of_auto_are_those_of_exact(posterior):
    refine = posterior.infer(sl.showcase()[:24], 200, "fast", seed=3).badge == "refine"
    galaxies = sl.showcase()[[refine.argmax(), refine.argmin()]]  # the first of each kind
    auto = posterior.infer(galaxies, 200, "auto", seed=3)
    assert np.isfinite(auto.diagnostics["evaluations"]).tolist() == [True, False]
    assert same(auto[0], posterior.infer(galaxies[0], 200, "exact", seed=3))


def test_draws_of_the_network_depend_on_the_galaxy_alone(posterior):
    galaxies = sl.showcase()[:5]
    whole = posterior.sample(galaxies, 50, seed=1)
    np.testing.assert_array_equal(whole[3], posterior.sample(galaxies[3], 50, seed=1)[0])
    assert posterior.sample(galaxies[:0], 50).shape == (0, 50, 12)


def test_the_number_of_threads_is_checked(posterior):
    with pytest.raises(sl.InputError, match="threads is 0"):
        posterior.infer(sl.showcase()[:1], threads=0)


def test_galaxies_that_were_not_reached_say_so(posterior):
    stop = threading.Event()
    stop.set()
    result = posterior.infer(sl.showcase()[:3], 50, "exact", stop=stop)
    assert result.badge.tolist() == ["unfinished"] * 3 and not result.usable.any()
    assert all("Stopped before" in text for text in result.problems)


def test_arithmetic_that_breaks_down_flags_its_galaxy_only(posterior, monkeypatch):
    galaxies = sl.showcase()[:3]
    known = block._infer

    def breaking(network, photometry, *rest):
        if photometry.ids[0] == galaxies.ids[1]:
            raise torch.linalg.LinAlgError("the input is not positive-definite\nmore")
        return known(network, photometry, *rest)

    monkeypatch.setattr(block, "_infer", breaking)
    result = posterior.infer(galaxies, 100)
    assert result.usable.tolist() == [True, False, True]
    assert result.badge[1] == "unfinished"
    assert "row 1" in result.problems[1] and "not positive-definite)" in result.problems[1]


HOSTILE = {
    "flux of 1e10": (1e10, 1e8, 1.0),
    "maggies without a unit": (1e-9, 1e-9, 1.0),
    "fluxes and errors a million times too small": (1e-6, 1e-6, 0.01),
    "signal-to-noise of 1e6": (1.0, 1e-4, 1.0),
    "a redshift of 1e-5": (1.0, 1.0, 1e-3),
}


@pytest.mark.parametrize("method", ["fast", "weighted", "exact", "auto"])
def test_hopeless_rows_keep_their_place_and_harm_no_others(posterior, method):
    one, good = sl.showcase()[0], sl.showcase()[1]
    rows = [
        sl.Photometry(
            one.flux * flux, one.sigma * sigma, np.maximum(one.redshift * z, 1e-5), on_bad="flag"
        )
        for flux, sigma, z in HOSTILE.values()
    ]
    together = sl.Photometry.concatenate([*rows, good])
    result = posterior.infer(together, 100, method, on_bad="flag")
    assert same(result[len(rows)], posterior.infer(good, 100, method))
    assert same(result[2], posterior.infer(rows[2], 100, method, on_bad="flag"))
    for k, case in enumerate(HOSTILE):
        assert result.badge[k] != "ok", case
        assert result.usable[k] == np.isfinite(result.samples[k]).all(), case
        assert result.usable[k] or result.problems[k], case


@pytest.mark.parametrize("case", HOSTILE)
def test_hopeless_rows_cost_no_more_than_ordinary_ones(posterior, case, monkeypatch):
    """A network that puts nothing inside the prior is not asked again and again."""
    flux, sigma, z = HOSTILE[case]
    one = sl.showcase()[0]
    bad = sl.Photometry(
        one.flux * flux, one.sigma * sigma, np.maximum(one.redshift * z, 1e-5), on_bad="flag"
    )
    drawn = []
    known = posterior.bundle.flow.from_latent

    def counted(latent, *context):
        drawn.append(latent[..., 0].numel())
        return known(latent, *context)

    monkeypatch.setattr(posterior.bundle.flow, "from_latent", counted)
    posterior.infer(one, 100, "weighted")
    ordinary = sum(drawn)
    drawn.clear()
    posterior.infer(bad, 100, "weighted", on_bad="flag")
    assert 0 < sum(drawn) <= 3 * ordinary
