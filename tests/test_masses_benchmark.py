"""The delayed-τ fit of benchmarks/masses.py: its fluxes, and masses that it finds again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import reference_sed as slow
from astropy import units as u
from astropy.cosmology import Planck13
from scipy.interpolate import RegularGridInterpolator
from speclite import filters

import sedflow_lab as sl
from sedflow_lab.sps import get_bands, load_ssp_grid

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
try:
    from masses import DelayedTau
finally:
    sys.path.pop(0)

REDSHIFT = 0.0317
MPC, L_SUN = 3.0856775814913673e24, 3.846e33


@pytest.fixture(scope="module")
def library():
    return DelayedTau(load_ssp_grid(), get_bands("sdss-ugriz"), 3000, 0)


def slow_galaxy(grid, onset, tau, metallicity, a_v):
    """Magnitudes of one solar mass formed, and what survives of it: sums over all wavelengths."""
    universe = Planck13.age(REDSHIFT).value
    age = 0.1 + onset * (universe - 0.1)
    edges = np.geomspace(grid.young_age_max_gyr, age, 2001)
    middle, width = np.sqrt(edges[1:] * edges[:-1]), np.diff(edges)
    mass = (age - middle) * np.exp(-(age - middle) / tau) * width
    mesh = np.linspace(0.0, edges[0], 1001)
    young = np.trapezoid((age - mesh) * np.exp(-(age - mesh) / tau), mesh)
    light = young * slow.young_spectrum(grid, metallicity)
    light = light + sum(
        m * slow.ssp_spectrum(grid, t, metallicity) for m, t in zip(mass, middle, strict=True)
    )
    um = grid.wavelength_aa * 1e-4
    blue = 2.659 * (-2.156 + 1.509 / um - 0.198 / um**2 + 0.011 / um**3) + 4.05
    curve = np.where(um < 0.63, blue, 2.659 * (-1.857 + 1.040 / um) + 4.05)
    total = mass.sum() + young
    dimmed = light / total * 10 ** (-0.4 * a_v * curve / 4.05)
    distance = Planck13.luminosity_distance(REDSHIFT).value * MPC
    observed = dimmed * L_SUN / (4 * np.pi * distance**2 * (1 + REDSHIFT))
    wavelength = grid.wavelength_aa * (1 + REDSHIFT)
    fine = np.union1d(wavelength, np.arange(2900.0, 12_000.0, 2.0))
    units = u.Unit("erg / (s cm2 AA)")
    magnitudes = [
        filters.load_filter(name).get_ab_magnitude(
            np.interp(fine, wavelength, observed) * units, fine * u.AA
        )
        for name in get_bands("sdss-ugriz").names
    ]
    left = RegularGridInterpolator(
        (np.log(grid.age_gyr), np.log(grid.metallicity)), grid.surviving_mass
    )
    oldest = np.clip(middle, grid.age_gyr[0], grid.age_gyr[-1])
    fraction = left(np.column_stack([np.log(oldest), np.full(len(oldest), np.log(metallicity))]))
    first = left([np.log(grid.age_gyr[0]), np.log(metallicity)])[0]
    return magnitudes, (mass @ fraction + young * first) / total


def test_fluxes_and_surviving_masses_are_those_of_slow_sums(library):
    flux, survives = library.models(REDSHIFT)
    found = sl.magnitude(flux.numpy())
    for k in range(8):
        drawn = (library.onset, library.tau, library.metallicity, library.a_v)
        magnitudes, fraction = slow_galaxy(library.grid, *(float(x[k, 0]) for x in drawn))
        assert found[k] == pytest.approx(magnitudes, abs=4e-3)
        assert float(survives[k]) == pytest.approx(fraction, abs=1e-3)


def test_all_mass_is_in_some_step_and_none_before_the_onset(library):
    share = library.formed(library.cosmology.age(library.onset.new_tensor(REDSHIFT))).numpy()
    assert share.sum(1) == pytest.approx(1.0)
    assert (share >= 0).all()
    universe = Planck13.age(REDSHIFT).value
    age = 0.1 + library.onset.numpy() * (universe - 0.1)
    assert (share[library.edges[:-1].numpy() >= age] == 0).all()


def test_masses_of_galaxies_of_the_library_are_found_at_high_signal_to_noise(library):
    chosen, mass = np.arange(20), np.linspace(8.0, 11.8, 20)
    flux, survives = (x.numpy()[chosen] for x in library.models(REDSHIFT))
    flux = flux * 10 ** mass[:, None]
    sigma = flux / 10_000  # at 1,000 a rare galaxy has another that looks alike
    noisy = flux + sigma * np.random.default_rng(1).normal(size=flux.shape)
    fit = library.fit(sl.Photometry(noisy, sigma, np.full(20, REDSHIFT)))
    wanted = np.column_stack([mass, mass + np.log10(survives)])
    assert fit.mass == pytest.approx(wanted, abs=0.02)
    assert (fit.chi2 < 45).all()  # of five bands: p = 1.4e-8, for each of twenty


def test_a_masked_band_and_a_large_error_do_not_count(library):
    flux = library.models(REDSHIFT)[0].numpy()[:1] * 1e10
    sigma = flux / 1000
    spoilt, wide = flux.copy(), sigma.copy()
    spoilt[0, 0], wide[0, 0] = 3 * flux[0, 0], 1e6 * flux[0, 0]
    mask = np.array([[False, True, True, True, True]])
    hidden = library.fit(sl.Photometry(spoilt, sigma, REDSHIFT, mask=mask))
    loose = library.fit(sl.Photometry(spoilt, wide, REDSHIFT))
    assert hidden.mass == pytest.approx(loose.mass, abs=1e-6)
    assert hidden.mass[0, 0] == pytest.approx(10.0, abs=0.02)
