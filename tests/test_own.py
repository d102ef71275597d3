"""The panel for own galaxies without a browser: reading, mending, bad rows, results."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from astropy.table import Table

import sedflow_lab as sl
from sedflow_lab.errors import InputError
from sedflow_lab.observations.tables import understood
from sedflow_lab.panels import OwnGalaxiesPanel, OwnState
from sedflow_lab.panels.own import state as own_state

N = 6


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Magnitudes of showcase galaxies; row 2 has none in g, row 4 a negative error in u."""
    galaxies = sl.showcase()[:N]
    table = Table({"object": [f"a{k}" for k in range(N)], "z_best": galaxies.redshift})
    for k, band in enumerate("ugriz"):
        table[f"mag_{band}"] = galaxies.magnitude[:, k]
        table[f"magerr_{band}"] = 1.0857362 / galaxies.snr[:, k]
    table["flags"] = np.arange(N)
    table["mag_g"][2], table["magerr_u"][4] = np.nan, -1
    path = tmp_path_factory.mktemp("own") / "my.csv"
    table.write(path)
    return path


@pytest.fixture
def state(posterior, file):
    state = OwnState(None, posterior, draws=100, method="fast")
    state.receive(file.name, file.read_bytes())
    assert state.wait()
    yield state
    state.close()


