"""Studies: which galaxies, what is kept, going on after a stop, and numbers with known answers."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sedflow_lab as sl
from sedflow_lab.commands.main import main
from sedflow_lab.parameters import NAMES
from sedflow_lab.reports.study import (
    NETWORK,
    Store,
    open_store,
    run,
    run_chains,
    run_network,
    simulations,
    spread_showcase,
)
from sedflow_lab.reports.study.figures import plot_distances
from sedflow_lab.reports.study.page import to_markdown
from sedflow_lab.reports.study.report import collect, columns, overall, pick_cases, within_floor

DRAWS = 600


@pytest.fixture(scope="module")
def posterior(tiny_bundle):
    return sl.load_posterior(tiny_bundle)


def fake_chain(phot, model=None, prior="flat-dirichlet", *, seed=0, draws=DRAWS, **settings):
    """What run_mcmc returns, in no time: draws of the prior."""
    theta = sl.get_prior().sample(draws, seed=seed)
    label = np.arange(draws) % 4
    diagnostics = {
        "rhat": np.ones((1, 12)),
        "n_evaluations": np.array([1e6]),
        "seconds": np.array([10.0]),
        "draw_chain": label[None],
    }
    return sl.PosteriorResult(
        samples=theta[None],
        weights=np.full((1, draws), 1 / draws),
        redshift=phot.redshift,
        ids=phot.ids,
        bands=phot.bands,
        method="mcmc",
        badge=np.array(["converged"]),
        diagnostics=diagnostics,
    )


@pytest.fixture
def quick(monkeypatch):
    """Chains in no time, and few draws; the list of galaxies that were sampled."""
    sampled = []

    def run_mcmc(phot, *arguments, **settings):
        sampled.append(str(phot.ids[0]))
        return fake_chain(phot, *arguments, **settings)

    monkeypatch.setattr(run, "run_mcmc", run_mcmc)
    monkeypatch.setattr(run, "DRAWS", DRAWS)
    return sampled


# Galaxies


def test_real_galaxies_are_spread_and_nested():
    small, large = spread_showcase(10), spread_showcase(40)
    assert small.photometry.ids.tolist() == large.photometry.ids[:10].tolist()
    assert len(set(large.photometry.ids)) == 40
    everything = sl.showcase()
    colour, all_colours = (
        p.magnitude[:, 1] - p.magnitude[:, 2] for p in (large.photometry, everything)
    )
    # In each quarter of the colours there are as many as there should be, or nearly.
    quarter = np.searchsorted(np.quantile(all_colours, (0.25, 0.5, 0.75)), colour)
    assert np.bincount(quarter).min() >= 7
    with pytest.raises(sl.InputError, match="has 192 galaxies"):
        spread_showcase(193)


def test_simulations_are_nested_and_their_truth_makes_their_photometry(posterior):
    small, large = simulations(posterior, 3, seed=4), simulations(posterior, 30, seed=4)
    np.testing.assert_array_equal(small.truth, large.truth[:3])
    np.testing.assert_array_equal(small.photometry.flux, large.photometry.flux[:3])
    assert not np.array_equal(small.truth, simulations(posterior, 3, seed=5).truth)
    assert large.photometry.ids[29] == "sim-0029"
    phot = large.photometry
    flux = posterior.model.photometry(large.truth, phot.redshift)
    pull = (phot.flux - flux) / phot.sigma
    # 150 of them: six standard errors.
    assert abs(pull.mean()) < 0.5 and 0.65 < pull.std() < 1.35
    with pytest.raises(sl.InputError, match="must be positive"):
        simulations(posterior, 0)


# What is kept


def test_a_store_gives_back_what_it_got(tmp_path, posterior):
    store = open_store(tmp_path / "study", posterior, 0)
    sample = simulations(posterior, 3)
    store.add(sample)
    again = Store(tmp_path / "study").sample("simulations")
    np.testing.assert_allclose(again.truth, sample.truth, rtol=1e-12)
    np.testing.assert_allclose(again.photometry.flux, sample.photometry.flux, rtol=1e-12)
    np.testing.assert_allclose(again.photometry.sigma, sample.photometry.sigma, rtol=1e-12)
    assert again.photometry.ids.tolist() == sample.photometry.ids.tolist()
    result = fake_chain(sample.photometry[1])
    store.save("simulations", result)
    found = store.load("simulations", "mcmc", "sim-0001")
    np.testing.assert_array_equal(found.samples, result.samples)
    assert store.load("simulations", "mcmc", "sim-0002") is None
    assert [s.name for s in store.samples()] == ["simulations"]
    # A smaller sample does not take galaxies away.
    store.add(simulations(posterior, 2))
    assert len(store.sample("simulations")) == 3


def test_other_settings_and_other_folders_are_refused(tmp_path, posterior):
    open_store(tmp_path / "study", posterior, 0)
    open_store(tmp_path / "study", posterior, 0)
    with pytest.raises(sl.InputError, match="a study that differs in seed"):
        open_store(tmp_path / "study", posterior, 1)
    with pytest.raises(sl.InputError, match="holds other files"):
        open_store(tmp_path, posterior, 0)
    with pytest.raises(sl.InputError, match="holds no study"):
        Store(tmp_path).settings()
    with pytest.raises(sl.InputError, match="has no showcase"):
        Store(tmp_path / "study").sample("showcase")


# Running


def test_a_study_with_bad_bands_and_error_floors_is_its_own(
    tmp_path, posterior, quick, monkeypatch
):
    allowed = {"error_floor": {"u": 0.1}} | sl.Outliers(0.02).settings()
    store = open_store(tmp_path / "study", posterior, 0, allowed)
    with pytest.raises(sl.InputError, match="a study that differs in"):
        open_store(tmp_path / "study", posterior, 0)
    sample = spread_showcase(1)
    sample = replace(sample, photometry=sample.photometry.with_error_floor({"u": 0.1}))
    asked = []

    def infer(galaxy, draws, method, **options):
        asked.append((method, options["outliers"], galaxy.settings()))
        return sl.PosteriorResult.blank(galaxy, draws, method, np.array(["not tried"]))

    monkeypatch.setattr(posterior, "infer", infer)
    store.save("showcase", fake_chain(sample.photometry[0]))
    assert run._infer(store, sample, posterior, 0, None, NETWORK)
    same = sl.Outliers(0.02), {"error_floor": {"u": 0.1}}
    assert asked == [("weighted", *same), ("exact", *same)]


def test_chains_are_made_once(tmp_path, posterior, tiny_bundle, quick):
    store = open_store(tmp_path / "study", posterior, 0)
    assert run_chains(store, spread_showcase(2), str(tiny_bundle)) == 0
    assert run_chains(store, spread_showcase(3), str(tiny_bundle)) == 0
    assert quick == spread_showcase(3).photometry.ids.tolist()
    assert len(list((tmp_path / "study" / "showcase" / "mcmc").iterdir())) == 3


def test_a_stopped_chain_is_not_kept(tmp_path, posterior, tiny_bundle, quick, monkeypatch):
    stop = threading.Event()

    def run_mcmc(phot, *arguments, **settings):
        result = fake_chain(phot)
        if phot.ids[0] == second:
            stop.set()
            result.badge = np.array(["unfinished"])
        return result

    monkeypatch.setattr(run, "run_mcmc", run_mcmc)
    store, sample = open_store(tmp_path / "study", posterior, 0), spread_showcase(3)
    second = sample.photometry.ids[1]
    assert run_chains(store, sample, str(tiny_bundle), stop=stop) == 2
    kept = [p.stem for p in (tmp_path / "study" / "showcase" / "mcmc").iterdir()]
    assert kept == [sample.photometry.ids[0]]


def leave_a_note(store, sample, posterior, row, stop):
    """A task for other processes."""
    (store.folder / f"row-{row}").write_text(repr(posterior))
    return row != 2


def test_other_processes_share_the_work(tmp_path, posterior, tiny_bundle):
    store, sample = open_store(tmp_path / "study", posterior, 0), spread_showcase(4)
    work = run._Work(leave_a_note, store, sample, str(tiny_bundle), None)
    left = run._each(work, [0, 1, 2, 3], "", 2, False, None)
    assert left == 1  # the one that said that it was not done
    assert {p.read_text() for p in store.folder.glob("row-*")} == {repr(posterior)}
    assert len(list(store.folder.glob("row-*"))) == 4
    with pytest.raises(sl.InputError, match="workers must be positive"):
        run_chains(store, sample, workers=0)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two galaxies with the shipped network; the chains are draws of the prior."""
    store = open_store(tmp_path_factory.mktemp("study") / "s", sl.load_posterior(), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "run_mcmc", fake_chain)
        patch.setattr(run, "DRAWS", DRAWS)
        sample = spread_showcase(2)
        run_chains(store, sample)
        run_network(store, sample)
    return store


