from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import reference_sed as slow
import torch
from astropy import units as u
from astropy.cosmology import Planck13
from astropy.table import Table
from speclite import filters

import sedflow_lab as sl
from sedflow_lab.catalogue.run import infer_catalogue as infer_table
from sedflow_lab.commands.main import main
from sedflow_lab.errors import InputError
from sedflow_lab.panels.catalogue.results import WIDTH, Results, axis_text
from sedflow_lab.panels.galaxy import words
from sedflow_lab.parameters import get_prior
from sedflow_lab.plots import plot_corner
from sedflow_lab.quantities import QUANTITIES, get_quantity
from sedflow_lab.sps import SEDModel
from sedflow_lab.sps.bands import BAND_SETS
from sedflow_lab.sps.rest_frame import RestFrame, at_rest, names_at_rest
from sedflow_lab.sps.sun import SOLAR_MAGNITUDE

MPC, TEN_PARSEC = 3.0856775814913673e24, 1e-5


@pytest.fixture(scope="module")
def model():
    return SEDModel(dtype=torch.float64, redshift_max=0.25)


def galaxies(n, seed=5):
    redshift = np.random.default_rng(seed).uniform(1e-3, 0.25, n)
    return get_prior().sample(n, seed=seed), redshift


@pytest.mark.parametrize("name", ["sdss-ugriz", "lsst-ugrizy", "sdss-2mass"])
def test_absolute_magnitudes_are_those_that_speclite_makes_of_the_spectra(model, name):
    theta, redshift = galaxies(40)
    found = RestFrame(model, name)(theta, redshift)
    spectra = model.spectrum(theta, redshift) * 3.846e33 / (4 * np.pi * (TEN_PARSEC * MPC) ** 2)
    for label, filter_name in zip(
        RestFrame(model, name).bands.labels, BAND_SETS[name], strict=True
    ):
        # Finer than the spectra: speclite interpolates the response, and not the flux, otherwise.
        wavelength = np.union1d(model.wavelength, np.arange(2500.0, 25_000.0, 2.0))
        band = filters.load_filter(filter_name)
        for row, spectrum in enumerate(spectra):
            flux = np.interp(wavelength, model.wavelength, spectrum)
            wanted = band.get_ab_magnitude(flux * u.Unit("erg / (s cm2 AA)"), wavelength * u.AA)
            assert found[f"abs_mag_{label}"][row] == pytest.approx(wanted, abs=2e-3), (label, row)


def test_absolute_magnitudes_are_those_of_the_slow_model(model):
    theta, redshift = galaxies(60, 6)
    found = at_rest(model).photometry(theta, redshift)
    for row, (t, z) in enumerate(zip(theta, redshift, strict=True)):
        wanted = slow.photometry(model.ssp, model.bands, t, z, 0.1, refine=2, at_rest=True)
        assert found[row] == pytest.approx(wanted, rel=2e-3)


def test_k_corrections_close_the_sum_of_magnitudes(model):
    theta, redshift = galaxies(50, 7)
    found = at_rest(model)(theta, redshift)
    modulus = Planck13.distmod(redshift).value
    apparent = sl.magnitude(model.photometry(theta, redshift))
    for k, label in enumerate(model.bands.labels):
        total = found[f"abs_mag_{label}"] + found[f"k_corr_{label}"] + modulus
        assert total == pytest.approx(apparent[:, k], abs=2e-4)


def test_k_corrections_vanish_near_us(model):
    theta = get_prior().sample(50, seed=8)
    found = at_rest(model)(theta, 1e-4)
    for label in model.bands.labels:
        assert np.abs(found[f"k_corr_{label}"]).max() < 3e-3


def test_colours_and_mass_to_light_ratios_follow_from_magnitudes_and_mass(model):
    theta, redshift = galaxies(30, 9)
    found = at_rest(model)(theta, redshift)
    assert found["colour_g_r"] == pytest.approx(found["abs_mag_g"] - found["abs_mag_r"])
    mass = sl_derived(model, theta, redshift)["log_mstar_surviving"]
    luminosity = -0.4 * (found["abs_mag_r"] - SOLAR_MAGNITUDE["sdss2010-r"])
    assert found["log_ml_r"] == pytest.approx(mass - luminosity)
    # Those of galaxies with little dust are what everyone finds (Bell et al. 2003, figure 20).
    clear = (theta[:, 9] + theta[:, 10]) < 1.0
    assert np.all(np.abs(found["log_ml_r"][clear]) < 1.2)


