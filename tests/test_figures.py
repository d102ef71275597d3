"""The paper's figures: what the command makes, from runs and chains that are kept."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

import sedflow_lab as sl
from sedflow_lab.anpe.simulate import mock_photometry
from sedflow_lab.commands.main import main
from sedflow_lab.diagnostics.calibration_run import OBSERVABLES, CalibrationRun
from sedflow_lab.diagnostics.conditional import conditional_coverage, coverage_map, covered
from sedflow_lab.diagnostics.mocks import Fault
from sedflow_lab.diagnostics.scoring import SCORED
from sedflow_lab.errors import InputError
from sedflow_lab.plots.calibration import (
    plot_contraction,
    plot_joint_coverage,
    plot_pp,
    plot_ranks,
)
from sedflow_lab.plots.conditional import plot_conditional, plot_coverage_map
from sedflow_lab.plots.training_set import plot_training_set
from sedflow_lab.reports import paper
from sedflow_lab.reports.paper import FigureSettings, chains_of_study, make_figures
from sedflow_lab.reports.study import Sample, Store


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior("nsa-ugriz")


@pytest.fixture(scope="module")
def study(posterior, tmp_path_factory) -> Store:
    """A study whose chains are the network's weighted draws by another name."""
    settings = {"bands": "sdss-ugriz", "draws": 100, "seed": 0}
    store = Store.create(tmp_path_factory.mktemp("study") / "study", settings)
    mocks, truth = mock_photometry(
        posterior.model, posterior.prior, posterior.bundle.noise, 26, seed=4
    )
    for sample in (
        Sample("simulations", mocks, truth),
        Sample("showcase", sl.showcase()[:2], None),
    ):
        store.add(sample)
        result = posterior.infer(sample.photometry, 100, "weighted", on_bad="flag")
        for row, one in enumerate(result):
            badge = "not converged" if row == 0 else "converged"
            store.save(sample.name, replace(one, method="mcmc", badge=np.array([badge])))
    return store


def made_up_run(n: int = 1000, width: float = 1.0, seed: int = 0) -> CalibrationRun:
    """Scores of posteriors that are right, or of a wrong width for high signal-to-noise ratios."""
    rng = np.random.default_rng(seed)
    snr = rng.uniform(10, 50, n)
    truth = rng.normal(size=(n, len(SCORED)))
    scale = np.where(snr > 30, width, 1.0)[:, None]
    scores = ndtr(truth / scale)
    flux = np.ones((n, 5)) * 10 ** rng.uniform(0, 2, (n, 1))
    flux[:, 1] *= rng.uniform(0.3, 1.0, n)
    settings = {
        "method": "fast",
        "draws": 100,
        "seed": seed,
        "fault": Fault().to_dict(),
        "bands": sl.get_bands("sdss-ugriz").to_json(),
    }
    return CalibrationRun(
        truth=truth[:, :12],
        redshift=rng.uniform(0, 0.2, n),
        flux=flux,
        sigma=flux / snr[:, None],
        scores=scores,
        z_scores=truth[:, :12],
        contraction=rng.random((n, 12)),
        predictive_p=rng.random(n),
        efficiency=1 / snr,
        ess=np.full(n, 100.0),
        chi2_min=np.ones(n),
        **dict.fromkeys(("pareto_k", "distance", "support"), rng.random(n)),
        badge=np.full(n, "ok"),
        settings=settings,
    )


def test_coverage_by_signal_to_noise_finds_where_posteriors_are_wrong():
    run = made_up_run(2000, width=0.5)
    found = conditional_coverage(run, "snr", [10, 30, 50])
    assert found.n.sum() == 2000
    good, bad = found.coverage[:, :12]
    # Some 1,000 in each group: 1.5 % is one standard error.
    assert np.abs(good - 0.68).max() < 0.09
    assert (found.p_holm[0] > 1e-6).all()
    # Half the width: 68 % intervals hold what is within 0.497 σ, 38 %.
    assert bad == pytest.approx(np.full(12, 0.381), abs=0.09)
    assert (found.p_holm[1, :12] < 1e-4).all()
    assert found.low[0] < 0.68 < found.high[0]
    assert found.efficiency[0] > found.efficiency[1]
    # Sorted by what has nothing to do with it, every group is wrong alike.
    assert np.ptp(conditional_coverage(run, "redshift", 2).coverage[:, 0]) < 0.13


