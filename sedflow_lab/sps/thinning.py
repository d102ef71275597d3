r"""Fewer wavelengths for spectra, with the light in every band kept.

Spectra are lines between their wavelengths. Of all functions that are lines between fewer nodes,
the one nearest to a spectrum f in the mean square has

.. math:: \int (f - \hat f) \, \varphi_j \, d\lambda = 0

for the hat functions :math:`\varphi_j` of all nodes: seen through a response that is linear between
the nodes it has the very flux of the spectrum. Lines are smoothed, light is neither won nor lost.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts load when they are first used

__all__ = ["choose_nodes", "project"]


def choose_nodes(wavelength: np.ndarray, resolving_power: float) -> np.ndarray:
    """Indices of wavelengths to keep: at most one in each step of λ / `resolving_power`.

    Where they are further apart than that all of them stay, and the last one always does.

    Parameters
    ----------
    wavelength : ndarray, shape (L,)
        Rising [any unit].
    resolving_power : float

    Returns
    -------
    ndarray of int, shape (K,)
    """
    kept = [0]
    while kept[-1] < len(wavelength) - 1:
        farthest = wavelength[kept[-1]] * (1 + 1 / resolving_power)
        beyond = int(np.searchsorted(wavelength, farthest, side="right"))
        kept.append(max(beyond - 1, kept[-1] + 1))
    return np.array(kept)


def project(wavelength: np.ndarray, nodes: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """Nearest spectra that are lines between some of the wavelengths.

    Parameters
    ----------
    wavelength : ndarray, shape (L,)
    nodes : ndarray of int, shape (K,)
        Indices of the wavelengths to keep, the first and the last one among them.
    spectra : ndarray, shape (..., L)
        Not negative.

    Returns
    -------
    ndarray, shape (..., K)
        Not negative: what the projection undershoots beside a jump is set to zero.
    """
    at = np.interp(wavelength, wavelength[nodes], np.arange(len(nodes)))
    low = np.minimum(at.astype(int), len(nodes) - 2)
    row, fraction = np.arange(len(wavelength)), at - low
    hats = scipy.sparse.csr_array(
        (np.append(1 - fraction, fraction), (np.append(row, row), np.append(low, low + 1)))
    )
    # Integrals of products of two functions that are lines between the wavelengths.
    width = np.diff(wavelength)
    beside = width / 6
    diagonal = (np.append(width, 0.0) + np.append(0.0, width)) / 3
    product = scipy.sparse.diags_array([beside, diagonal, beside], offsets=[-1, 0, 1])
    flat = spectra.reshape(-1, len(wavelength)).T
    wanted = hats.T @ (product @ flat)
    own = (hats.T @ product @ hats).toarray()
    bands = np.stack([np.append(0.0, np.diagonal(own, 1)), np.diagonal(own)])
    found = scipy.linalg.solveh_banded(bands, wanted)
    return np.maximum(found.T, 0.0).reshape(*spectra.shape[:-1], len(nodes))
