"""Data files for the real FSPS 3 with invented stars, whose populations can be written down.

FSPS reads some forty files before it does anything. Here all but a few hold ones: the stars are one
mass at each age, called post-AGB stars, which FSPS makes of two tables of spectra of unit
luminosity, for metal-poor and metal-rich ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

FEH = ("m2.50 m2.00 m1.75 m1.50 m1.25 m1.00 m0.75 m0.50 m0.25 p0.00 p0.25 p0.50").split()
LOG_AGE = 5.0 + 0.05 * np.arange(107)
WAVELENGTH = np.geomspace(91.0, 1e8, 5994)
LOG_T = np.linspace(4.7, 5.3, 14)
GAS_LOG_Z = np.array([-1.98, -1.5, -1.0, -0.6, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.198])
GAS_AGE = np.array([0.5, 1, 2, 3, 4, 5, 6, 7, 10, 20]) * 1e6
GAS_LOG_U = np.arange(-4.0, -0.9, 0.5)


def luminosity(log_age):
    return 10 ** (4.0 - 0.7 * (log_age - 5.0))


def temperature(log_age):
    return 5.3 - 0.1 * (log_age - 5.0)


def star(wavelength, log_t, rich):
    """L_sun/Hz of a star of one L_sun: a power law that gets redder as the star cools."""
    return 1e-15 * (wavelength / 5000.0) ** (1.0 + 0.5 * rich - 2.0 * (log_t - 5.0))


def _rows(path: Path, head: int, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# head\n" * head + "".join(f"{row}\n" for row in rows))


def _column(path: Path, values) -> None:
    _rows(path, 0, (f"{value:.10g}" for value in values))


def _table(path: Path, first, more: str, head: int = 0) -> None:
    """Lines of a number and ``5*1.0``, which is how Fortran takes five times the same."""
    _rows(path, head, (f"{value:.10g} {more}" for value in first))


def _spectra(path: Path, wavelength, columns, head: int = 0) -> None:
    rows = np.column_stack([wavelength, columns])
    _rows(path, head, (" ".join(f"{value:.8g}" for value in row) for row in rows))


def write(home: Path) -> None:
    """Write all files into a folder, for SPS_HOME."""
    data, dust, spectra = home / "data", home / "dust", home / "SPECTRA"
    hot, agb = spectra / "Hot_spectra", spectra / "AGB_spectra"
    _rows(data / "emlines_info.dat", 1, [])
    _rows(data / "allfilters.dat", 1, ["4000 0\n5000 1\n6000 0\n# next"] * 159)
    _rows(data / "FILTER_LIST", 0, [f"{k + 1} band_{k + 1}" for k in range(159)])
    _rows(data / "allindices.dat", 4, ["6*5000. 1"] * 30)

    for k in range(7):
        path = dust / "dustem" / f"DL07_MW3.1_{k}0.dat"
        _table(path, np.geomspace(1, 1e4, 1001), "44*1.0", 2)
    for name in ("Orich", "Crich"):
        rows = [f"{1000 * (i + 2)}. {j + 1}.\n2*1.0" for i in range(6) for j in range(50)]
        _rows(dust / "dusty" / f"{name}_dusty.spec", 0, ["2", "1000. 1e7", *rows])
    path = dust / "Nenkova08_y010_torusg_n10_q2.0.dat"
    taus = " ".join(str(10 * (k + 1)) for k in range(9))
    _rows(path, 3, [taus, *(f"{x:.8g} 9*1.0" for x in np.geomspace(1000, 1e7, 125))])
    for name in ("h", "c"):
        rows = [f"{x:.8g} 1. 6*1.0" for _ in range(18) for x in np.geomspace(1000, 30_000, 25)]
        _rows(dust / f"alldirty_{name}.dat", 3, rows)
    _table(dust / "Gordon03_table4.dat", np.geomspace(0.1, 2.5, 30)[::-1], "1. 1.")

    points = np.geomspace(91, 1e7, 1963)
    each = [(z, t, u) for z in GAS_LOG_Z for t in GAS_AGE for u in GAS_LOG_U]
    rows = [f"{z} {t:.8g} {u}\n1963*{1e-60 * 10**z:.6e}" for z, t, u in each]
    listed = " ".join(f"{x:.8g}" for x in points)
    _rows(home / "nebular" / "ZAU_ND_mist.cont", 1, [listed, *rows])
    rows = [f"{z} {t:.8g} {u}\n166*1e-90" for z, t, u in each]
    listed = " ".join(f"{x:.8g}" for x in np.linspace(1000, 9000, 166))
    _rows(home / "nebular" / "ZAU_ND_mist.lines", 1, [listed, *rows])

    _column(spectra / "MILES" / "miles.lambda", WAVELENGTH)
    _column(spectra / "MILES" / "miles.res", np.ones(5994))
    metallicities = (0.0008, 0.0031, 0.0096, 0.0190, 0.0300)
    _rows(spectra / "MILES" / "zlegend.dat", 0, [f"{z:.4f}" for z in metallicities])
    for z in metallicities:  # holes in the file: no such star is asked for
        with (spectra / "MILES" / f"imiles_z{z:.4f}.spectra.bin").open("wb") as stream:
            stream.truncate(5994 * 68 * 19 * 4)
    _column(spectra / "BaSeL3.1" / "basel_logt.dat", np.linspace(3.3, 4.7, 68))
    _column(spectra / "BaSeL3.1" / "basel_logg.dat", np.linspace(-1.0, 5.5, 19))
    _column(hot / "WMBASIC.teff", np.linspace(4.4, 4.7, 11))
    metallicities = np.linspace(0.001, 0.04, 12)
    _rows(hot / "WMBASIC_zlegend.dat", 0, [f"{z:.4f}" for z in metallicities])
    for z in metallicities:
        _table(hot / f"WMBASIC_z{z:.4f}.spec", np.geomspace(91, 1e7, 5508), "33*1.0")
    listed = " ".join(f"{z:.3f}" for z in np.linspace(-2, 0.5, 22))
    rows = [f"1. {listed}", *(f"{k} 22*{2500 + 100 * k}." for k in range(9))]
    _rows(agb / "Orich.teff", 1, rows)
    _rows(agb / "Crich.teff", 1, [f"{k} {2500 + 100 * k}." for k in range(5)])
    _column(agb / "Crich_Aringer.teff", 2500.0 + 100 * np.arange(9))
    _table(agb / "Orich.spec", np.geomspace(91, 1e7, 6146), "9*1.0")
    _table(agb / "Crich.spec", np.geomspace(91, 1e7, 6146), "5*1.0")
    _table(agb / "Crich_Aringer.spec", np.geomspace(91, 1e7, 9032), "9*1.0")
    _column(hot / "ipagb.teff", 10**LOG_T)
    points = np.geomspace(90, 1.1e8, 9281)
    for name, rich in (("halo", False), ("solar", True)):
        columns = np.stack([star(points, log_t, rich) for log_t in LOG_T], axis=1)
        _spectra(hot / f"ipagb_{name}.spec", points, columns)
    listed = " ".join(f"{x:.8g}" for x in np.geomspace(91, 1e7, 1963))
    rows = [f"1. {0.004 * (j + 1)}\n1963*1.0" for j in range(5) for _ in range(12)]
    for name in ("WN", "WC"):
        _column(hot / f"CMFGEN_{name}.teff", np.linspace(4.4, 5.2, 12))
        _rows(hot / f"CMFGEN_{name}_Zall.spec", 0, [listed, *rows])

    _column(spectra / "xrb" / "xsp.lambda", np.geomspace(1, 1e8, 15_000))
    for z in (-1.3, -1.0, -0.8, -0.7, -0.5, -0.4, -0.3, -0.2, 0.0, 0.2, 0.3):
        _rows(spectra / "xrb" / f"xsp_feh{z:+.2f}.spec", 0, ["15000*1e-60"] * 10)
    _table(spectra / "A0V_KURUCZ_92.SED", np.geomspace(91, 1e6, 1221), "1.0", 1)
    _table(spectra / "SUN_STScI.SED", np.geomspace(91, 1e6, 1221), "1.0")

    _rows(home / "ISOCHRONES" / "MIST" / "zlegend.dat", 0, FEH)
    # Age, initial and present mass, log L, log T, log g, C/O, phase, mass loss.
    rows = [
        f"# {t:.3f}\n{t:.3f} 1. 0.9 {np.log10(luminosity(t)):.8f} {temperature(t):.8f} 5. 0.5 6. 0."
        for t in LOG_AGE
    ]
    for z in FEH:
        _rows(home / "ISOCHRONES" / "MIST" / f"isoc_z{z}.dat", 0, rows)
