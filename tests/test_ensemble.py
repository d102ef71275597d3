from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest

from sedflow_lab.errors import InputError
from sedflow_lab.samplers import ensemble
from sedflow_lab.samplers.ensemble import sample_ensembles

SIZE = 4
SPREAD = np.array([1.0, 0.1, 5.0, 1.0])


def log_normal(x):
    return -0.5 * np.square(x / SPREAD).sum(1)


def log_banana(x):
    """x1 ~ N(0, 1), x0 ~ N(x1^2, 0.5): mean of x0 is 1, its variance 2.25."""
    bent = (x[:, 0] - x[:, 1] ** 2) / 0.5
    return -0.5 * (bent**2 + np.square(x[:, 1:]).sum(1))


def scattered(walkers=64, width=10.0, seed=0):
    return width * np.random.default_rng(seed).normal(size=(walkers, SIZE))


@pytest.fixture(scope="module")
def normal_chain():
    return sample_ensembles(log_normal, scattered(), max_steps=8000)


def test_a_normal_is_sampled_from_a_distant_start_until_all_criteria_hold(normal_chain):
    chain = normal_chain
    assert chain.status == "converged" and chain.steps < 8000  # mostly 1400
    kept = len(chain.points) * chain.thin
    assert kept > ensemble.MIN_TAUS * chain.tau.max()
    assert (chain.rhat < ensemble.MAX_RHAT).all() and (chain.rhat > 0.999).all()
    assert (chain.ess_bulk > 1000).all() and (chain.ess_tail > 400).all()
    white = chain.points.reshape(-1, SIZE) / SPREAD
    # Standard errors of the means, and of widths 0.009 or less.
    np.testing.assert_allclose(white.mean(0), 0, atol=6 / np.sqrt(chain.ess_bulk.min()))
    np.testing.assert_allclose(white.std(0), 1, atol=0.08)
    np.testing.assert_allclose(chain.log_prob[-1], log_normal(chain.points[-1]))


def test_nothing_is_kept_from_before_the_last_fit(normal_chain):
    fit = max(f for f in ensemble._FITS if f < normal_chain.steps)
    assert len(normal_chain.points) * normal_chain.thin <= normal_chain.steps - fit


def test_a_bent_target_gets_its_known_moments():
    chain = sample_ensembles(log_banana, scattered(128, 2.0), max_steps=8000, seed=3)
    x = chain.points.reshape(-1, SIZE)
    assert chain.status == "converged"
    assert x[:, 0].mean() == pytest.approx(1.0, abs=0.1)
    assert x[:, 0].var() == pytest.approx(2.25, rel=0.25)  # errors of 3 %


def test_the_same_seed_gives_the_same_numbers():
    runs = [
        sample_ensembles(log_normal, scattered(), max_steps=500, seed=seed) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0].points, runs[1].points)
    assert not np.array_equal(runs[0].points, runs[2].points)
    assert runs[0].status == "not converged" and runs[0].steps == 500


def test_ensembles_in_different_modes_are_not_called_converged():
    def log_prob(x):
        return np.logaddexp(-0.5 * ((x + 30) ** 2).sum(1), -0.5 * ((x - 30) ** 2).sum(1))

    start = scattered(width=1.0)
    start[:32] -= 30
    start[32:] += 30
    # Without the independent proposals, which would find both modes, each stays in its own.
    chain = sample_ensembles(log_prob, start, max_steps=150)
    assert chain.status == "not converged" and (chain.rhat > 1.5).all()
    # With them the ensembles meet.
    chain = sample_ensembles(log_prob, start, max_steps=10_000)  # mostly 1600
    assert chain.status == "converged"
    share = [(chain.points[:, half, 0] > 0).mean() for half in (slice(0, 32), slice(32, 64))]
    # More than 1500 effective draws in each: an error of 0.013.
    np.testing.assert_allclose(share, 0.5, atol=0.1)


def test_a_walker_lost_in_a_far_flat_place_is_brought_back():
    def log_prob(x):
        far = np.square(x).sum(1) > 1e6
        return np.where(far, -200.0, -0.5 * np.square(x).sum(1))

    start = scattered(width=1.0)
    start[7] = 1e5
    chain = sample_ensembles(log_prob, start, max_steps=500)
    assert np.abs(chain.points).max() < 50


