"""A stand-in with python-fsps's interface (0.4.7, 0.5.0), and physics simple enough to write down.

Tests copy it to a folder as ``fsps.py``. Where the real package matters, it does what that does:
it wants SPS_HOME when it is imported, ends the process with code 0 when data files are missing,
knows its options, is asked for metallicities by an index from 1, interpolates linearly in log age
between its own nodes, and converts to wavelengths with c = 3e18 Angstrom/s.
"""

import os

import numpy as np

if not os.path.exists(os.path.join(os.environ["SPS_HOME"], "data", "emlines_info.dat")):
    raise RuntimeError("The FSPS directory doesn't seem to have the right data files installed")

LIBRARIES = (b"mist", b"miles", b"DL07")
SOLAR = float(np.float32(0.0142))
N_AFE = 1
FEH = np.array([-2.0, -1.0, -0.5, 0.0, 0.5])
LOG_AGE = 5.05 + 0.1 * np.arange(53)
WAVELENGTH = np.geomspace(91.0, 1e6, 1500)


def spectrum_at_node(log_age, feh):
    """L_sun/Hz of one solar mass: a black body that cools, fades and reddens."""
    temperature = 40_000.0 * 10 ** (-0.22 * (log_age - 5.0) - 0.05 * feh)
    body = 1.0 / WAVELENGTH**3 / np.expm1(np.minimum(1.438777e8 / WAVELENGTH / temperature, 600))
    return 1e-4 * body * 10 ** (-0.4 * (log_age - 5.0) + 0.1 * feh)


def mass_at_node(log_age, feh):
    return 1.0 - 0.085 * (log_age - 5.0) + 0.01 * feh


def gas_at_node(log_age, logz, logu):
    """L_sun/Hz of one broad line, of gas around stars below 20 Myr."""
    shape = np.exp(-0.5 * ((WAVELENGTH - 5000.0) / 100.0) ** 2)
    return 1e-16 * (log_age < 7.3) * 10 ** (0.5 * logz + 0.2 * logu) * shape


class StellarPopulation:
    def __init__(self, compute_vega_mags=False, vactoair_flag=False, zcontinuous=0, **kwargs):
        if not os.path.isdir(os.path.join(os.environ["SPS_HOME"], "ISOCHRONES")):
            print(" SPS_SETUP ERROR: zlegend.dat cannot be opened", flush=True)
            os._exit(0)
        self.params = {
            "add_agb_dust_model": True,
            "add_dust_emission": True,
            "add_neb_emission": False,
            "dust1": 0.0,
            "dust2": 0.0,
            "gas_logu": -2.0,
            "gas_logz": 0.0,
            "imf_type": 2,
            "logzsol": 0.0,
            "sfh": 0,
            "tage": 0.0,
            "zmet": 1,
        }
        for name, value in kwargs.items():
            if name not in self.params:
                raise TypeError(f"__init__() got an unexpected keyword argument '{name}'")
            self.params[name] = value
        self._zcontinuous = zcontinuous

    wavelengths = property(lambda self: WAVELENGTH.copy())
    zlegend = property(lambda self: SOLAR * 10**FEH)
    solar_metallicity = property(lambda self: SOLAR)
    ssp_ages = property(lambda self: LOG_AGE)
    libraries = property(lambda self: LIBRARIES)
    n_afe = property(lambda self: N_AFE)

    @property
    def stellar_mass(self):
        return self._interpolate(mass_at_node)

    def get_spectrum(self, zmet=None, tage=0.0, peraa=False):
        self.params["tage"] = tage
        if zmet is not None:
            self.params["zmet"] = zmet
        assert self.params["zmet"] in range(1, len(FEH) + 1), "zmet out of range"
        factor = 3e18 / WAVELENGTH**2 if peraa else 1.0
        return self.wavelengths, self._interpolate(self._light_at_node) * factor

    def _light_at_node(self, log_age, feh):
        light = spectrum_at_node(log_age, feh)
        if self.params["add_neb_emission"]:
            light = light + gas_at_node(log_age, self.params["gas_logz"], self.params["gas_logu"])
        return light

    def _interpolate(self, at_node):
        plain = self._zcontinuous == 0 and self.params["sfh"] == 0 and self.params["tage"] > 0
        dusty = self.params["dust1"] + self.params["dust2"] > 0
        if not plain or dusty or self.params["imf_type"] != 1:
            raise NotImplementedError("the stand-in has dust-free Chabrier populations only")
        log_age, feh = np.log10(self.params["tage"] * 1e9), FEH[self.params["zmet"] - 1]
        i = int(np.clip(np.searchsorted(LOG_AGE, log_age) - 1, 0, len(LOG_AGE) - 2))
        fraction = (log_age - LOG_AGE[i]) / (LOG_AGE[i + 1] - LOG_AGE[i])
        low, high = at_node(LOG_AGE[i], feh), at_node(LOG_AGE[i + 1], feh)
        return (1 - fraction) * low + fraction * high
