"""Grids built with FSPS: against a stand-in of known spectra, and for real where FSPS is."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import invented_fsps
import numpy as np
import pytest
import reference_sed
from conftest import TINY

from sedflow_lab import _files
from sedflow_lab.anpe import load_posterior
from sedflow_lab.anpe.simulate import mock_photometry
from sedflow_lab.commands.main import main
from sedflow_lab.errors import InputError, WriteError
from sedflow_lab.parameters import get_prior
from sedflow_lab.reports.grids import compare_ssp_grids
from sedflow_lab.sps import SEDModel, load_ssp_grid
from sedflow_lab.sps.fsps_grid import build_ssp_grid

STANDIN = Path(__file__).with_name("standin_fsps.py")


@pytest.fixture
def fsps_home(tmp_path, monkeypatch):
    """Folder of a stand-in FSPS that is installed and has its data files."""
    site, home = tmp_path / "site", tmp_path / "home"
    metadata = site / "fsps-0.4.7.dist-info"
    for folder in (metadata, home / "data", home / "ISOCHRONES"):
        folder.mkdir(parents=True)
    (site / "fsps.py").write_text(STANDIN.read_text())
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fsps\nVersion: 0.4.7\n")
    (home / "data" / "emlines_info.dat").touch()
    monkeypatch.setenv("SPS_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.delitem(sys.modules, "fsps", raising=False)
    monkeypatch.syspath_prepend(site)
    yield home
    sys.modules.pop("fsps", None)


@pytest.fixture
def build(fsps_home, tmp_path):
    """Build a small grid quietly; by default always into the same file."""

    def run(name="grid.npz", wavelength_range=(3000.0, 6000.0), **options):
        return build_ssp_grid(
            tmp_path / "out" / name, wavelength_range=wavelength_range, progress=False, **options
        )

    return run


def test_grid_holds_what_fsps_gives(build):
    import fsps

    grid = build()
    assert grid.age_gyr[0] == pytest.approx(10**-2.05)  # FSPS's node at the young edge
    assert grid.age_gyr[-2] < 13.8 < grid.age_gyr[-1]
    np.testing.assert_allclose(grid.metallicity, 0.019 * 10**fsps.FEH, rtol=1e-12)
    inside = (fsps.WAVELENGTH >= 3000) & (fsps.WAVELENGTH <= 6000)
    np.testing.assert_array_equal(grid.wavelength_aa, fsps.WAVELENGTH[inside])
    for i, j in [(0, 0), (10, 3), (-1, -1)]:
        log_age = np.log10(grid.age_gyr[i]) + 9
        per_hz = fsps.spectrum_at_node(log_age, fsps.FEH[j])[inside]
        expected = per_hz * 3e18 / fsps.WAVELENGTH[inside] ** 2
        np.testing.assert_allclose(grid.ssp_lsun_per_aa[i, j], expected, rtol=1e-6)
        mass = fsps.mass_at_node(log_age, fsps.FEH[j])
        assert grid.surviving_mass[i, j] == pytest.approx(mass, rel=1e-9)


def test_young_spectrum_is_the_mean_of_the_ten_youngest_bins(build):
    import fsps

    grid = build()
    edges = np.concatenate([[0.0], 10 ** (6.05 + 0.1 * np.arange(10))])
    nodes = np.array([fsps.spectrum_at_node(t, 0.0) for t in fsps.LOG_AGE])
    expected = 0.0
    for low, high in pairwise(edges):
        middle = np.log10(0.5 * (low + high))
        spectrum = [np.interp(middle, fsps.LOG_AGE, column) for column in nodes.T]
        expected = expected + (high - low) / edges[-1] * np.array(spectrum)
    expected = expected * 3e18 / fsps.WAVELENGTH**2
    inside = (fsps.WAVELENGTH >= 3000) & (fsps.WAVELENGTH <= 6000)
    np.testing.assert_allclose(grid.young_lsun_per_aa[3], expected[inside], rtol=1e-6)
    assert grid.young_age_max_gyr == pytest.approx(edges[-1] * 1e-9)


@pytest.mark.parametrize("write", [1, 2, 6, 7])
def test_a_full_disk_is_one_sentence_and_costs_no_part(build, tmp_path, monkeypatch, write):
    """At the settings, the first and the last metallicity, and the grid."""
    calls = []

    def full(path):
        calls.append(path)
        if len(calls) == write:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_files, "to_disk", full)
        with pytest.raises(WriteError, match=r"No space left.*make room"):
            build()
    assert not (tmp_path / "out" / "grid.npz").exists()
    parts = list((tmp_path / "out" / "grid.npz.parts").glob("metallicity_*"))
    assert len(parts) == max(write - 2, 0)
    assert build().hash == build("again.npz").hash


def test_nodes_give_what_fsps_gives_at_any_age(build):
    """Linear in log age between the grid's nodes is what FSPS does itself."""
    import fsps

    grid = build()
    population = fsps.StellarPopulation(imf_type=1)
    for age in (0.01007, 0.37, 12.51):
        _, expected = population.get_spectrum(zmet=2, tage=age, peraa=True)
        inside = (fsps.WAVELENGTH >= 3000) & (fsps.WAVELENGTH <= 6000)
        found = [
            np.interp(np.log(age), np.log(grid.age_gyr), c) for c in grid.ssp_lsun_per_aa[:, 1].T
        ]
        np.testing.assert_allclose(found, expected[inside], rtol=1e-6)


