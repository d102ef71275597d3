"""Calibration runs of the shipped network: reproducible, resumable, and faults are caught."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

import sedflow_lab as sl
from sedflow_lab.diagnostics.calibration_run import OBSERVABLES, CalibrationRun
from sedflow_lab.diagnostics.mocks import Fault, draw_mocks, narrow_result
from sedflow_lab.diagnostics.runs import replay, run_calibration
from sedflow_lab.diagnostics.scoring import SCORED, score_result
from sedflow_lab.errors import InputError


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior("nsa-ugriz")


@pytest.fixture(scope="module")
def run(posterior):
    return run_calibration(posterior, "fast", 70, 400, seed=1)


def equal(a: CalibrationRun, b: CalibrationRun) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        for x, y in ((getattr(a, k), getattr(b, k)) for k in ("truth", "flux", "scores", "badge"))
    )


def test_a_run_has_scores_of_every_quantity_and_what_to_sort_by(run):
    assert len(run) == 70
    assert run.scores.shape == (70, len(SCORED))
    assert ((run.scores >= 0) & (run.scores <= 1)).all()
    for name in OBSERVABLES:
        assert np.isfinite(run.observable(name)).mean() > 0.9
    with pytest.raises(InputError, match="no observable 'mass'"):
        run.observable("mass")
    assert run.check().n.tolist() == [70] * len(SCORED)
    # Masses are told by the data, metallicities hardly at all.
    assert np.median(run.contraction[:, 0]) > 0.9 > np.median(run.contraction[:, 7])


def test_a_stopped_run_goes_on_to_the_same_numbers(posterior, run, tmp_path):
    path, stop = tmp_path / "run.npz", threading.Event()
    first = run_calibration(
        posterior, "fast", 70, 400, 1, path=path, stop=stop, callback=lambda _: stop.set()
    )
    assert 0 < len(first) < 70
    whole = run_calibration(posterior, "fast", 70, 400, 1, path=path)
    assert equal(whole, run)
    assert equal(CalibrationRun.load(path), run)
    # A finished run is read, not made again; a part of it is its beginning.
    assert run_calibration(posterior, "fast", 70, 400, 1, path=path).seconds == whole.seconds
    assert equal(run_calibration(posterior, "fast", 20, 400, 1, path=path), run.head(20))
    with pytest.raises(InputError, match=r"run that differs in seed \(1 there, 2 here\): choose"):
        run_calibration(posterior, "fast", 70, 400, 2, path=path)


def test_a_run_of_another_model_is_not_gone_on_with(posterior, run, tmp_path):
    path = tmp_path / "run.npz"
    replace(run, flux=1.005 * run.flux).save(path)
    with pytest.raises(InputError, match="another version of the SED model"):
        run_calibration(posterior, "fast", 70, 400, seed=1, path=path)


def test_a_run_that_is_stopped_before_it_begins_is_empty(posterior):
    stop = threading.Event()
    stop.set()
    run = run_calibration(posterior, "fast", 70, 400, stop=stop)
    assert len(run) == 0
    assert run.scores.shape == (0, len(SCORED))


def test_files_that_are_no_runs_are_refused(tmp_path):
    path = tmp_path / "no.npz"
    with pytest.raises(InputError, match="Cannot read a calibration run"):
        CalibrationRun.load(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(InputError, match="Cannot read a calibration run"):
        CalibrationRun.load(path)


@pytest.mark.parametrize("method", ["weighted", "exact"])
def test_other_methods_score_the_same_galaxies(posterior, run, method):
    other = run_calibration(posterior, method, 2, 200, seed=1)
    assert np.array_equal(other.truth, run.truth[:2])
    assert np.array_equal(other.flux, run.flux[:2])
    assert np.isfinite(other.scores).all()
    assert other.method == method


def test_mcmc_infers_one_galaxy_at_a_time_and_starts_at_the_network(posterior, run, monkeypatch):
    calls = []

    def chain(photometry, model, prior, *, start, draws, seed, stop):
        calls.append((photometry.ids.tolist(), start is posterior, seed))
        result = posterior.infer(photometry, draws, "weighted", seed)
        return replace(result, method="mcmc", diagnostics={})

    monkeypatch.setattr("sedflow_lab.samplers.mcmc.run_mcmc", chain)
    chains = run_calibration(posterior, "mcmc", 3, 100, seed=1)
    assert [c[0] for c in calls] == [["mock-0"], ["mock-1"], ["mock-2"]]
    assert all(c[1] for c in calls)
    assert len({c[2] for c in calls}) == 3
    assert np.array_equal(chains.truth, run.truth[:3])
    assert np.isfinite(chains.scores).all()
    assert np.isnan(chains.efficiency).all()


def test_one_simulation_can_be_looked_at_again(posterior, run):
    galaxy, truth, result = replay(posterior, run, 40, draws=2000)
    assert np.array_equal(galaxy.flux[0], run.flux[40])
    assert np.array_equal(truth, run.truth[40])
    assert result.samples.shape == (1, 2000, 12)
    # The same posterior: the truth is where it was among other draws, with errors below 0.028.
    score = (result.samples[0] < truth).mean(0)
    assert np.abs(score - run.scores[40, :12]).max() < 0.17
    with pytest.raises(InputError, match="simulations 0 to 69"):
        replay(posterior, run, 70)


# With these corrected p-values were below 1e-9 for each of four seeds.
FAULTS = {
    "understated": (Fault(sigma=0.4), {"fit to the data", "HPD regions"}),
    "overstated": (Fault(sigma=6.0), {"fit to the data"}),
    "shifted": (Fault(prior_shift=0.7), {"beta4", "HPD regions"}),
    "narrowed": (Fault(narrow=0.3), {"log_mstar", "tau_ism", "HPD regions"}),
    "widened": (Fault(narrow=1.6), {"HPD regions", "fit to the data"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_caught(posterior, name):
    fault, by = FAULTS[name]
    run = run_calibration(posterior, "fast", 128, 120, seed=3, fault=fault)
    check = run.check()
    caught = {q for q, fine in zip(SCORED, check.uniform, strict=True) if not fine}
    assert by <= caught, check.verdict()
    assert not check.verdict().startswith("Calibrated")
    if name == "narrowed":
        assert "too narrow" in check.sentences()[SCORED.index("tau_ism")]
        galaxy, _, result = replay(posterior, run, 0, draws=400)
        usual = posterior.infer(galaxy, 400, seed=3)
        assert result.samples[0, :, 0].std() < 0.8 * usual.samples[0, :, 0].std()


def test_nothing_is_found_where_nothing_is_wrong(posterior):
    """The posterior itself is nearly right: what is caught above is the fault."""
    check = run_calibration(posterior, "fast", 128, 120, seed=3).check()
    # By chance alone one run of twenty has a corrected p-value below 0.05.
    assert check.p_holm[:14].min() > 1e-6, check.verdict()


def test_faults_say_what_they_are_and_refuse_nonsense():
    assert not Fault()
    assert str(Fault()) == "nothing is wrong on purpose"
    assert str(Fault(0.5, -0.3, 0.7)) == (
        "uncertainties understated (× 0.5), truths drawn -0.3 σ beside the prior, "
        "posterior narrowed (× 0.7)"
    )
    with pytest.raises(InputError, match="must be positive"):
        Fault(sigma=0.0)
    with pytest.raises(InputError, match="by 5 at most"):
        Fault(prior_shift=9.0)


def test_settings_that_make_no_sense_are_refused(posterior):
    with pytest.raises(InputError, match="no method 'best'"):
        run_calibration(posterior, "best")
    with pytest.raises(InputError, match="50 draws or more"):
        run_calibration(posterior, "fast", 10, 3)


def test_narrowed_draws_keep_the_order_of_their_densities(posterior):
    """Narrowing and widening again is no change: neither of draws nor of any score."""
    mocks, truth = draw_mocks(posterior.model, posterior.prior, posterior.bundle.noise, 12)
    result = posterior.infer(mocks, 100)
    narrow, origin = narrow_result(result, posterior.prior, 0.5, truth)
    usual = score_result(result, mocks, truth, posterior)["scores"]
    scores = score_result(narrow, mocks, truth, posterior, origin=origin)["scores"]
    # Where the truth was is farther out than the truth: its region of highest density grows.
    level = SCORED.index("HPD regions")
    assert (scores[:, level] >= usual[:, level] - 0.05).mean() > 0.8
    assert scores[:, level].mean() > usual[:, level].mean() + 0.1
    back, _ = narrow_result(narrow, posterior.prior, 2.0, truth)
    assert back.samples == pytest.approx(result.samples, abs=1e-3)
    # Marginal ranks move away from the middle, and never across it.
    ranks, before = scores[:, :12] - 0.5, usual[:, :12] - 0.5
    moved = np.abs(ranks) - np.abs(before)
    assert np.median(moved) > 0.02