def test_every_method_is_compared_with_the_chain(study):
    for galaxy in spread_showcase(2).photometry.ids:
        for method in NETWORK:
            result = study.load("showcase", method, galaxy)
            assert result.method == method and result.ids[0] == galaxy
            table = study.load_comparison("showcase", method, galaxy)
            assert table["parameter"][: len(NAMES)].tolist() == list(NAMES)
            assert 0.6 < table.meta["c2st"] <= 1 and table.meta["id"] == galaxy


def test_the_network_is_asked_again_only_when_told_to(study, monkeypatch):
    asked = []

    def note(store, sample, posterior, row, stop, methods):
        asked.append(row)
        return True

    monkeypatch.setattr(run, "_infer", note)
    sample = spread_showcase(2)
    run_network(study, sample)
    assert asked == []
    everything = {p: p.read_bytes() for p in study.folder.glob("showcase/*/*")}
    saved = {p: content for p, content in everything.items() if p.parent.name == "exact"}
    left = study.path("showcase", "exact", sample.photometry.ids[0])
    run_network(study, sample, methods=("exact",), fresh=True)
    assert asked == [0, 1] and not left.exists()  # the note-taker makes no new one
    kept = {p: p.read_bytes() for p in study.folder.glob("showcase/*/*")}
    assert kept == {p: content for p, content in everything.items() if p not in saved}
    for path, content in saved.items():
        path.write_bytes(content)
    run_network(study, spread_showcase(3))  # the third has no chain
    assert asked == [0, 1]