def test_model_with_galex_on_the_full_range(build):
    grid = build(wavelength_range=(1000.0, 60_000.0))
    model = SEDModel(bands="galex-sdss", ssp=grid, redshift_max=0.03)
    theta, redshift = get_prior("flat-dirichlet").sample(3, seed=1), np.array([0.004, 0.016, 0.03])
    expected = [
        reference_sed.photometry(grid, model.bands, t, z, 0.1)
        for t, z in zip(theta, redshift, strict=True)
    ]
    # GALEX's curves have a sample every 40 Angstrom: so coarse is the yardstick.
    np.testing.assert_allclose(model.photometry(theta, redshift), expected, rtol=5e-3)


def test_file_holds_grid_and_provenance(build, tmp_path):
    grid = build()
    loaded = load_ssp_grid(tmp_path / "out" / "grid.npz")
    assert loaded.hash == grid.hash
    assert loaded.provenance == grid.provenance
    assert grid.provenance["code"] == "FSPS through python-fsps 0.4.7"
    assert (grid.provenance["isochrones"], grid.provenance["spectra"]) == ("mist", "miles")
    assert grid.provenance["options"]["imf_type"] == 1
    assert grid.provenance["date"].endswith("+00:00")
    assert [f.name for f in (tmp_path / "out").iterdir()] == ["grid.npz"]


