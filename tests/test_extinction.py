"""Galactic extinction against published coefficients, and the SDSS's asinh magnitudes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal

from sedflow_lab.errors import InputError
from sedflow_lab.observations import Photometry, read_photometry
from sedflow_lab.observations.extinction import LAWS, correct_extinction, extinction_per_ebv
from sedflow_lab.observations.luptitudes import SOFTENING
from sedflow_lab.sps import get_bands

BANDS = "ugriz"
FLUX = np.array([30.0, 75.0, 104.0, 130.0, 145.0])


def galaxies(n=3, **changes):
    given = {"flux": np.tile(FLUX, (n, 1)), "sigma": np.tile(0.05 * FLUX, (n, 1))}
    return Photometry(**(given | {"redshift": np.full(n, 0.03)} | changes))


# --- Galactic extinction ------------------------------------------------------------------------

needs_curves = pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('dust_extinction')",
    reason="dust_extinction is not installed",
)


@needs_curves
@pytest.mark.parametrize(
    "bands, published",
    [
        ("sdss-ugriz", [4.239, 3.303, 2.285, 1.698, 1.263]),
        ("twomass-J,twomass-H,twomass-Ks", [0.709, 0.449, 0.302]),
        ("decam2014-g,decam2014-r,decam2014-i,decam2014-z", [3.237, 2.176, 1.595, 1.217]),
    ],
)
def test_coefficients_of_schlafly_and_finkbeiner(bands, published):
    """Table 6, R_V = 3.1; they average over a stellar spectrum, where we take one wavelength."""
    assert_allclose(extinction_per_ebv(get_bands(bands)), published, rtol=0.05)


@needs_curves
@pytest.mark.parametrize("law", LAWS)
def test_fluxes_and_uncertainties_are_corrected_alike(law):
    phot = galaxies(ids=["a", "b", "c"])
    ebv = np.array([0.0, 0.1, 0.5])
    made = correct_extinction(phot, ebv, law)
    magnitudes = phot.magnitude - made.magnitude
    assert_allclose(magnitudes, ebv[:, None] * extinction_per_ebv(phot.bands, law), atol=1e-12)
    assert_allclose(made.snr, phot.snr)
    assert_array_equal(made.ebv, ebv)
    assert_array_equal(made[1:].ebv, [0.1, 0.5])
    assert_array_equal(made.drop_bands("u").ebv, ebv)
    assert_array_equal(Photometry.concatenate([phot, made]).ebv, [0, 0, 0, 0, 0.1, 0.5])
    with pytest.raises(InputError, match="has been corrected for Galactic extinction before"):
        correct_extinction(made, ebv)


@needs_curves
def test_a_catalogue_is_corrected_once(tmp_path):
    table = galaxies().to_table()
    table["E(B-V)"] = [0.05, 0.1, 0.2]
    table.write(tmp_path / "a.csv")
    made = read_photometry(tmp_path / "a.csv", extinction="F99")
    assert_allclose(made.flux, correct_extinction(galaxies(), [0.05, 0.1, 0.2]).flux)
    assert_array_equal(read_photometry(tmp_path / "a.csv").ebv, 0)  # unless it is asked for
    again = made.to_table()
    assert_array_equal(Photometry.from_table(again).ebv, made.ebv)
    again["ebv"] = 0.1
    with pytest.raises(InputError, match="corrected for Galactic extinction before"):
        Photometry.from_table(again, extinction="F99")
    table.rename_column("E(B-V)", "dust")
    assert_allclose(
        Photometry.from_table(table, columns={"ebv": "dust"}, extinction="F99").flux, made.flux
    )
    with pytest.raises(InputError, match="no column ebv for the extinction law F99"):
        Photometry.from_table(table, extinction="F99")


@needs_curves
@pytest.mark.parametrize("ebv", [np.nan, -0.01, 6.0, np.inf])
def test_reddening_that_cannot_be(ebv):
    with pytest.raises(InputError) as error:
        correct_extinction(galaxies(), [0.1, ebv, 0.1])
    assert f"Galaxy '1' (row 1, counting from 0): E(B-V) is {ebv:g} but must" in str(error.value)
    made = correct_extinction(galaxies(6)[3:], [0.1, ebv, 0.1], on_bad="flag")
    assert_array_equal(made.usable, [True, False, True])
    assert "(row 4, counting from 0): E(B-V) is" in made.problems[1]
    assert_array_equal(made.flux[1], FLUX)  # as it was


@needs_curves
def test_laws_that_do_not_reach():
    with pytest.raises(InputError, match="F99 does not reach the band W1: use G23"):
        extinction_per_ebv(get_bands("sdss-wise"))
    assert 0 < extinction_per_ebv(get_bands("sdss-wise"), "G23")[-1] < 0.2
    with pytest.raises(InputError, match="no extinction law 'SMC'"):
        extinction_per_ebv(get_bands("sdss-wise"), "SMC")


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dust_extinction", None)
    with pytest.raises(InputError, match="pip install dust_extinction"):
        correct_extinction(galaxies(), 0.1)


# --- asinh magnitudes ---------------------------------------------------------------------------


def luptitude(flux, b):
    """Lupton, Gunn & Szalay (1999), equation 3, of fluxes in nanomaggies."""
    return -2.5 / np.log(10) * (np.arcsinh(flux * 1e-9 / (2 * b)) + np.log(b))


def asinh_table(flux, step=0.0):
    table = Table({"redshift": [0.03]})
    for label, f, b in zip(BANDS, flux, SOFTENING.values(), strict=True):
        table[f"asinhmag_{label}"] = [luptitude(f + step, b)]
        table[f"asinhmag_err_{label}"] = [0.1]
    return table


@pytest.mark.parametrize("flux", [FLUX, [0.1, 0.05, 0.01, 0.2, 1.0], [-1.0, -0.2, -0.1, 0.3, -2.0]])
def test_asinh_magnitudes_are_turned_into_fluxes(flux):
    phot = Photometry.from_table(asinh_table(flux))
    assert_allclose(phot.flux[0], flux, rtol=1e-9)
    step = 1e-6
    slope = [
        (asinh_table(flux, step)[f"asinhmag_{x}"][0] - asinh_table(flux)[f"asinhmag_{x}"][0]) / step
        for x in BANDS
    ]
    assert_allclose(phot.sigma[0], 0.1 / np.abs(slope), rtol=1e-4)


def test_zero_flux_has_the_magnitudes_that_the_sdss_publishes():
    table = asinh_table(np.zeros(5))
    magnitudes = [table[f"asinhmag_{label}"][0] for label in BANDS]
    assert_allclose(magnitudes, [24.63, 25.11, 24.80, 24.36, 22.83], atol=0.006)
    assert_allclose(Photometry.from_table(table).flux, 0, atol=1e-12)


def test_asinh_magnitudes_go_by_role_and_only_in_the_sdss():
    table = asinh_table(FLUX)
    table.rename_columns(["asinhmag_u", "asinhmag_err_u"], ["psfMag", "psfErr"])
    roles = {"asinhmag_u": "psfMag", "asinhmag_err_u": "psfErr"}
    assert_allclose(Photometry.from_table(table, columns=roles).flux[0], FLUX, rtol=1e-9)
    with pytest.raises(InputError, match="decam2014-g is no filter of the SDSS"):
        Photometry.from_table(table, "decam-grz")
    table["asinhmag_g"] = [-9999.0]
    problem = Photometry.from_table(table, columns=roles, on_bad="flag").problems[0]
    assert "asinh magnitude in band g is -9999 mag but must be between -20 and 35" in problem
    table.remove_column("asinhmag_err_r")
    with pytest.raises(InputError, match="uncertainty of band r: looked for asinhmag_err_r"):
        Photometry.from_table(table, columns=roles)