def sl_derived(model, theta, redshift):
    from sedflow_lab.sps.properties import derived

    return derived(theta, redshift, model)


def test_other_bands_have_no_k_correction_and_need_no_known_sun(model):
    names = set(at_rest(model, "decam-grz").names)
    assert {"abs_mag_g", "colour_g_r", "colour_r_z", "log_ml_z"} <= names
    assert not any(name.startswith("k_corr") for name in names)
    own = sl.get_bands([sl.get_bands("sdss-ugriz").bands[2], "bessell-V"])
    assert set(at_rest(model, own).names) == {
        "abs_mag_r",
        "abs_mag_V",
        "colour_r_V",
        "k_corr_r",
        "log_ml_r",
    }


def test_bands_that_the_grid_does_not_reach_are_refused(model):
    with pytest.raises(InputError, match=r"galex-fuv.*ssp build"):
        at_rest(model, "galex-sdss")


def test_every_band_of_the_named_sets_but_the_ultraviolet_knows_the_sun():
    filters_of_sets = {name for bands in BAND_SETS.values() for name in bands}
    assert filters_of_sets - set(SOLAR_MAGNITUDE) == {"galex-fuv", "galex-nuv"}


def test_the_sun_has_its_colours():
    """The SDSS's own estimates are 0.44 +- 0.02 in g - r and 0.03 +- 0.02 in i - z."""
    sun = {name[-1]: SOLAR_MAGNITUDE[f"sdss2010-{name}"] for name in "ugriz"}
    assert sun["g"] - sun["r"] == pytest.approx(0.46, abs=0.04)
    assert sun["i"] - sun["z"] == pytest.approx(0.03, abs=0.03)


def test_quantities_at_rest_have_names_units_and_limits():
    quantity = get_quantity("abs_mag_r")
    assert (quantity.column_unit, quantity.text) == ("mag", "M r")
    assert get_quantity("colour_g_r").text == "g − r"
    assert get_quantity("log_mstar") is QUANTITIES["log_mstar"]
    for wrong in ("abs_mag_", "magnitude_r", "", None, 3, []):
        with pytest.raises(InputError, match="There is no quantity"):
            get_quantity(wrong)


def test_magnitudes_at_rest_have_three_decimals_and_others_two():
    values = dict.fromkeys(QUANTITIES, np.full(3, 0.1234))
    at = {"abs_mag_r": -20.1239, "colour_g_r": 0.6543, "k_corr_r": 0.0123, "log_ml_r": 0.4567}
    outcome = SimpleNamespace(
        result=SimpleNamespace(weights=np.full((1, 3), 1 / 3), ids=["a"]),
        values=values,
        at_rest={name: np.full(3, value) for name, value in at.items()},
    )
    shown = words.table(outcome, None, values | at | dict.fromkeys(QUANTITIES, 0.5))
    for text in ("−20.124", "0.654", "0.012", "0.46", "0.12"):
        assert f"<b>{text}</b>" in shown and f"{text} … {text}" in shown
    assert "<i>−20.124</i>" in shown and "<i>0.50</i>" in shown


def test_tables_have_rest_frame_quantities_where_asked_for(posterior, galaxies_of_test):
    result = posterior.infer(galaxies_of_test, 200, seed=3)
    plain = result.summary(model=posterior.model)
    table = result.summary(model=posterior.model, rest_frame="sdss-ugriz")
    assert set(plain.colnames) < set(table.colnames)
    assert {"abs_mag_r", "abs_mag_r_lo", "k_corr_u_hi", "log_ml_i", "colour_u_g"} <= set(
        table.colnames
    )
    assert str(table["abs_mag_r"].unit) == "mag"
    values = result.derived(posterior.model, rest_frame="sdss-ugriz")["abs_mag_r"]
    assert values.shape == (len(result), 200)
    assert table["abs_mag_r"] == pytest.approx(np.median(values, axis=1), abs=0.02)


def test_quantities_at_rest_are_the_same_bits_in_whatever_company(model):
    samples = sl.get_prior().sample(90, seed=0).reshape(6, 15, 12)
    several = sl.PosteriorResult.of(sl.showcase()[:6], samples, "fast", "ok")
    found = several.derived(model, "sdss-ugriz")
    for k, one in enumerate(several):
        for name, values in one.derived(model, "sdss-ugriz").items():
            np.testing.assert_array_equal(values[0], found[name][k], err_msg=name)


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture(scope="module")
def galaxies_of_test():
    return sl.showcase()[:4]