# Numbers


def test_report_has_a_row_for_each_galaxy_and_method(study):
    table = collect(study)
    assert len(table) == 2 * 4
    chains = table[table["method"] == "mcmc"]
    assert (chains["evaluations"] == 1e6).all() and (chains["seconds"] == 10).all()
    assert (table["evaluations"][table["method"] == "weighted"] == DRAWS).all()
    assert np.isnan(chains["c2st"]).all()
    with pytest.raises(sl.InputError, match="no chain yet"):
        collect(Store(study.folder / "showcase"))


def synthetic(n=40):
    """A table in which the exact posterior is at its floor but for one parameter."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(n):
        for method in NETWORK:
            far = {"fast": 3.0, "weighted": 1.5, "exact": 1.0}[method]
            row = {"sample": "showcase", "id": str(k), "method": method, "chain": "converged"}
            row |= {"c2st": 0.5 + 0.1 * (far - 1) + 1e-4 * k, "c2st_floor": 0.5, "ess": 100.0}
            row |= {"seconds": 1.0, "evaluations": 5.0}
            for p in NAMES:
                bad = p == "tburst" and k < 10
                row[f"js_floor_{p}"] = row[f"w1_floor_{p}"] = 0.05
                row[f"js_{p}"] = row[f"w1_{p}"] = 0.05 * far * (4 if bad else 1)
                row[f"shift_{p}"], row[f"width_{p}"] = rng.normal(), 1.0
            rows.append(row)
    from astropy.table import Table

    table = Table(rows)
    table["chain"] = table["chain"].astype("U20")
    return table


def test_summary_of_numbers_that_are_known():
    table = synthetic()
    summary = {row["method"]: row for row in overall(table)}
    exact = summary["exact"]
    assert exact["galaxies"] == 40 and exact["within_worst"] == 0.75
    assert exact["within"] == pytest.approx((11 + 0.75) / 12)
    assert exact["js"] == exact["js_floor"] == 0.05
    assert summary["fast"]["within"] == 0.0 and summary["weighted"]["c2st"] > exact["c2st"]
    part = table[table["method"] == "exact"]
    assert dict(zip(NAMES, within_floor(part), strict=True))["tburst"] == 0.75
    assert columns(part, "js").shape == (40, 12)
    assert pick_cases(table, "showcase") == {"best": "0", "median": "19", "worst": "39"}


def test_chains_that_did_not_converge_are_left_out():
    table = synthetic()
    table["chain"][:60] = "not converged"  # the first twenty galaxies
    assert set(overall(table)["galaxies"]) == {20}
    table["chain"] = "not converged"
    with pytest.raises(sl.InputError, match="No galaxy"):
        overall(table)


def test_goals_are_judged_honestly(study):
    table = collect(study)
    text = to_markdown(study, table, ["Machine: a test"])
    # The chains are draws of the prior: no posterior can agree with them.
    goals = [line for line in text.splitlines() if line.startswith(("| median C2ST", "| galaxies"))]
    assert len(goals) == 3 and all(line.rstrip(" |").endswith("no") for line in goals)
    assert "2 chains, of which 0 did not converge" in text and "- Machine: a test" in text
    assert "10-100 CPU hours" in text
    widths = {len(line) for line in goals}
    assert len(widths) == 1  # columns line up


def test_distances_are_drawn_with_their_floor(study):
    figure = plot_distances(collect(study), "showcase")
    assert [ax.get_xlabel() for ax in figure.axes][:2] == ["C2ST", "Jensen–Shannon distance"]
    legend = figure.axes[-1].get_legend()
    assert [t.get_text() for t in legend.get_texts()][-1].startswith("Noise floor")


# The command


def test_compare_writes_a_report_and_goes_on(
    tmp_path: Path, quick, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "study"
    command = ["compare", "--galaxies", "1", "--out", str(out)]
    assert main([*command, "--chains-only"]) == 0
    assert not (out / "report.md").exists()
    assert main(command) == 0
    assert len(quick) == 1
    names = {p.name for p in out.iterdir()}
    assert {
        "report.md",
        "report.csv",
        "distances-showcase.png",
        "corner-showcase-worst.png",
    } <= names
    assert "# The network against emcee" in capsys.readouterr().out
    assert main([*command, "--seed", "3"]) == 2
    assert "that differs in seed" in capsys.readouterr().err
    assert main([*command, "--workers", "0"]) == 2