def test_interrupted_build_goes_on_where_it_was(build, tmp_path, monkeypatch):
    whole = build("whole.npz")
    import fsps

    real, asked = fsps.StellarPopulation.get_spectrum, []

    def stop_in_the_third(self, zmet=None, tage=0.0, peraa=False):
        asked.append(zmet)
        if asked.count(3) == 20:
            raise KeyboardInterrupt
        return real(self, zmet, tage, peraa)

    monkeypatch.setattr(fsps.StellarPopulation, "get_spectrum", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        build()
    assert not (tmp_path / "out" / "grid.npz").exists()
    parts = tmp_path / "out" / "grid.npz.parts"
    assert len(list(parts.glob("metallicity_*.npz"))) == 2

    asked[:] = [3] * 20  # count() no longer meets 20 exactly
    assert build().hash == whole.hash
    assert set(asked[20:]) == {3, 4, 5}
    assert not parts.exists()


def test_parts_of_other_settings_are_not_used(build, tmp_path, monkeypatch):
    import fsps

    real = fsps.StellarPopulation.get_spectrum

    def stop_in_the_second(self, zmet=None, tage=0.0, peraa=False):
        if zmet == 2:
            raise KeyboardInterrupt
        return real(self, zmet, tage, peraa)

    with monkeypatch.context() as patch:
        patch.setattr(fsps.StellarPopulation, "get_spectrum", stop_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            build(wavelength_range=(3000.0, 6000.0))
    grid = build(wavelength_range=(4000.0, 9000.0))
    assert grid.wavelength_aa[0] >= 4000
    assert grid.wavelength_aa[-1] > 8900


def test_other_files_in_the_working_folder_survive(build, tmp_path):
    note = tmp_path / "out" / "grid.npz.parts" / "mine.txt"
    note.parent.mkdir(parents=True)
    note.write_text("keep")
    build()
    assert note.read_text() == "keep"


def replace_in_standin(old: str, new: str) -> None:
    file = Path(os.environ["PYTHONPATH"]) / "fsps.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_other_libraries_are_refused_unless_asked_for(build, tmp_path):
    replace_in_standin('b"miles"', 'b"c3k_lr"')
    replace_in_standin("np.float32(0.0142)", "np.float32(0.0185)")
    with pytest.raises(InputError, match=r"c3k_lr.*stands on mist.*0\.0142 and miles.*<0\.5"):
        build()
    grid = build(other_libraries=True)
    assert grid.provenance["solar_metallicity"] == pytest.approx(0.0185)
    assert grid.metallicity[3] == pytest.approx(0.019)  # solar keeps its label


def test_gas_is_as_metal_rich_as_the_stars_and_is_recorded(build):
    import fsps

    plain, grid = build(), build("nebular.npz", nebular=True)
    inside = (fsps.WAVELENGTH >= 3000) & (fsps.WAVELENGTH <= 6000)
    for i, j in [(0, 0), (2, 4), (20, 2)]:  # 9 Myr, 14 Myr and 0.9 Gyr, which has no gas
        log_age = np.log10(grid.age_gyr[i]) + 9
        light = fsps.spectrum_at_node(log_age, fsps.FEH[j])
        light = light + fsps.gas_at_node(log_age, fsps.FEH[j], -2.0)
        expected = light[inside] * 3e18 / fsps.WAVELENGTH[inside] ** 2
        np.testing.assert_allclose(grid.ssp_lsun_per_aa[i, j], expected, rtol=1e-6)
    assert (grid.young_lsun_per_aa > plain.young_lsun_per_aa).any(1).all()
    np.testing.assert_array_equal(grid.ssp_lsun_per_aa[5:], plain.ssp_lsun_per_aa[5:])
    assert grid.provenance["nebular"] and not plain.provenance["nebular"]
    assert grid.provenance["options"]["gas_logu"] == -2.0
    assert "with nebular emission" in repr(grid) and "nebular" not in repr(plain)


@pytest.fixture
def fsps_4(fsps_home):
    """The stand-in, as python-fsps 0.5.0 is."""
    site = Path(os.environ["PYTHONPATH"])
    (site / "fsps-0.4.7.dist-info").rename(site / "fsps-0.5.0.dist-info")
    metadata = site / "fsps-0.5.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("0.4.7", "0.5.0"))
    replace_in_standin('b"miles"', 'b"c3k_lr"')
    replace_in_standin("np.float32(0.0142)", "np.float32(0.0185)")
    importlib.invalidate_caches()
    return site


def test_fsps_4_is_known_as_that(fsps_4, build):
    with pytest.raises(InputError, match=r"python-fsps 0\.5\.0 has mist.*0\.0185 and c3k_lr"):
        build()
    grid = build(other_libraries=True, nebular=True)
    assert grid.provenance["code"] == "FSPS through python-fsps 0.5.0"
    assert grid.name == "mist-c3k_lr" and grid.solar_metallicity == pytest.approx(0.0185)
    np.testing.assert_allclose(grid.metallicity[3], 0.019, rtol=1e-6)


def test_several_mixtures_of_elements_are_refused(fsps_4, build):
    replace_in_standin("N_AFE = 1", "N_AFE = 5")
    with pytest.raises(InputError, match=r"AFE_FLAG=1.*install it without"):
        build(other_libraries=True)


def test_steps_are_those_of_the_version(fsps_4, build, monkeypatch):
    monkeypatch.delenv("SPS_HOME")
    with pytest.raises(InputError, match=r"data of python-fsps 0\.5\.0.*FSPS 4.*branch v0\.5\.0 "):
        build(other_libraries=True)
    monkeypatch.setattr("sedflow_lab.sps.fsps_grid.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"FSPS 4.*pip install 'fsps>=0\.5'.*branch v0\.5\.0 "):
        build(other_libraries=True)
    with pytest.raises(InputError, match=r"FSPS 3.*sedflow_lab\[fsps\].*branch v0\.4\.7 "):
        build()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("package", "not installed.*Two steps.*pip install.*git clone.*SPS_HOME"),
        ("variable", "SPS_HOME is not set.*Two steps"),
        ("folder", "FSPS does not start.*right data files.*Two steps"),
        ("isochrones", "FSPS does not start.*zlegend.dat cannot be opened.*Two steps"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(build, fsps_home, monkeypatch, what, message):
    if what == "package":
        monkeypatch.setattr("sedflow_lab.sps.fsps_grid.find_spec", lambda name: None)
    elif what == "variable":
        monkeypatch.delenv("SPS_HOME")
    elif what == "folder":
        (fsps_home / "data" / "emlines_info.dat").unlink()
    else:  # Fortran ends the process, and claims success
        (fsps_home / "ISOCHRONES").rmdir()
    with pytest.raises(InputError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_wavelength_range_must_rise(build):
    with pytest.raises(InputError, match="must rise"):
        build(wavelength_range=(6000.0, 3000.0))


def test_commands_from_a_grid_with_the_ultraviolet_to_its_posterior(fsps_home, tmp_path, capsys):
    """GALEX beside SDSS: build, compare, simulate, train, infer; and no other grid passes."""

    def run(*argv):
        code = main([str(a) for a in argv])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    grid, figure, simulations, out = (
        tmp_path / name for name in ("grid.npz", "grids.png", "simulations", "posterior")
    )
    code, printed, _ = run("ssp", "build", grid)
    built = load_ssp_grid(grid)
    assert code == 0 and built.hash in printed and f"--ssp {grid}" in printed
    code, printed, _ = run("ssp", "compare", "shipped", grid, "--out", figure)
    assert code == 0 and built.hash in printed and load_ssp_grid().hash in printed
    assert figure.read_bytes().startswith(b"\x89PNG")
    code, _, error = run("ssp", "compare", "shipped", grid, "--bands", "galex-sdss")
    assert code == 2 and "covers 2305-" in error

    bands = ("--bands", "galex-sdss", "--ssp", grid)
    assert run("simulate", simulations, *bands, "-n", 1000)[0] == 0
    code, _, error = run("simulate", simulations, "-n", 1000)
    assert code == 2 and built.hash in error and "(--ssp)" in error
    argv = ("train", out, "--simulations", simulations, "--depth", 23, *TINY[:-2], "--steps", 40)
    code, _, error = run(*argv)
    assert code == 2 and built.hash in error
    assert run(*argv, "--ssp", grid)[0] == 0

    posterior = load_posterior(out, ssp=built)
    assert posterior.bands.labels == ("fuv", "nuv", "u", "g", "r", "i", "z")
    mocks, _ = mock_photometry(posterior.model, posterior.prior, posterior.bundle.noise, 2, seed=1)
    mocks.to_table().write(tmp_path / "mocks.ecsv")
    argv = ("infer", tmp_path / "mocks.ecsv", "--posterior", out, "--draws", 50)
    argv += ("--out", tmp_path / "results.ecsv")
    code, _, error = run(*argv)
    assert code == 2 and built.hash in error and load_ssp_grid().hash in error
    assert run(*argv, "--ssp", grid)[0] == 0
    with pytest.raises(
        InputError, match=rf"SSP grid {built.hash}, not with {load_ssp_grid().hash}"
    ):
        load_posterior(out)


def test_commands_name_grids_that_are_none(tmp_path, capsys):
    text = tmp_path / "text.npz"
    text.write_text("not a grid")
    np.savez(tmp_path / "other.npz", age_gyr=np.ones(2))
    for path, message in (
        (text, "Cannot read the SSP grid"),
        (tmp_path / "other.npz", "is not an SSP grid: it lacks metallicity"),
        (tmp_path / "nowhere.npz", "Cannot read the SSP grid"),
    ):
        assert main(["ssp", "compare", "shipped", str(path)]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
        assert main(["simulate", str(tmp_path / "set"), "--ssp", str(path)]) == 2
        assert message in capsys.readouterr().err


_INSTALLED = version("fsps") if find_spec("fsps") else ""


@pytest.mark.fsps
@pytest.mark.timeout(900)
@pytest.mark.skipif(not _INSTALLED.startswith("0.4."), reason="needs python-fsps 0.4 (FSPS 3)")
def test_fsps_itself_makes_what_is_expected_of_invented_stars(tmp_path):
    """python-fsps and FSPS as they are, without their gigabyte of data: with and without gas."""
    invented_fsps.write(tmp_path / "home")
    grids = []
    for options in ([], ["--nebular"]):
        path = tmp_path / f"grid{len(options)}.npz"
        argv = ["ssp", "build", str(path), "--wavelength-range", "1000", "10000", *options]
        code = f"import sys; from sedflow_lab.commands.main import main; sys.exit(main({argv}))"
        environment = os.environ | {"SPS_HOME": str(tmp_path / "home")}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        grids.append(load_ssp_grid(path))
    plain, gas = grids
    assert (plain.name, len(plain.metallicity)) == ("mist-miles", len(invented_fsps.FEH))
    assert plain.metallicity[9] == pytest.approx(0.019, rel=1e-6)
    log_age = np.log10(plain.age_gyr) + 9
    nodes = np.abs(log_age[:, None] - invented_fsps.LOG_AGE).min(1)
    np.testing.assert_allclose(nodes, 0.0, atol=1e-6)
    light = []  # over that of a star, which is a constant: all ages have the same initial masses
    for i in (0, 20, -1):
        for j, rich in ((2, False), (9, True)):
            star = invented_fsps.star(
                plain.wavelength_aa, invented_fsps.temperature(log_age[i]), rich
            )
            star = star * invented_fsps.luminosity(log_age[i]) / plain.wavelength_aa**2
            light.append(plain.ssp_lsun_per_aa[i, j] / star)
    np.testing.assert_allclose(light, np.mean(light), rtol=0.01)  # lines between 14 temperatures
    more = gas.ssp_lsun_per_aa - plain.ssp_lsun_per_aa
    young = log_age < np.log10(invented_fsps.GAS_AGE[-1])
    assert (more[young] > 0).any(axis=(1, 2)).all() and (more[~young] == 0).all()
    # Stars of [Fe/H] = -1 and -0.5 shine alike here; their gas as its metallicity.
    at = more[0, 5] > 0.01 * plain.ssp_lsun_per_aa[0, 5]
    assert at.any()
    np.testing.assert_allclose(more[0, 7, at] / more[0, 5, at], 10**0.5, rtol=0.02)


@pytest.mark.fsps
@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    find_spec("fsps") is None or not os.environ.get("SPS_HOME"),
    reason="needs python-fsps and FSPS's data files (SPS_HOME)",
)
def test_fsps_itself_agrees_with_the_shipped_grid(tmp_path):
    grid = build_ssp_grid(tmp_path / "grid.npz")
    assert grid.wavelength_aa[0] < 1010 and grid.wavelength_aa[-1] > 59_000
    comparison = compare_ssp_grids(None, grid, "sdss-ugriz")
    assert len(comparison.age_gyr) == 64
    table = comparison.summary()
    assert (np.abs(table["median"]) < 0.01).all()
    assert (table["scatter"] < 0.02).all()
    assert np.abs(comparison.delta_surviving_mass).max() < 0.02