def test_stores_and_tables_of_catalogues_keep_them(posterior, galaxies_of_test, tmp_path):
    path = tmp_path / "in.ecsv"
    galaxies_of_test.to_table().write(path)
    how = {"draws": 100, "posterior": posterior, "rest_frame": "sdss-ugriz"}
    found = sl.infer_catalogue(path, tmp_path / "out.zarr", **how)
    wanted = posterior.infer(galaxies_of_test, 100, seed=0).summary(
        model=posterior.model, rest_frame="sdss-ugriz"
    )
    assert set(found.quantities) - set(QUANTITIES) == set(
        names_at_rest(posterior.bands, posterior.bands)
    )
    again = sl.open_catalogue(tmp_path / "out.zarr").summary
    for name in ("abs_mag_g", "colour_u_g_lo", "k_corr_z_hi", "log_ml_r"):
        assert again[name] == pytest.approx(wanted[name], abs=1e-5), name
    assert str(again["k_corr_z"].unit) == "mag"
    assert "at rest" in again["colour_g_r"].description
    with pytest.raises(InputError, match="rest_frame"):
        sl.infer_catalogue(path, tmp_path / "out.zarr", **how | {"rest_frame": "decam-grz"})
    columns = Results.of(found).columns
    assert columns["abs_mag_r"] == pytest.approx(np.asarray(wanted["abs_mag_r"]), abs=1e-5)
    assert axis_text("abs_mag_r" + WIDTH) == "± M r [mag]"


def test_the_command_line_adds_them(galaxies_of_test, tmp_path, capsys):
    galaxies_of_test[:2].to_table().write(tmp_path / "in.ecsv")
    words = ["infer", str(tmp_path / "in.ecsv"), "--draws", "100", "--rest-frame"]
    assert main([*words, "sdss-ugriz", "--out", str(tmp_path / "out.ecsv")]) == 0
    table = Table.read(tmp_path / "out.ecsv")
    assert table.meta["rest_frame"] == "sdss-ugriz"
    assert np.all(table["abs_mag_r_lo"] < table["abs_mag_r_hi"])


@pytest.mark.parametrize("name", ["no.ecsv", "no.zarr"])
def test_bands_at_rest_that_are_none_are_refused_before_anything_is_read(name, tmp_path, capsys):
    words = ["infer", "no.csv", "--posterior", "no", "--rest-frame", "nowhere-u"]
    assert main([*words, "--out", str(tmp_path / name)]) == 2
    assert "nowhere-u" in capsys.readouterr().err


def test_bands_at_rest_beyond_the_stars_are_refused_before_work(posterior, monkeypatch, tmp_path):
    def fail(*args, **settings):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("sedflow_lab.catalogue.atlas.scan", fail)
    monkeypatch.setattr(type(posterior), "infer", fail)
    far = "galex-sdss"
    with pytest.raises(InputError, match="The SSP grid covers"):
        sl.infer_catalogue(
            sl.showcase()[:2], tmp_path / "a.zarr", posterior=posterior, rest_frame=far
        )
    with pytest.raises(InputError, match="The SSP grid covers"):
        infer_table(posterior, sl.showcase()[:2], tmp_path / "a.ecsv", rest_frame=far)
    assert not list(tmp_path.iterdir())


def test_corner_plots_and_flat_priors_know_them(posterior, galaxies_of_test):
    result = posterior.infer(galaxies_of_test[:1], 500, seed=1)
    figure = plot_corner(result, parameters=["abs_mag_r", "log_ml_r"], model=posterior.model)
    assert "M_{\\rm r}" in " ".join(axes.get_xlabel() for axes in figure.axes)
    with pytest.raises(InputError, match="no quantity 'abs_mag_Ks'"):
        plot_corner(result, parameters=["abs_mag_Ks"], model=posterior.model)
    flat = result.reweight(["log_ml_r"], posterior.model)
    assert flat.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("band", ["a_b_c", "100%$x^", "{", "\\rm", "#", "a b", "x~y", "&", "g-1"])
def test_labels_of_filters_of_any_name_can_be_drawn(band):
    from matplotlib.mathtext import MathTextParser

    for kind in ("abs_mag", "colour_r", "k_corr", "log_ml"):
        MathTextParser("path").parse(get_quantity(f"{kind}_{band}").label)
