"""Upper limits in tables: a flux of 0 with the error that the limit tells of."""

from __future__ import annotations

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from sedflow_lab import InputError, Photometry, read_photometry
from sedflow_lab.commands.main import main
from sedflow_lab.observations.tables import understood

BANDS = "sdss-ugriz"


def table_of(n=3):
    """Galaxies of which the first and the last have no flux in u."""
    rng = np.random.default_rng(0)
    table = Table({"redshift": np.full(n, 0.05)})
    for label in "ugriz":
        table[f"flux_{label}"] = rng.uniform(10, 20, n)
        table[f"sigma_{label}"] = 1.0
    table["flux_u"][[0, -1]] = table["sigma_u"][[0, -1]] = np.nan
    return table


def test_a_limit_stands_in_where_there_is_no_detection_and_says_so():
    table = table_of()
    table["limit_u"] = [6.0, 6.0, np.nan]
    with pytest.warns(UserWarning, match="flux 0 with the uncertainty limit / 3"):
        found = Photometry.from_table(table, on_bad="mask")
    assert found.usable.all()
    assert (found.flux[0, 0], found.sigma[0, 0]) == (0.0, 2.0)
    assert (found.flux[1, 0], found.sigma[1, 0]) == (table["flux_u"][1], 1.0)
    assert found.mask[:, 0].tolist() == [True, True, False]


def test_nothing_is_said_where_no_limit_is_needed():
    table = table_of()[1:2]
    table["limit_u"] = 6.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Photometry.from_table(table)
    assert found.flux[0, 0] == table["flux_u"][0]


@pytest.mark.parametrize(
    "name, unit, limit",
    [
        ("limit_u", None, 6.0),
        ("u_limit", u.nmgy, 6.0),
        ("upper_limit_u", u.Jy, 6.0 * 3.631e-6),
        ("mag_limit_u", None, 22.5 - 2.5 * np.log10(6.0)),
        ("flux_limit_u", u.ABmag, 22.5 - 2.5 * np.log10(6.0)),
        ("image_limit_u", None, 6.0),
        ("nanomaggies_limit_u", None, 6.0),
        ("maglim_u", None, 22.5 - 2.5 * np.log10(6.0)),
    ],
)
def test_limits_have_names_and_units_as_fluxes_do(name, unit, limit):
    table = table_of()
    table[name] = np.full(3, limit)
    table[name].unit = unit
    with pytest.warns(UserWarning, match="upper limit in band u"):
        found = Photometry.from_table(table, columns={"limit_u": name}, limit_sigmas=2)
    assert found.sigma[[0, 2], 0] == pytest.approx([3.0, 3.0], rel=1e-6)
    assert understood(table, found.bands, {"limit_u": name})["limit_u"][0] == name


def test_limits_beside_magnitudes_and_fluxes_in_other_units():
    table = table_of()
    table["limit_u"] = 6.0 * 3.631e-6
    for label in "ugriz":
        for what in ("flux", "sigma"):
            table[f"{what}_{label}"] *= 3.631e-6
            table[f"{what}_{label}"].unit = u.Jy
    with pytest.warns(UserWarning, match="upper limit"):
        found = Photometry.from_table(table)
    assert found.sigma[0, 0] == pytest.approx(2.0, rel=1e-6)
    magnitudes = Table({"redshift": [0.05], "limit_u": [22.5 - 2.5 * np.log10(6.0)]})
    for label in "ugriz":
        magnitudes[f"mag_{label}"] = [-99.0 if label == "u" else 18.0]
        magnitudes[f"mag_err_{label}"] = [0.05]
    with pytest.warns(UserWarning, match="upper limit"):
        found = Photometry.from_table(magnitudes)
    assert (found.flux[0, 0], found.sigma[0, 0]) == (0.0, pytest.approx(2.0, rel=1e-6))
    magnitudes["flux_limit_u"] = magnitudes["limit_u"] * 0 + 6.0  # nanomaggies, as it says
    del magnitudes["limit_u"]
    with pytest.warns(UserWarning, match="upper limit"):
        found = Photometry.from_table(magnitudes)
    assert (found.flux[0, 0], found.sigma[0, 0]) == (0.0, pytest.approx(2.0, rel=1e-6))


def test_limits_that_cannot_be_used_are_flagged_or_refused():
    table = table_of()
    table["limit_u"] = [-6.0, 6.0, 6.0]
    with pytest.warns(UserWarning):
        found = Photometry.from_table(table, on_bad="flag")
    assert "uncertainty in band u is -6" in found.problems[0]
    for sigmas in (0, -3, np.nan, np.inf, None, "3"):
        with pytest.raises(InputError, match="standard deviations make no sense"):
            Photometry.from_table(table, limit_sigmas=sigmas)


def test_the_command_says_of_how_many_sigma_limits_are(tmp_path, capsys):
    table = table_of()
    table["limit_u"] = 6.0
    table.write(tmp_path / "limits.csv")
    out = tmp_path / "noise.json"
    command = ["noise", str(tmp_path / "limits.csv"), "--limit-sigmas", "0", "--out", str(out)]
    assert main(command) == 2
    assert "Upper limits of 0.0 standard deviations make no sense" in capsys.readouterr().err


def test_a_file_has_limits_by_other_names_and_may_do_without(tmp_path):
    table = table_of()
    table["depth"], table["limit_u"] = 12.0, 6.0
    table.write(tmp_path / "limits.csv")
    with pytest.warns(UserWarning, match="upper limit"):
        found = read_photometry(tmp_path / "limits.csv", columns={"limit_u": "depth"})
    assert found.sigma[0, 0] == pytest.approx(4.0)
    ignored = read_photometry(tmp_path / "limits.csv", columns={"limit_u": None}, on_bad="mask")
    assert ignored.mask[:, 0].tolist() == [False, True, False]
