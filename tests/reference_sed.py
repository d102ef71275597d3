"""The slow and obvious SED model: one galaxy at a time, every wavelength, double precision.

This is the yardstick for the fast model. It shares nothing with it but the data files and the
filter curves, and does each step of the recipe in the plainest way.
"""

from __future__ import annotations

import numpy as np
from astropy.cosmology import Planck13

from sedflow_lab.sps.bands import BandSet
from sedflow_lab.sps.histories import load_bases
from sedflow_lab.sps.ssp import SSPGrid

L_SUN, MPC, C_AA, NMGY = 3.846e33, 3.0856775814913673e24, 2.99792458e18, 3.631e-29
EDGES = np.concatenate([[0.0], 10 ** (6.05 + 0.1 * np.arange(41)) * 1e-9, [13.8]])


def _line(t, times, values):
    """Linear interpolation, and linear extrapolation beyond the ends."""
    i = np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2)
    f = (t - times[i]) / (times[i + 1] - times[i])
    return values[i] + f * (values[i + 1] - values[i])


def sfh_integral(beta, start, stop):
    """Exact integral of the piecewise-linear history: trapezoids between all its nodes."""
    times, sfh, _ = load_bases()
    t = np.concatenate([[start], times[(times > start) & (times < stop)], [stop]])
    return np.trapezoid(_line(t, times, sfh @ beta), t)


def metallicity(log_gamma, t):
    times, _, zh = load_bases()
    z = 10 ** np.asarray(log_gamma) @ np.array([_line(t, times, zh[:, k]) for k in range(2)])
    return np.clip(z, 4.49043431e-5, 4.49043431e-2)


def ssp_spectrum(grid: SSPGrid, age, z):
    """Spectrum at an age and metallicity, linear in log age and log Z; ends hold."""
    ages, mets = np.log(grid.age_gyr), np.log(grid.metallicity)
    a = np.clip(np.log(age), ages[0], ages[-1])
    m = np.clip(np.log(z), mets[0], mets[-1])
    i = np.clip(np.searchsorted(ages, a, side="right") - 1, 0, len(ages) - 2)
    j = np.clip(np.searchsorted(mets, m, side="right") - 1, 0, len(mets) - 2)
    f, g = (a - ages[i]) / (ages[i + 1] - ages[i]), (m - mets[j]) / (mets[j + 1] - mets[j])
    s = grid.ssp_lsun_per_aa
    return (1 - f) * ((1 - g) * s[i, j] + g * s[i, j + 1]) + f * (
        (1 - g) * s[i + 1, j] + g * s[i + 1, j + 1]
    )


def young_spectrum(grid: SSPGrid, z):
    mets = np.log(grid.metallicity)
    m = np.clip(np.log(z), mets[0], mets[-1])
    j = np.clip(np.searchsorted(mets, m, side="right") - 1, 0, len(mets) - 2)
    g = (m - mets[j]) / (mets[j + 1] - mets[j])
    return (1 - g) * grid.young_lsun_per_aa[j] + g * grid.young_lsun_per_aa[j + 1]


def dust_depths(wavelength, n):
    um = wavelength * 1e-4
    blue = 2.659 * (-2.156 + 1.509 / um - 0.198 / um**2 + 0.011 / um**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 / um) + 4.05
    k = np.maximum(np.where(um < 0.63, blue, red), 0)
    drude = (wavelength * 350) ** 2 / ((wavelength**2 - 2175.0**2) ** 2 + (wavelength * 350) ** 2)
    k = k + (0.85 - 1.9 * n) * drude
    return k * (wavelength / 5500) ** n / 4.05, 5500 / wavelength


def spectrum(grid: SSPGrid, theta, redshift, birth_cloud_age):
    """Rest-frame spectrum [L_sun / Angstrom] on the grid's wavelengths."""
    log_mstar, beta, fburst, tburst = theta[0], theta[1:5], theta[5], theta[6]
    gamma, (tau_bc, tau_ism, n) = theta[7:9], theta[9:]
    age = float(Planck13.age(redshift).value)
    burst = fburst if tburst <= age else 0.0
    edges = np.minimum(EDGES, age)
    total = sfh_integral(beta, 0.0, age)
    depth, cloud = dust_depths(grid.wavelength_aa, n)
    old, young = np.zeros_like(depth), np.zeros_like(depth)
    young_mass = (1 - burst) * sfh_integral(beta, 0.0, edges[10]) / total
    young += young_mass * young_spectrum(grid, metallicity(gamma, 0.5 * edges[10]))
    for low, high, edge in zip(edges[10:-1], edges[11:], EDGES[10:-1], strict=True):
        if high <= low:
            continue
        mass = (1 - burst) * sfh_integral(beta, low, high) / total
        middle = 0.5 * (low + high)
        light = mass * ssp_spectrum(grid, middle, metallicity(gamma, middle))
        if edge < birth_cloud_age * (1 - 1e-9):
            young += light
        else:
            old += light
    light = burst * ssp_spectrum(grid, tburst, metallicity(gamma, tburst))
    if tburst < birth_cloud_age:
        young += light
    else:
        old += light
    dimmed = np.exp(-tau_ism * depth) * (old + np.exp(-tau_bc * cloud) * young)
    return 10**log_mstar * dimmed


def photometry(
    grid: SSPGrid, bands: BandSet, theta, redshift, birth_cloud_age, refine=8, at_rest=False
):
    """Nanomaggies of one galaxy; at rest, those at 10 pc of what is as old as at its redshift.

    The dust-free spectrum is linear between the grid's wavelengths, so is the response between
    its own; the integral is a fine trapezoid over a mesh that contains the knots of both.
    """
    wave = grid.wavelength_aa
    # Young and old light are dimmed differently: keep the two parts apart.
    no_cloud = _parts(grid, theta, redshift, birth_cloud_age)
    distance = float(Planck13.luminosity_distance(redshift).value) * MPC
    if at_rest:
        redshift, distance = 0.0, 1e-5 * MPC
    fluxes = []
    for band in bands.bands:
        knots = np.union1d(wave, band.wavelength / (1 + redshift))
        low, high = band.support
        knots = knots[(knots >= low / (1 + redshift)) & (knots <= high / (1 + redshift))]
        steps = np.arange(refine) / refine
        mesh = np.append((knots[:-1, None] + np.diff(knots)[:, None] * steps).ravel(), knots[-1])
        depth, cloud = dust_depths(mesh, theta[11])
        old, young = (np.interp(mesh, wave, part) for part in no_cloud)
        light = np.exp(-theta[10] * depth) * (old + np.exp(-theta[9] * cloud) * young)
        response = np.interp(mesh * (1 + redshift), band.wavelength, band.response)
        observed = light * L_SUN / (4 * np.pi * distance**2 * (1 + redshift))
        counts = np.trapezoid(observed * response * mesh, mesh) * (1 + redshift) ** 2
        ab = NMGY * C_AA * np.trapezoid(band.response / band.wavelength, band.wavelength)
        fluxes.append(counts / ab)
    return np.array(fluxes)


def _parts(grid, theta, redshift, birth_cloud_age):
    """Dust-free spectra of old and of young stars."""
    clear = np.concatenate([theta[:9], [0.0, 0.0, 0.0]])
    everything = spectrum(grid, clear, redshift, birth_cloud_age)
    hidden = np.concatenate([theta[:9], [1e4, 0.0, 0.0]])  # birth clouds opaque at every band
    old = spectrum(grid, hidden, redshift, birth_cloud_age)
    return old, everything - old