def test_groups_are_right_where_posteriors_are_at_the_stated_rate():
    wrong = 0
    for seed in range(60):
        found = conditional_coverage(made_up_run(400, seed=seed), "snr", 4)
        wrong += (found.p_holm < 0.05).any()
    assert wrong <= 13  # 5 % of 60 is 3; more than 13 have a probability of 1.2e-6


def test_regions_of_every_kind_hold_what_they_should():
    scores = np.random.default_rng(0).random((20_000, len(SCORED)))
    scores[0] = np.nan
    inside = covered(scores, 0.68)
    assert np.isnan(inside[0]).all()
    assert np.nanmean(inside, axis=0) == pytest.approx(np.full(len(SCORED), 0.68), abs=0.02)
    # The best fits are inside, the worst are not.
    k = SCORED.index("fit to the data")
    assert covered(np.full((1, len(SCORED)), 0.01), 0.68)[0, k] == 0


def test_map_leaves_out_cells_with_few_simulations():
    found = coverage_map(made_up_run(300), ("redshift", "snr"), (5, 4))
    assert found.n.sum() == 300
    assert found.coverage.shape == (4, 5)
    assert np.array_equal(np.isnan(found.coverage), found.n < 20)
    with pytest.raises(InputError, match="too few for 90 groups"):
        conditional_coverage(made_up_run(300), "snr", 90)
    with pytest.raises(InputError, match="numbers that increase"):
        conditional_coverage(made_up_run(300), "snr", [50, 10])


def test_figures_of_runs_show_what_they_are_given():
    run = made_up_run(200)
    chains = replace(made_up_run(100, seed=1), settings=run.settings | {"method": "mcmc"})
    figure = plot_pp({"network": run, "chains": chains})
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["network", "chains"]
    assert len(figure.axes) == 13
    ranks = plot_ranks([chains, run])
    # The network has its colour, MCMC is grey and behind.
    colours = [
        patch.get_edgecolor() for patch in ranks.axes[0].patches if hasattr(patch, "get_data")
    ]
    assert colours[-1] != colours[0]
    assert np.ptp(colours[0][:3]) < 0.01 < np.ptp(colours[-1][:3])
    assert len(plot_joint_coverage(run).axes) == 3
    assert len(plot_conditional(run, bins=2).axes) == 9
    assert len(plot_coverage_map(run, bins=(2, 2)).axes) == 2
    with pytest.raises(InputError, match="nothing to plot"):
        plot_pp(run.head(0))


def test_training_set_needs_simulations_in_the_galaxies_bands(posterior):
    mocks, theta = mock_photometry(
        posterior.model, posterior.prior, posterior.bundle.noise, 1200, seed=0
    )
    figure = plot_training_set(theta, mocks, sl.showcase())
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert "Redshift" in labels and "g − r [mag]" in labels and "z [AB mag]" in labels
    with pytest.raises(InputError, match="1000 simulations or more"):
        plot_training_set(theta[:50], mocks[:50])


def test_chains_of_a_study_are_scored_but_for_those_not_converged(study, posterior):
    run, left_out = chains_of_study(study, posterior)
    assert left_out == 1
    assert len(run) == 25
    assert run.method == "mcmc"
    truth = study.sample("simulations").truth
    assert run.truth == pytest.approx(truth[1:])
    chain = study.load("simulations", "mcmc", "mock-3")
    below = (chain.weights[0, :, None] * (chain.samples[0] < truth[3])).sum(0)
    assert np.abs(run.scores[2, :12] - below).max() < 0.1  # 100 draws of unequal weight