def test_a_state_needs_no_widgets():
    code = (
        "import sys, sedflow_lab.panels.own.state\n"
        "assert not {'bokeh', 'ipywidgets', 'jupyter_bokeh'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# What is understood


def test_what_is_understood_is_what_is_read(file):
    bands = sl.showcase().bands
    flux = sl.showcase()[:2].to_table()
    found = understood(flux, bands)
    assert found["flux_u"] == ("flux_u", "nmgy") and found["sigma_z"] == ("sigma_z", "nmgy")
    assert found["redshift"] == ("redshift", "") and found["id"] == ("id", "")
    flux.remove_columns(["redshift", "sigma_u", "flux_g"])
    found = understood(flux, bands)
    assert "redshift" not in found and "sigma_u" not in found and "flux_g" not in found
    assert "flux_u" in found and "sigma_r" in found
    known = understood(Table.read(file), bands, {"redshift": "z_best", "mag_u": None})
    assert known["redshift"] == ("z_best", "") and "mag_u" not in known


def test_units_by_hand_are_those_of_the_column(file):
    table = sl.showcase()[:3].to_table()
    table["flux_u"].unit = table["sigma_u"].unit = None
    jansky = sl.Photometry.from_table(table, units={"flux_u": "Jy"})
    plain = sl.Photometry.from_table(table)
    np.testing.assert_allclose(jansky.flux[:, 0], plain.flux[:, 0] / 3.631e-6)
    np.testing.assert_allclose(jansky.sigma[:, 0], plain.sigma[:, 0] / 3.631e-6)
    assert table["flux_u"].unit is None  # the table stays as it is
    with pytest.raises(InputError, match=r"no column 'flux_x'.*closest"):
        sl.Photometry.from_table(table, units={"flux_x": "Jy"})
    with pytest.raises(InputError, match=r"'furlong' of the column 'flux_u'|cannot be turned"):
        sl.Photometry.from_table(table, units={"flux_u": "furlong"})


def test_a_file_is_mended_by_hand_and_read_by_the_package(state, posterior, file):
    assert state.galaxies is None and "redshift" in state.message
    assert state.message.endswith("choose it below.") and "columns=" not in state.message
    state.mend("redshift", "z_best")
    state.mend("id", "object")
    assert state.message == "" and state.galaxies.ids.tolist() == [f"a{k}" for k in range(N)]
    known = {"columns": {"redshift": "z_best", "id": "object"}, "on_bad": "flag"}
    expected = sl.read_photometry(file, posterior.bands, **known)
    for name in ("flux", "sigma", "redshift", "problems"):
        np.testing.assert_array_equal(getattr(state.galaxies, name), getattr(expected, name))
    assert np.flatnonzero(~state.galaxies.usable).tolist() == [2, 4]
    state.on_bad = "mask"
    assert state.galaxies.usable.all() and not state.galaxies.mask[2, 1]
    state.on_bad = "raise"
    assert state.galaxies is None and "choose below to leave out" in state.message


def test_the_code_reads_the_same(state, file, monkeypatch):
    assert state.code == ""
    state.mend("redshift", "z_best")
    state.mend("mag_z", None)
    state.give_unit("magerr_r", "mag")
    monkeypatch.chdir(file.parent)
    names: dict = {}
    exec(state.code.partition("result =")[0], names)
    np.testing.assert_array_equal(names["galaxies"].flux, state.galaxies.flux)
    assert not state.galaxies.mask[:, 4].any()


def test_a_band_has_one_value_and_one_error(state):
    state.mend("flux_u", "mag_u")
    state.mend("sigma_u", "magerr_u")
    state.mend("mag_u", "mag_u")
    assert state.columns == {"sigma_u": "magerr_u", "mag_u": "mag_u"}
    state.mend("flux_u", None)
    assert state.columns == {"flux_u": None}
    state.mend("mag_u", "mag_u")
    assert state.columns == {"mag_u": "mag_u"}


RUBBISH = {
    "empty.csv": b"",
    "noise.csv": b"\x00\xff\xfe\x01 noise",
    "short.fits": b"SIMPLE  = T",
    "short.parquet": b"PAR1abc",
    "other.vot": b"<?xml version='1.0'?><a/>",
    "header.csv": b"a,b\n",
    "columns.csv": b"a,b\n1,2\n",
    "../../etc/passwd": b"root",
    "what": b"a b\n1 2",
    "": b"a",
    "words.csv": b"flux_u,sigma_u,redshift\nred,blue,far\n",
    "page.csv": b"<html><body>Not found</body></html>",
    "zip.gz": b"\x1f\x8b broken",
}


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_told_in_one_sentence(posterior, name):
    state = OwnState(None, posterior)
    state.receive(name, RUBBISH[name])
    assert state.wait()
    assert state.galaxies is None and not state.reading
    said = state.message
    assert said.endswith(".") and "\n" not in said and "Traceback" not in said
    assert "sedflow-" not in said and "The file cannot be read:" not in said, said
    state.close()


def test_files_of_other_kinds_and_of_several_tables(posterior, tmp_path):
    galaxies = sl.showcase()[:3]
    for ending in ("fits", "ecsv", "vot"):
        galaxies.to_table().write(
            tmp_path / f"a.{ending}", **({"format": "votable"} if ending == "vot" else {})
        )
        state = OwnState(tmp_path / f"a.{ending}", posterior)
        assert state.wait()
        np.testing.assert_allclose(state.galaxies.flux, galaxies.flux, rtol=1e-6)
        state.close()
    from astropy.io import fits

    hdu = fits.table_to_hdu(galaxies.to_table())
    fits.HDUList([fits.PrimaryHDU(), hdu, hdu.copy()]).writeto(tmp_path / "two.fits")
    state = OwnState(tmp_path / "two.fits", posterior)
    assert state.wait()
    assert "write its number or name behind Table" in state.message
    state.hdu = "2"
    assert state.wait()
    assert len(state.galaxies) == 3 and state.message == ""
    state.open(tmp_path / "none.fits")
    assert state.wait()
    assert f"{tmp_path}/none.fits does not exist" in state.message and state.galaxies is None
    state.close()


# Results


def test_results_are_those_of_infer(state, posterior):
    state.mend("redshift", "z_best")
    state.infer()
    assert state.wait() and not state.running and state.done == N
    result = posterior.infer(state.galaxies, 100, "fast", 0, on_bad="flag")
    assert state.results["badge"].tolist() == result.badge.tolist()
    expected = result.quantile(0.5)[:, 0]
    np.testing.assert_allclose(state.results["log_mstar"], expected, rtol=1e-6)
    assert state.results["problem"][2] != "" and "log_ssfr_1gyr_hi" in state.results.colnames
    state.draws = 200
    assert state.results is None
    state.infer()
    state.cancel()
    assert not state.running and state.results is None


def test_of_very_many_the_command_is_told(state, monkeypatch):
    monkeypatch.setattr(own_state, "MOST_INFERRED", 5)
    state.mend("redshift", "z_best")
    state.infer()
    assert "the command infer" in state.message and not state.running


# The view


@pytest.fixture(scope="module")
def panel(posterior, file):
    panel = OwnGalaxiesPanel(file, posterior, draws=100, method="fast")
    assert panel.state.wait()
    yield panel
    panel.close()


def test_the_panel_from_a_file_to_a_link(panel):
    state, menus = panel.state, panel.menus
    assert "no column for the redshift" in panel.status.value
    assert panel.look.layout.display == "none"
    assert menus.single["redshift"].value == "" and menus.bands["g"]["value"].value == "mag_g"
    kinds = [menus.bands["g"][name].value for name in ("kind", "error_kind")]
    assert kinds == ["mag", "mag_err"]
    menus.single["redshift"].value = "z_best"
    assert state.columns == {"redshift": "z_best"}
    assert "<b>4</b> can be used" in panel.status.value
    assert "magnitude in band g is nan" in panel.bad.value and "<td>4</td>" in panel.bad.value
    menus.bands["z"]["value"].value = "not observed"
    assert state.columns["flux_z"] is None and menus.bands["z"]["unit"].disabled
    menus.bands["z"]["value"].value = "mag_z"
    assert not menus.bands["z"]["unit"].disabled and state.galaxies.mask[:, 4].all()
    menus.bands["u"]["unit"].value = "mJy"
    assert state.units == {"mag_u": "mJy"} and state.galaxies.flux[0, 0] > 1e3
    menus.bands["u"]["unit"].value = ""
    assert "mag_u" not in state.code or "''" in state.code
    panel.look.click()
    assert panel.picker.state.galaxies is state.galaxies and panel.picker.galaxy.state.index == 0
    assert panel.picker.state.results.columns["flags"].tolist() == list(range(N))
    panel.run.click()
    assert state.wait()
    assert "results-my.fits" in panel.links.value and "data:text/csv" in panel.links.value
    assert f"{N} galaxies inferred" in panel.links.value


def test_every_menu_has_a_name(panel):
    menus = [menu for band in panel.menus.bands.values() for menu in band.values()]
    tooltips = [menu.tooltip for menu in (*menus, *panel.menus.single.values())]
    assert all(tooltips) and len(set(tooltips)) == len(tooltips)


def test_an_uploaded_file_is_deleted_with_the_panel(posterior, file):
    state = OwnState(None, posterior)
    state.receive("my.csv", file.read_bytes())
    assert state.wait()
    assert state._path.exists()
    state.close()
    assert not state._path.exists()