@pytest.mark.parametrize("stop_at", [130, 250, 400, 430])
def test_a_chain_goes_on_from_its_file_as_if_it_had_never_stopped(tmp_path, stop_at):
    whole = sample_ensembles(log_normal, scattered(), max_steps=550)
    stop = threading.Event()
    backend = (tmp_path / "chain.h5", "a")

    def stopping(x, calls=[0]):  # noqa: B006  (one list on purpose: it counts calls)
        calls[0] += 1
        if calls[0] > stop_at * 1.5:
            stop.set()
        return log_normal(x)

    part = sample_ensembles(stopping, scattered(), max_steps=550, backend=backend, stop=stop)
    assert part.status == "unfinished" and part.steps < 550
    never = partial(pytest.fail, "a chain that goes on needs no start")
    rest = sample_ensembles(log_normal, never, max_steps=550, backend=backend)
    assert rest.steps == 550
    np.testing.assert_array_equal(rest.points, whole.points)
    np.testing.assert_array_equal(rest.log_prob, whole.log_prob)
    again = sample_ensembles(log_normal, never, max_steps=550, backend=backend)
    assert again.evaluations == 0
    np.testing.assert_array_equal(again.points, whole.points)


def test_the_file_holds_no_pickles(tmp_path):
    import h5py

    path = tmp_path / "chain.h5"
    sample_ensembles(log_normal, scattered(), max_steps=50, backend=(path, "a"))
    kinds = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: kinds.append(getattr(item, "dtype", np.dtype("f8")).kind))
        attributes = [np.asarray(value) for value in file["a"].attrs.values()]
    # Numbers and text only: no opaque bytes (V) and no objects but text (O).
    assert set(kinds) <= set("fiub")
    assert all(a.dtype.kind in "fiubU" or isinstance(a.item(), str) for a in attributes)


def test_a_file_that_is_no_chain_is_refused(tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("not HDF5")
    with pytest.raises(InputError, match=r"notes\.h5 cannot be read.*remove it"):
        sample_ensembles(log_normal, scattered(), backend=(path, "a"))
    assert path.read_text() == "not HDF5"
    with pytest.raises(InputError, match="no folder"):
        sample_ensembles(log_normal, scattered(), backend=(tmp_path / "a" / "b.h5", "a"))


def test_stopping_gives_what_there_is():
    stop = threading.Event()
    stop.set()
    chain = sample_ensembles(log_normal, scattered(), stop=stop)
    assert chain.status == "unfinished" and chain.steps == 5
    assert chain.points.shape == (1, 64, SIZE) and np.isnan(chain.rhat).all()
    assert np.isinf(chain.tau).all()
    assert threading.active_count() == 1 or not any(
        t.name.startswith("mcmc") for t in threading.enumerate()
    )


def test_watching_sees_every_fifty_steps():
    seen = []
    sample_ensembles(
        log_normal,
        scattered(),
        max_steps=200,
        watch=lambda step, state, tau: seen.append((step, state.coords.shape, tau)),
    )
    assert seen == [(step, (64, SIZE), None) for step in (50, 100, 150, 200)]


def test_reported_parameters_are_what_convergence_is_judged_by():
    chain = sample_ensembles(
        log_normal, scattered(), max_steps=500, reported=lambda x: np.exp(x[:, :2])
    )
    assert chain.reported.shape == (*chain.points.shape[:2], 2) and chain.rhat.shape == (2,)
    np.testing.assert_allclose(chain.reported, np.exp(chain.points[..., :2]))
    assert chain.tau.shape == (SIZE,)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(InputError, match="30 walkers do not suit 2 ensembles in 4 dimensions"):
        sample_ensembles(log_normal, scattered(30))
    with pytest.raises(InputError, match="66 walkers"):
        sample_ensembles(log_normal, scattered(66))
    with pytest.raises(InputError, match="multiple of 50"):
        sample_ensembles(log_normal, scattered(), max_steps=120)
    start = scattered()
    start[5] = np.nan
    with pytest.raises(InputError, match="Walker 5 starts"):
        sample_ensembles(lambda x: np.where(np.isnan(x[:, 0]), -np.inf, 0.0), start)
