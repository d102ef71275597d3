"""The calibration card: its summaries on known answers, its goals, its command, its resumption."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

import sedflow_lab as sl
from sedflow_lab._files import fingerprint
from sedflow_lab.commands.main import main
from sedflow_lab.reports.card import CardSettings, make_card
from sedflow_lab.reports.card.badges import summarise_badges
from sedflow_lab.reports.card.goals import judge_goals
from sedflow_lab.reports.card.measure import measure_rows, summarise
from sedflow_lab.reports.card.page import render

SMALL = CardSettings(
    simulations=24,
    exact_simulations=0,
    draws=60,
    galaxies=6,
    weighted_draws=80,
    exact=0,
    catalogue_draws=60,
    judged=0,
    batch=0,
)
MOCKS = 2000
OPTIONS = (
    "--simulations 24 --exact-simulations 0 --draws 60 --galaxies 4 --weighted-draws 80 --exact 1 "
    "--judged 0 --batch 0"
).split()


@pytest.fixture(scope="module", autouse=True)
def _fewer():
    """Simulations that are held against the training set, of which a card takes many more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sedflow_lab.reports.card.make._SUPPORT_MOCKS", MOCKS)
        yield


@pytest.fixture(scope="module")
def bundle(tiny_bundle, tmp_path_factory):
    """A copy that a card may be written into."""
    return shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("card") / "tiny")


@pytest.fixture(scope="module")
def carded(bundle, tmp_path_factory):
    """Folder of the page that the command wrote, with a catalogue of odd rows."""
    out = tmp_path_factory.mktemp("page") / "card"
    table = sl.showcase()[:5].to_table()
    table["flux_u"][1] = -1.0
    table["sigma_g"][2] = 0.0
    table["redshift"][3] = -0.1
    table.write(out.with_name("galaxies.ecsv"))
    argv = ["card", str(bundle), "--out", str(out), *OPTIONS]
    assert main([*argv, "--catalogue", str(out.with_name("galaxies.ecsv"))]) == 0
    return out


def test_command_writes_card_and_page(carded, bundle):
    card = sl.load_posterior(bundle).card
    assert {goal["reached"] for goal in card["goals"]} <= {True, False}
    assert card | {"sha256": fingerprint(card)} == json.loads((bundle / "card.json").read_text())
    assert card["network"] == sl.load_posterior(bundle).bundle.hash
    assert card["calibration"]["fast"]["simulations"] == 24
    assert len(card["calibration"]["weighted"]["quantities"]) == 15
    assert card["training"]["simulations"]["n"] == 1000
    page = (carded / "card.md").read_text()
    for goal in card["goals"]:
        assert goal["goal"] in page
    for name in ("card-pp.png", "card-ranks.png", "card-coverage.png"):
        assert (carded / name).stat().st_size > 10_000
        assert f"({name})" in page
    assert "nan" not in page.lower().replace("nanomag", "")


def test_catalogue_is_inferred_to_the_last_row(carded, bundle):
    found = sl.load_posterior(bundle).card["galaxies"]["catalogue"]
    assert found["galaxies"] == 5
    assert found["usable"] == 4
    assert found["badges"]["bad photometry"] == 1
    assert found["inside_prior"] == 4
    assert found["positive"] == 4
    assert found["positive_without_posterior"] == 1


def test_card_counts_what_is_unlike_the_training_set(carded, bundle):
    found = sl.load_posterior(bundle).card["support"]["groups"]
    assert found["simulations"]["galaxies"] == MOCKS
    assert found["simulations"]["outside"] == 0  # trained on too few simulations to tell
    assert found["catalogue"]["galaxies"] == 4
    assert found["showcase"]["outside"] == sum(found["showcase"]["parts"].values())


