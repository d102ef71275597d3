from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sedflow_lab.parameters import NAMES
from sedflow_lab.sps import SEDModel

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SEDFLOW_SHARED", ROOT.parent / "shared"))
CASES = SHARED / "reference" / "provabgs_photometry.csv"


@pytest.fixture(scope="module")
def cases():
    """Parameters (200, 12), redshifts (200,) and ugriz fluxes [nanomaggies] of the emulator."""
    if not CASES.is_file():
        pytest.skip(f"no reference photometry at {CASES} (set SEDFLOW_SHARED)")
    table = np.genfromtxt(CASES, delimiter=",", names=True)
    assert len(table) >= 200
    theta = np.stack([table[name] for name in NAMES], axis=1)
    flux = np.stack([table[f"nmgy_{band}"] for band in "ugriz"], axis=1)
    return theta, table["redshift"], flux


def residuals(cases, birth_cloud_age):
    """Magnitudes minus those of the published PROVABGS emulator."""
    theta, redshift, published = cases
    flux = SEDModel(birth_cloud_age=birth_cloud_age).photometry(theta, redshift)
    return -2.5 * np.log10(flux / published)


@pytest.fixture(scope="module")
def parity(cases):
    # The published code's birth clouds are FSPS's default: 10 Myr.
    return residuals(cases, birth_cloud_age=0.01)


@pytest.mark.parametrize(("column", "band"), list(enumerate("ugriz")))
def test_parity_with_the_published_model(parity, column, band):
    dm = parity[:, column]
    assert np.median(np.abs(dm)) <= 0.003
    assert 1.48 * np.median(np.abs(dm - np.median(dm))) <= 0.003
    assert np.mean(np.abs(dm) <= 0.03) >= 0.99


def test_parity_tells_the_two_definitions_of_young_stars_apart(parity, cases):
    hundred_myr = residuals(cases, birth_cloud_age=0.1)
    assert np.median(np.abs(hundred_myr[:, 0])) > 0.05 > np.abs(parity[:, 0]).max()
