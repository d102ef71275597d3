"""The quantities of a galaxy, parameters and derived ones: names, labels, units and limits."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .errors import InputError

__all__ = [
    "DERIVED",
    "NAMES",
    "PARAMETERS",
    "QUANTITIES",
    "REDSHIFT",
    "Quantity",
    "get_quantity",
]


@dataclass(frozen=True)
class Quantity:
    """A parameter or derived quantity: its name, how to print it, and the limits of its axis.

    The limits are those of the prior; derived quantities have none of their own, but nearly all of
    what the prior implies lies between these.
    """

    name: str
    label: str  # for matplotlib, in TeX
    unit: str
    low: float
    high: float
    text: str  # in plain letters, which browsers show without the seconds that MathJax takes
    text_unit: str
    description: str
    column_unit: str | None = None  # in astropy's spelling; logarithms and depths have none

    @property
    def digits(self) -> str:
        """How to print it: magnitudes with three decimals, what is in dex or else with two."""
        return ".3f" if self.column_unit == "mag" else ".2f"

    @property
    def axis_label(self) -> str:
        """Label and unit in TeX."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    @property
    def axis_text(self) -> str:
        """Label and unit in plain letters."""
        return f"{self.text} [{self.text_unit}]" if self.text_unit else self.text


_SUN, _SUN_YR, _PER_YR = r"$M_\odot$", r"$M_\odot\,{\rm yr}^{-1}$", r"${\rm yr}^{-1}$"
_RATE = "log10 of the star-formation rate over the last"
_METALLICITY = "log10 of the mass-weighted metallicity"
_GAMMA = (math.log10(4.5e-5), math.log10(1.5e-2))


def _beta(k: int, which: str) -> Quantity:
    text = f"β{'₁₂₃₄'[k - 1]}"
    description = f"weight of the {which} SFH basis"
    return Quantity(f"beta{k}", rf"$\beta_{k}$", "", 0.0, 1.0, text, "", description)


def _gamma(k: int, which: str) -> Quantity:
    label, text = rf"$\log \gamma_{k}$", f"log γ{'₁₂'[k - 1]}"
    description = f"log10 weight of the {which} metallicity-history basis"
    return Quantity(f"log_gamma{k}", label, "", *_GAMMA, text, "", description)


# A table, to be read across.
# fmt: off
PARAMETERS: tuple[Quantity, ...] = (
    Quantity("log_mstar", r"$\log M_*$", _SUN, 7.0, 12.5, "log M★", "M☉",
             "log10 of stellar mass formed", "dex(solMass)"),
    _beta(1, "first"),
    _beta(2, "second"),
    _beta(3, "third"),
    _beta(4, "fourth"),
    Quantity("fburst", r"$f_{\rm burst}$", "", 0.0, 1.0, "f burst", "",
             "fraction of mass formed in the burst"),
    Quantity("tburst", r"$t_{\rm burst}$", "Gyr", 0.01, 13.27, "t burst", "Gyr",
             "lookback time of the burst", "Gyr"),
    _gamma(1, "first"),
    _gamma(2, "second"),
    Quantity("tau_bc", r"$\tau_{\rm BC}$", "", 0.0, 3.0, "τ BC", "",
             "birth-cloud optical depth at 5500 Å"),
    Quantity("tau_ism", r"$\tau_{\rm ISM}$", "", 0.0, 3.0, "τ ISM", "",
             "diffuse-dust optical depth at 5500 Å"),
    Quantity("n_dust", r"$n_{\rm dust}$", "", -2.0, 1.0, "n dust", "",
             "slope offset from the Calzetti curve"),
)
"""The reported parameters of the PROVABGS model, in the order of every theta."""