def test_second_run_measures_nothing_again(carded, bundle, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise AssertionError("inferred again")

    monkeypatch.setattr("sedflow_lab.anpe.AmortizedPosterior.infer", refuse)
    argv = ["card", str(bundle), "--out", str(carded), *OPTIONS]
    assert main([*argv, "--catalogue", str(carded.with_name("galaxies.ecsv"))]) == 0
    assert "goals are reached" in capsys.readouterr().out


def test_stopped_run_goes_on(bundle, tmp_path):
    posterior = sl.load_posterior(bundle)
    stop = threading.Event()
    stop.set()
    assert make_card(posterior, tmp_path, SMALL, stop=stop) is None
    card, runs = make_card(posterior, tmp_path, SMALL)
    again, _ = make_card(posterior, tmp_path, SMALL)
    assert set(runs) == {"fast", "weighted"}
    assert card["exact"] is None
    assert "showcase" not in card["galaxies"]
    for key in ("calibration", "galaxies", "support", "training"):
        assert card[key] == again[key]


def test_simulations_stand_in_for_real_galaxies(tmp_path):
    posterior = sl.load_posterior("nsa-ugriz")  # of which exact posteriors are quick
    few = replace(SMALL, exact=1, judged=2, batch=1)
    card, _ = make_card(posterior, tmp_path, few)
    assert card["exact"]["galaxies"] == 1
    assert card["badges"]["galaxies"] == 2
    assert card["batch"]["all"]["galaxies"] == 1
    reached = {goal["goal"]: goal["reached"] for goal in card["goals"]}
    assert "at least 65 % of simulated galaxies called ok" in reached
    assert reached[
        "every galaxy of the simulations with positive fluxes has a posterior inside the prior, "
        "and a badge"
    ]
    unmeasured = [goal for goal, found in reached.items() if found is None]
    assert len(unmeasured) == 4
    assert all("showcase galaxies" in goal or "catalogue galaxies" in goal for goal in unmeasured)
    page = render(card, "tiny", {})
    assert "Of 2 simulated galaxies the network's" in page
    assert "draws of 1 simulated galaxies" in page
    assert page.count("not measured: no real galaxies in these bands") == 4


def test_too_few_simulations_are_refused(bundle, tmp_path, capsys):
    argv = ["card", str(bundle), "--out", str(tmp_path / "card"), "--simulations", "5"]
    assert main(argv) == 2
    assert "--simulations: 5 is too few: give 20 or more" in capsys.readouterr().err


def test_catalogue_without_a_usable_galaxy_is_refused(bundle, tmp_path, capsys):
    table = sl.showcase()[:2].to_table()
    table["redshift"] = -1.0
    table.write(tmp_path / "bad.ecsv")
    argv = ["card", str(bundle), "--out", str(tmp_path / "card")]
    assert main([*argv, "--catalogue", str(tmp_path / "bad.ecsv")]) == 2
    assert "No galaxy of" in capsys.readouterr().err


def test_rows_know_draws_beyond_the_prior(tiny_bundle):
    galaxies = sl.showcase()[:3]
    result = sl.load_posterior(tiny_bundle).infer(galaxies, draws=50)
    assert measure_rows(result, galaxies)["inside"] == [True, True, True]
    result.samples[1, 7, 0] = 12.6
    result.samples[2, 3, 1] += 0.01
    rows = measure_rows(result, galaxies)
    assert rows["inside"] == [True, False, False]
    assert summarise(rows)["positive_without_posterior"] == 2


def test_summary_of_known_numbers():
    n = 100
    rows = {
        "badge": ["ok"] * 90 + ["bad photometry"] * 10,
        "usable": [True] * 90 + [False] * 10,
        "inside": [True] * 90 + [False] * 10,
        "positive": [True] * 95 + [False] * 5,
        "fits": [True] * 80 + [False] * 20,
        "chi2_min": [1.0] * 90 + [None] * 10,
        "ess": [0.6] * 76 + [0.4] * 24,
        "efficiency": list(np.arange(90) / 100) + [None] * 10,
        "pareto_k": [0.9] * 9 + [0.1] * 81 + [None] * 10,
        "support": [1e-4] * 18 + [0.5] * 72 + [None] * 10,
    }
    found = summarise(rows)
    assert found["galaxies"] == n
    assert found["usable"] == 90
    assert found["positive_without_posterior"] == 5
    assert found["efficiency"][1] == pytest.approx(0.089)
    assert found["efficiency"][3] == pytest.approx(0.445)
    assert found["efficiency_where_it_fits"][3] == pytest.approx(0.395)
    assert found["heavy_tails"] == pytest.approx(0.1)
    assert found["outside_training_set"] == pytest.approx(0.2)
    assert found["half_effective"] == pytest.approx(0.95)


def test_error_rates_of_badges_are_counted():
    found = summarise_badges(
        {
            "badge": ["ok"] * 6 + ["refine"] * 3 + ["bad photometry"],
            "exact": ["exact"] * 9 + ["unfinished"],
            "off": [0.1, 0.1, 0.2, 0.31, 0.6, None, 0.2, 0.4, 2.0, None],
        }
    )
    assert found == {
        "galaxies": 10,
        "without_exact": 2,
        "ok": 5,
        "ok_share": 0.6,
        "ok_misleads": 2,
        "ok_wrong": 1,
        "ok_worst": 0.6,
        "refine": 3,
        "refine_needless": 1,
        "off_median": 0.255,
    }


def test_goals_are_judged_by_the_numbers(carded, bundle):
    card = sl.load_posterior(bundle).card
    reached = {g["goal"]: g["reached"] for g in judge_goals(card)}
    assert reached["a bundle of at most 25 MB"]
    worse = json.loads(json.dumps(card))
    worse["bundle_bytes"] = 26e6
    worse["speed"] |= {"seconds": 0.31, "batch_rate": 49_999}
    worse["galaxies"]["simulations"]["efficiency"][1:4] = [0.06, 0.2, 0.44]
    worse["badges"] = {"ok": 100, "ok_wrong": 2, "ok_misleads": 5, "ok_share": 0.64, "galaxies": 9}
    worse["batch"] = {
        "draws": 60,
        "threads": 2,
        "all": {"galaxies": 9, "seconds": 0.26},
        "refine": {"galaxies": 3, "seconds": 0.5},
    }
    worse["calibration"]["fast"]["quantities"][3]["ks_p_holm"] = 0.009
    worse["calibration"]["weighted"]["quantities"][12]["inside_band"] = False
    worse["exact"] |= {"half_effective": 0.98, "seconds_median": 1.01}
    judged = {g["goal"]: g["reached"] for g in judge_goals(worse)}
    assert judged["10 % quantile of the sampling efficiency of held-out simulations at least 5%"]
    assert judged["ok is wrong by more than 0.3 σ in at most 5%"]
    in_batch = [good for goal, good in judged.items() if "exact draws in a batch within" in goal]
    assert in_batch == [False, True]
    for goal in (
        "median sampling efficiency of held-out simulations at least 45%",
        "ok is wrong by more than 0.5 σ in at most 1%",
        "at least 65 % of real galaxies called ok",
        "fast: every parameter's KS p above 0.01 after Holm's correction",
        "weighted: TARP and expected coverage within the 99 % band everywhere",
        "exact draws: ESS at least half of the particles for 99 % of galaxies that fit",
        "exact draws within 1 s at the median",
        "10,000 draws of one galaxy within 0.3 s",
        "50,000 draws a second in batches",
        "a bundle of at most 25 MB",
    ):
        assert judged[goal] is False, goal
