"""The demonstration: which galaxies, what it measures, and what it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import sedflow_lab as sl
from sedflow_lab.commands.main import main
from sedflow_lab.errors import InputError
from sedflow_lab.parameters import NAMES
from sedflow_lab.reports import demo


def test_galaxies_are_chosen_by_colour_alone():
    showcase = sl.showcase()
    chosen = demo.choose_galaxies(showcase)
    g_r = showcase.magnitude[:, 1] - showcase.magnitude[:, 2]
    ranks = [np.mean(g_r < g_r[showcase.ids == name][0]) for name in chosen.ids]
    np.testing.assert_allclose(ranks, [0.1, 0.5, 0.9], atol=0.01)
    # A star-forming, an intermediate and a passive galaxy.
    colours = chosen.magnitude[:, 1] - chosen.magnitude[:, 2]
    assert colours[0] < 0.4 < colours[1] < 0.8 < colours[2]
    shuffled = showcase[np.random.default_rng(0).permutation(len(showcase))]
    assert demo.choose_galaxies(shuffled).ids.tolist() == chosen.ids.tolist()
    assert demo.choose_galaxies(showcase, n=1).ids.tolist() == [chosen.ids[1]]
    assert len(set(demo.choose_galaxies(showcase, n=9).ids)) == 9


def test_galaxies_can_be_named():
    showcase = sl.showcase()
    names = [showcase.ids[7], showcase.ids[3]]
    assert demo.choose_galaxies(showcase, names).ids.tolist() == names
    with pytest.raises(InputError, match="'nobody'"):
        demo.choose_galaxies(showcase, ["nobody"])
    for n in (0, len(showcase) + 1):
        with pytest.raises(InputError, match="galaxies were asked for"):
            demo.choose_galaxies(showcase, n=n)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[demo.DemoReport, Path]:
    """A short run for two galaxies, of which the weights of the first are said to be too few."""
    out = tmp_path_factory.mktemp("demo") / "out"
    posterior = sl.load_posterior()
    blue, red = demo.choose_galaxies(sl.showcase(), n=2).ids
    ess = {
        name: posterior.infer(sl.showcase()[sl.showcase().ids == name], 500, "weighted").ess[0]
        for name in (blue, red)
    }
    first, second = sorted(ess, key=lambda name: ess[name])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_DRAWS", 500)
        patch.setattr(demo, "_MIN_ESS", 0.5 * (ess[first] + ess[second]))
        report = demo.run_demo(out, [first, second], posterior=posterior, max_steps=100)
    return report, out


def test_each_galaxy_has_all_methods(small: tuple[demo.DemoReport, Path]):
    first, second = small[0].galaxies
    assert list(first.results) == ["fast", "weighted", "exact", "mcmc"]
    assert list(second.results) == ["fast", "weighted", "mcmc"]
    assert (first.corrected, second.corrected) == ("exact", "weighted")
    for galaxy in (first, second):
        assert galaxy.seconds.keys() == galaxy.results.keys()
        assert all(seconds > 0 for seconds in galaxy.seconds.values())
        assert all(r.ids.tolist() == [galaxy.name] for r in galaxy.results.values())
        assert galaxy.results["mcmc"].provenance["start"] == "prior"
    assert small[0].seconds > sum(sum(g.seconds.values()) for g in small[0].galaxies)


def test_figures_are_written(small: tuple[demo.DemoReport, Path]):
    report, out = small
    figures = [f"{kind}-{g.name}.png" for g in report.galaxies for kind in ("corner", "galaxy")]
    assert {p.name for p in out.iterdir()} == {*figures, "report.md", "summary.ecsv"}
    for name in figures:
        assert (out / name).read_bytes().startswith(b"\x89PNG")
        assert f"({name})" in (out / "report.md").read_text(encoding="utf-8")


def test_summary_holds_medians_diagnostics_and_agreement(small: tuple[demo.DemoReport, Path]):
    report, out = small
    table = Table.read(out / "summary.ecsv")
    assert table["method"].tolist() == ["fast", "weighted", "exact", "mcmc", *_SECOND]
    for row, (galaxy, method) in zip(
        table, [(g, m) for g in report.galaxies for m in g.results], strict=True
    ):
        result = galaxy.results[method]
        assert row["log_mstar"] == pytest.approx(result.quantile(0.5)[0, 0])
        assert row["ess"] == pytest.approx(result.ess[0])
        assert row["seconds"] == galaxy.seconds[method]
        if method in ("fast", galaxy.corrected):
            for k, name in enumerate(NAMES):
                assert row[f"{name}_js"] == pytest.approx(galaxy.agreement[method]["js"][k])
        if method == "mcmc":
            diagnostics = result.diagnostics
            assert row["n_steps"] == 100
            assert row["tau"] == pytest.approx(diagnostics["tau"].max(), nan_ok=True)
            assert row["rhat"] == pytest.approx(diagnostics["rhat"].max(), nan_ok=True)
            assert row["acceptance"] == pytest.approx(diagnostics["acceptance"][0])


_SECOND = ("fast", "weighted", "mcmc")


def test_report_says_how_well_the_methods_agree(small: tuple[demo.DemoReport, Path]):
    report, out = small
    text = (out / "report.md").read_text(encoding="utf-8")
    assert text == report.to_markdown()
    for galaxy in report.galaxies:
        assert f"## NSA {galaxy.name}: g − r = {galaxy.colour:.2f}" in text
        for method in ("fast", galaxy.corrected):
            assert galaxy.agreement[method].meta["verdict"] in text
    assert "too few: exact draws take their place" in text
    # Columns line up, in a terminal too: the rows of a table are equally long.
    table: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
        elif table:
            assert len({len(row) for row in table}) == 1
            table = []


def test_command_runs_the_demonstration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    seen = {}

    def run_demo(out, ids, **settings):
        seen.update(settings, out=out, ids=ids)
        return demo.DemoReport(chosen="Chosen so.")

    monkeypatch.setattr("sedflow_lab.reports.demo.run_demo", run_demo)
    assert main(["demo", "--out", str(tmp_path), "--galaxies", "2", "--seed", "4"]) == 0
    assert (seen["out"], seen["ids"], seen["n"], seen["seed"]) == (str(tmp_path), None, 2, 4)
    printed = capsys.readouterr().out
    assert "Chosen so." in printed and f"are in {tmp_path}" in printed
    assert main(["demo", "--ids", "1", "2"]) == 0
    assert seen["ids"] == ["1", "2"]
    assert main(["demo", "--ids", "1", "--galaxies", "2"]) == 2
    assert "not allowed with" in capsys.readouterr().err