def test_command_makes_all_figures_and_keeps_the_runs(study, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(paper.figures, "_TRAINING", 2000)
    monkeypatch.setattr(paper.figures, "_DRAWS", 300)
    out = tmp_path / "figures"
    options = ["--simulations", "60", "--draws", "60", "--methods", "fast", "--seed", "2"]
    command = ["figures", "--out", str(out), "--mcmc", str(study.folder), *options]
    assert main(command) == 0
    names = {path.name for path in out.iterdir()} - {"runs", "figures.json"}
    stems = {Path(name).stem for name in names}
    assert stems == {
        "fig1-training",
        "fig2-corner",
        "fig2-sed",
        "fig3-pp",
        "fig4-ranks",
        "fig5-joint",
        "fig6-conditional",
        "fig6-map",
        "fig7-contraction",
    }
    assert names == {f"{stem}.{ending}" for stem in stems for ending in ("pdf", "png")}
    numbers = json.loads((out / "figures.json").read_text())
    assert numbers["mcmc"]["left_out_as_not_converged"] == 1
    assert numbers["mcmc"]["simulations"] == 25
    assert numbers["fast"]["simulations"] == 60
    assert set(numbers["fast"]["quantities"]) == set(SCORED)
    assert numbers["galaxy"]["chain"] == "converged"
    printed = capsys.readouterr().out
    assert numbers["fast"]["verdict"] in printed

    # Again, a part of it: the run is there, nothing is inferred.
    monkeypatch.setattr(sl.AmortizedPosterior, "infer", None)
    assert main([*command, "--only", "4"]) == 0
    assert CalibrationRun.load(out / "runs" / "fast.npz").settings["seed"] == 2


def test_command_refuses_what_it_cannot_use(tmp_path, capsys):
    out = ["--out", str(tmp_path / "figures")]
    assert main(["figures", *out, "--only", "9"]) == 2
    small = ["--simulations", "40", "--draws", "60", "--methods", "fast"]
    assert main(["figures", *out, *small, "--mcmc", str(tmp_path), "--only", "3"]) == 2
    assert "has no simulations" in capsys.readouterr().err
    assert main(["figures", *out, "--simulations", "39"]) == 2
    assert "39 simulations are too few" in capsys.readouterr().err
    assert not (tmp_path / "figures" / "fig1-training.pdf").exists()


def test_stopped_runs_say_what_is_kept(posterior, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt, match=r"0 of 50 simulations \(fast\) are kept"):
        make_figures(
            tmp_path, posterior, FigureSettings(50, 60, ("fast",), 0), only=["3"], stop=stop
        )
    with pytest.raises(InputError, match="no figure '8'"):
        make_figures(tmp_path, posterior, only=["8"])
    with pytest.raises(InputError, match="25 simulations are too few"):
        make_figures(tmp_path, posterior, FigureSettings(25, 60, ("fast",), 0), only=["6"])


def test_groups_leave_out_what_has_no_magnitude(posterior, tmp_path, monkeypatch):
    run = made_up_run(100)
    run.flux[7, 2] = -0.1  # noise made it negative, as it may be
    monkeypatch.setattr(paper.figures, "run_calibration", lambda *_, **__: run)
    settings = FigureSettings(100, 60, ("fast",), 0)
    make_figures(tmp_path, posterior, settings, only=["6"])
    assert (tmp_path / "fig6-conditional.png").exists()
    run = run.head(40)
    with pytest.raises(InputError, match="39 simulations with a magnitude are too few"):
        make_figures(tmp_path, posterior, replace(settings, simulations=40), only=["6"])


def test_z_scores_are_judged_at_the_stated_rate():
    wrong = sum((made_up_run(300, seed=s).z_table()["p_holm"] < 0.05).any() for s in range(100))
    assert wrong <= 18  # 5 of 100 are expected, more than 18 with a probability of 5e-7
    run = made_up_run(300)
    wide = replace(run, z_scores=0.7 * run.z_scores)
    assert (wide.z_table()["p_holm"] < 1e-3).all()
    biased = replace(run, z_scores=run.z_scores + 0.4)
    assert (biased.z_table()["p_holm"] < 1e-3).all()
    assert len(plot_contraction(run).axes) == 12


def test_observables_are_named_on_the_axes():
    run = made_up_run(100)
    figure = plot_conditional(run, OBSERVABLES[1:], bins=2)
    labels = [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
    assert labels == ["r [AB mag]", "Redshift", "g − r [mag]"]