DERIVED: tuple[Quantity, ...] = (
    Quantity("log_sfr_1gyr", r"$\log {\rm SFR}_{1\,{\rm Gyr}}$", _SUN_YR, -4.0, 2.5,
             "log SFR 1 Gyr", "M☉/yr", f"{_RATE} 1 Gyr, burst included"),
    Quantity("log_sfr_100myr", r"$\log {\rm SFR}_{100\,{\rm Myr}}$", _SUN_YR, -4.0, 2.5,
             "log SFR 100 Myr", "M☉/yr", f"{_RATE} 100 Myr, burst included"),
    Quantity("log_ssfr_1gyr", r"$\log {\rm sSFR}_{1\,{\rm Gyr}}$", _PER_YR, -14.0, -8.5,
             "log sSFR", "1/yr", f"{_RATE} 1 Gyr per surviving stellar mass"),
    Quantity("log_z_mw", r"$\log Z_{\rm MW}$", "", -3.6, -1.3, "log Z (label)", "",
             f"{_METALLICITY}, as a PROVABGS label (solar is 0.019)"),
    Quantity("log_z_mw_true", r"$\log Z_{\rm MW}^{\rm true}$", "", -3.7, -1.4, "log Z (true)", "",
             f"{_METALLICITY}, true value (the Sun has 0.0142 in MIST)"),
    Quantity("age_mw", r"$t_{\rm MW}$", "Gyr", 0.0, 13.5, "age", "Gyr", "mass-weighted age", "Gyr"),
    Quantity("log_mstar_surviving", r"$\log M_{*,{\rm surv}}$", _SUN, 6.7, 12.5,
             "log M★ now", "M☉", "log10 of the stellar mass still in stars and remnants"),
)
"""What `sps.properties.derived` computes, in its order."""

REDSHIFT = Quantity("redshift", "$z$", "", 0.0, 1.0, "z", "", "redshift, where it is uncertain")
# fmt: on

NAMES: tuple[str, ...] = tuple(q.name for q in PARAMETERS)
QUANTITIES: dict[str, Quantity] = {q.name: q for q in (*PARAMETERS, *DERIVED)}
"""All of them by name."""


def get_quantity(name: str) -> Quantity:
    """A quantity by its name, among them those at rest (`sps.rest_frame`), which name a band.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if isinstance(name, str) and name in QUANTITIES:
        return QUANTITIES[name]
    for start, make in _AT_REST.items():
        if isinstance(name, str) and name.startswith(start) and (band := name.removeprefix(start)):
            return make(name, band)
    raise InputError(f"There is no quantity {name!r}: use one of {', '.join(QUANTITIES)}.")


def _magnitude(name: str, band: str) -> Quantity:
    description = f"absolute AB magnitude in {band} at rest, dust included"
    label, text = rf"$M_{{\rm {_in_maths(band)}}}$", f"M {band}"
    return Quantity(name, label, "mag", -25.0, -8.0, text, "mag", description, "mag")


def _colour(name: str, bands: str) -> Quantity:
    text = bands.replace("_", " − ", 1)
    description = f"colour {bands.replace('_', ' - ', 1)} at rest, dust included"
    label = rf"$({_in_maths(bands.replace('_', '-', 1))})_0$"
    return Quantity(name, label, "mag", -0.5, 2.5, text, "mag", description, "mag")


def _k_correction(name: str, band: str) -> Quantity:
    description = f"K-correction in {band}, apparent less absolute magnitude and distance modulus"
    label, text = rf"$K_{{\rm {_in_maths(band)}}}$", f"K {band}"
    return Quantity(name, label, "mag", -0.5, 2.0, text, "mag", description, "mag")


def _mass_to_light(name: str, band: str) -> Quantity:
    description = f"log10 of surviving mass per luminosity in {band} at rest, dust included"
    label, text = rf"$\log M_*/L_{{\rm {_in_maths(band)}}}$", f"log M/L {band}"
    unit = r"$M_\odot/L_\odot$"
    return Quantity(name, label, unit, -2.0, 1.5, text, "M☉/L☉", description)


def _in_maths(band: str) -> str:
    """A band's label as part of a formula: files of filters may be called as they like."""
    plain = re.sub(r"[\\^~]", "/", band)
    return re.sub(r"([_$%{}#])", r"\\\1", plain).replace(" ", r"\ ")


_AT_REST = {
    "abs_mag_": _magnitude,
    "colour_": _colour,
    "k_corr_": _k_correction,
    "log_ml_": _mass_to_light,
}
