r"""Galactic extinction: fluxes as they would be without the dust of the Milky Way before them.

.. math:: f \to f \cdot 10^{0.4 A_X}, \qquad
          A_X = 0.86 \cdot 3.1 \cdot E(B-V)_\mathrm{SFD} \cdot \frac{A(\lambda_X)}{A(V)}

E(B-V) is that of the maps of Schlegel, Finkbeiner & Davis (1998, ApJ 500, 525), which Schlafly &
Finkbeiner (2011, ApJ 737, 103) found to be too large: 0.86 of it is right with the curve of
Fitzpatrick (1999). The curves are those of the dust_extinction package with R_V = 3.1, taken at
the effective wavelength of a band.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..units import numbers

if TYPE_CHECKING:
    from ..sps.bands import BandSet
    from .photometry import OnBad, Photometry

__all__ = ["LAWS", "MAX_EBV", "correct_extinction", "extinction_per_ebv"]

LAWS = ("F99", "CCM89", "O94", "G23")
"""Extinction curves; all but G23 end at 3.3 micron, G23 (Gordon et al. 2023) at 32 micron."""

MAX_EBV = 5.0
"""Largest E(B-V): 20 mag in the ultraviolet, through which no galaxy is measured."""

_R_V = 3.1
_SFD_SCALE = 0.86


def extinction_per_ebv(bands: BandSet, law: str = "F99") -> np.ndarray:
    """Extinction A_X / E(B-V) of each band (B,) [mag], for E(B-V) of the SFD maps.

    InputError says if the law does not reach a band, or the dust_extinction package is missing.
    """
    import astropy.units as u

    if law not in LAWS:
        raise InputError(f"There is no extinction law {law!r}: use one of {', '.join(LAWS)}.")
    try:
        from dust_extinction import parameter_averages
    except ImportError as error:
        raise InputError(
            "Correcting for extinction needs the dust_extinction package: pip install "
            "dust_extinction, or give corrected fluxes."
        ) from error
    curve = getattr(parameter_averages, law)(Rv=_R_V)
    wavenumber = 1e4 / bands.effective_wavelength  # 1 / micron
    beyond = (wavenumber < curve.x_range[0]) | (wavenumber > curve.x_range[1])
    if beyond.any():
        raise InputError(
            f"The extinction law {law} does not reach the band "
            f"{bands.labels[int(beyond.argmax())]}: use G23, which goes to 32 micron."
        )
    return _SFD_SCALE * _R_V * np.asarray(curve(wavenumber / u.micron))


def correct_extinction(
    photometry: Photometry, ebv: Any, law: str = "F99", on_bad: OnBad = "raise"
) -> Photometry:
    """Correct fluxes and uncertainties for Galactic extinction.

    Parameters
    ----------
    photometry : Photometry
        As it was measured.
    ebv : array_like, shape (N,) or scalar
        E(B-V) of the SFD maps [mag].
    law : {'F99', 'CCM89', 'O94', 'G23'}
        Extinction curve; 0.86 (see above) belongs to F99.
    on_bad : {'raise', 'flag', 'mask'}
        What to do with E(B-V) that is not between 0 and 5: raise InputError, or flag the galaxy.

    Returns
    -------
    Photometry
        Its `ebv` says what it has been corrected for.

    Raises
    ------
    InputError
        If it has been corrected before; as `extinction_per_ebv`.
    """
    if photometry.ebv.any():
        raise InputError(
            "This photometry has been corrected for Galactic extinction before: leave it as it is."
        )
    ebv = np.broadcast_to(numbers(ebv, "E(B-V)"), len(photometry)).copy()
    good = (ebv >= 0) & (ebv <= MAX_EBV)
    reasons = {
        int(i): f"galaxy {str(photometry.ids[i])!r} (row {photometry.rows[i]}, counting from 0): "
        f"E(B-V) is {ebv[i]:g} but must be between 0 and {MAX_EBV:g}; correct it"
        for i in np.flatnonzero(~good)
    }
    if reasons and on_bad == "raise":
        first = next(iter(reasons.values()))
        raise InputError(f"G{first[1:]}, or use on_bad='flag' to skip bad galaxies.")
    ebv[~good] = 0
    factor = 10 ** (0.4 * ebv[:, None] * extinction_per_ebv(photometry.bands, law))
    return photometry._changed(
        flux=photometry.flux * factor, sigma=photometry.sigma * factor, ebv=ebv, reasons=reasons
    )
