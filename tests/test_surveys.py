"""Any survey: the same commands simulate, train and infer in bands of one's own."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from conftest import TINY

import sedflow_lab as sl
from sedflow_lab.anpe.simulate import mock_photometry
from sedflow_lab.commands.main import main


def run(*argv: object) -> int:
    return main([str(a) for a in argv])


def test_filters_of_ones_own_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """LSST beside a narrow band from a file, which the trained posterior needs no more."""
    wavelength = np.linspace(6500, 6700, 41)
    response = np.exp(-0.5 * ((wavelength - 6600) / 40) ** 2) * (np.abs(wavelength - 6600) < 100)
    own = tmp_path / "halpha.txt"
    np.savetxt(own, np.column_stack([wavelength, response]), header="Angstrom, response")
    bands = f"lsst2023-g,lsst2023-r,{own},lsst2023-i"
    simulations, out = tmp_path / "simulations", tmp_path / "posterior"
    assert run("simulate", simulations, "--bands", bands, "-n", 1000, "--redshift-max", 0.1) == 0
    assert "in g, r, halpha, i" in capsys.readouterr().out
    depths = ("--depth", 25.0, 24.5, 22.0, 24.0)
    few = [*TINY[:-2], "--steps", 40]
    assert run("train", out, "--simulations", simulations, *depths, *few) == 0
    own.unlink()

    posterior = sl.load_posterior(out)
    assert posterior.bands.labels == ("g", "r", "halpha", "i")
    np.testing.assert_allclose(posterior.bands.bands[2].wavelength, wavelength)
    assert posterior.model.redshift_max == 0.1
    noise = posterior.bundle.noise
    mocks, theta = mock_photometry(posterior.model, posterior.prior, noise, 2, seed=1)
    # What is inferred from is what the model makes of the parameters, but for the noise.
    flux = posterior.model.photometry(theta, mocks.redshift)
    assert (np.abs(mocks.flux - flux) < 6 * mocks.sigma).all()
    table = mocks.to_table()
    table.write(tmp_path / "mocks.ecsv")
    for method in ("fast", "weighted", "exact"):
        result = tmp_path / f"{method}.ecsv"
        argv = ("infer", tmp_path / "mocks.ecsv", "--posterior", out, "--method", method)
        assert run(*argv, "--draws", 50, "--out", result) == 0
        answer = Table.read(result)
        assert np.isfinite(answer["log_mstar"]).all()
        assert answer["id"].tolist() == mocks.ids.tolist()


def test_a_catalogue_in_other_bands_is_refused(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    phot = sl.Photometry([[3.0, 5.0, 7.0]], [[0.1, 0.1, 0.1]], [0.05], bands="decam-grz")
    phot.to_table().write(tmp_path / "grz.ecsv")
    argv = ("infer", tmp_path / "grz.ecsv", "--posterior", tiny_bundle, "--out", tmp_path / "o.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(*argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "bands are decam-grz, but sdss-ugriz was asked for" in error


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ("nowhere.txt", "Cannot read the filter nowhere.txt"),
        ("sdss2010-q", "no filter or band set 'sdss2010-q'"),
        ("galex-sdss", "galex-fuv"),
    ],
)
def test_bands_that_cannot_be_simulated_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bands: str, message: str
):
    assert run("simulate", tmp_path / "set", "--bands", bands, "-n", 10) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
