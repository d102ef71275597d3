"""Band sets: the named ones, users' own filters, JSON, and the model in other bands."""

from __future__ import annotations

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import reference_sed
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sedflow_lab.errors import InputError
from sedflow_lab.observations import Photometry
from sedflow_lab.panels.galaxy.words import remarks
from sedflow_lab.parameters import get_prior
from sedflow_lab.reports.card.goals import name_limits
from sedflow_lab.sps import BandSet, SEDModel, get_bands, load_ssp_grid
from sedflow_lab.sps.bands import BAND_SETS, Band, read_band
from sedflow_lab.sps.projection import check_coverage


def bump(centre=6000.0, width=1000.0, name="mine"):
    wavelength = np.linspace(centre - width, centre + width, 81)
    response = np.cos(0.5 * np.pi * (wavelength - centre) / width) ** 2
    return Band(name, name, wavelength, response.clip(0))


@pytest.mark.parametrize("name", BAND_SETS)
def test_named_sets(name):
    from speclite import filters

    bands = get_bands(name)
    assert bands.name == name
    assert bands.names == BAND_SETS[name]
    assert len(set(bands.labels)) == len(bands)
    assert (np.diff(bands.effective_wavelength) > 0).all()  # listed from blue to red
    for band in bands.bands:
        # A spectrum of constant AB magnitude has that magnitude in speclite and in our zero point.
        curve = filters.load_filter(band.name)
        np.testing.assert_array_equal(band.wavelength, curve.wavelength)
        wavelength = np.linspace(*band.support, 20_000)
        flux = 3.631e-29 * 2.99792458e18 / wavelength**2
        response = np.interp(wavelength, band.wavelength, band.response)
        counts = np.trapezoid(flux * response * wavelength, wavelength)
        assert counts / band.ab_flux == pytest.approx(1, abs=5e-4)
        assert curve.get_ab_magnitude(flux, wavelength) == pytest.approx(22.5, abs=5e-4)


def test_sets_are_made_of_names_files_and_bands(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("# Angstrom, response\n4000,0\n5000,1\n6000,0\n")
    bands = get_bands(["sdss2010-r", path, bump(7000, 500, "other")])
    assert bands.names == ("sdss2010-r", "mine", "other")
    assert bands.name == "sdss2010-r,mine,other"
    assert get_bands(f"sdss2010-r, {path}").labels == ("r", "mine")
    assert get_bands(bump()).labels == ("mine",)
    assert get_bands(BAND_SETS["decam-grz"]).name == "decam-grz"
    assert get_bands(bands) is bands


def test_labels_are_unique_in_a_set():
    bands = get_bands("sdss2010-g,decam2014-g,decam2014-r")
    assert bands.labels == ("sdss2010-g", "decam2014-g", "r")


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ("sdss-ugrizz", "no filter or band set 'sdss-ugrizz'.*sdss2010-r.*decam-grz"),
        ("sdss2010-r,sdss2010-r", "2 filters called 'sdss2010-r'"),
        ([], "at least one band"),
        ([3], "not 3"),
        ("nowhere.txt", "Cannot read the filter nowhere.txt"),
    ],
)
def test_unknown_bands_are_refused(bands, message):
    with pytest.raises(InputError, match=message):
        get_bands(bands)


def test_tables_of_other_filters_are_refused():
    table = Photometry([[3.0, 5.0, 7.0]], [[0.1] * 3], [0.05], bands="decam-grz").to_table()
    with pytest.raises(InputError, match=r"decam-grz, but.*g is sdss2010-g and not decam2014-g"):
        Photometry.from_table(table, bands="sdss2010-g,sdss2010-r,sdss2010-z")
    for bands in ("decam-grz", "decam2014-r,decam2014-g", get_bands("decam-grz")):
        assert len(Photometry.from_table(table, bands=bands)) == 1
    del table.meta["bands"]
    assert len(Photometry.from_table(table, bands="sdss2010-g,sdss2010-r")) == 1
    own = get_bands(["sdss2010-g", "decam2014-g", bump()])  # two bands g
    table = Photometry([[3.0, 5.0, 7.0]], [[0.1] * 3], [0.05], bands=own).to_table()
    assert Photometry.from_table(table, bands=own).flux.tolist() == [[3.0, 5.0, 7.0]]


def test_read_band(tmp_path):
    path = tmp_path / "narrow.dat"
    path.write_text("# my filter\n6600 0.0\n6500 0.8  # peak\n6400 0.2\n6300 0\n")  # red to blue
    band = read_band(path)
    assert (band.name, band.label) == ("narrow", "narrow")
    assert band.wavelength.tolist() == [6300, 6400, 6500, 6600]
    assert band.response.tolist() == [0, 0.2, 0.8, 0]
    assert band.support == (6300, 6600)
    assert read_band(path, label="n").label == "n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("300 0\n500 1\n800 0\n", "300 to 800, but Angstrom are expected: multiply nano"),
        ("0.3 0\n0.5 1\n0.8 0\n", "0.3 to 0.8, but Angstrom are expected"),
        ("4e14 0\n5e14 1\n6e14 0\n", "4e.14 to 6e.14, but Angstrom are expected"),
        ("4000 0\n5000 1\n4500 0\n6000 0\n", "rising"),
        ("4000 0\n5000 nan\n6000 0\n", "finite"),
        ("4000 0\n5000 -1\n6000 0\n", "run from -1 to 0"),
        ("4000 0\n5000 0\n6000 0\n", "some of them above 0"),
        ("4000 0 1\n5000 1 1\n6000 0 1\n", "two columns, it has 3"),
        ("4000 1\n5000 1\n", "three or more"),
        ("wavelength response\n4000 1\n", "Cannot read.*# before comments"),
        ("", "Cannot read|two columns"),
    ],
)
def test_files_that_are_no_filters_are_refused(tmp_path, text, message):
    path = tmp_path / "filter.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_band(path)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.tuples(st.floats(), st.floats()), max_size=6).map(
            lambda rows: "\n".join(f"{a} {b}" for a, b in rows).encode()
        ),
    )
)
@example(b"1e300 1\n2e300 1\n3e300 1\n")
@example(b"4000 1e308\n5000 1e308\n6000 1e308\n")
@example(b"0\t0\n1.79769313486231e308\t0\n-600e291\t0")
@example(b"1e-300 1e29\n5000 1\n6000 0\n")
@example(b"4000 0\n5000 5e-324\n6000 0\n")
def test_any_file_is_a_filter_or_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            band = read_band(path)
        except InputError as error:
            assert "any" in str(error)
            return
        assert 900 <= band.effective_wavelength <= 1e8
        assert 0 < band.ab_flux < np.inf
    assert (np.diff(band.wavelength) > 0).all()


curves = st.lists(
    st.tuples(st.floats(1e-3, 500), st.floats(0, 1e3, allow_subnormal=False)),
    min_size=3,
    max_size=20,
).filter(lambda rows: any(r > 1e-6 for _, r in rows))


@given(rows=curves, start=st.floats(1000, 1e5))
def test_written_filters_are_read_back(tmp_path_factory, rows, start):
    steps, response = np.array(rows).T
    wavelength = start + np.cumsum(steps)
    path = tmp_path_factory.getbasetemp() / "written.csv"
    np.savetxt(path, np.column_stack([wavelength, response]), delimiter=",", fmt="%.17g")
    band = read_band(path)
    np.testing.assert_array_equal(band.wavelength, wavelength)
    np.testing.assert_array_equal(band.response, response)
    room = 1e-12 * start  # rounding
    assert wavelength[0] - room <= band.effective_wavelength <= wavelength[-1] + room


@pytest.mark.parametrize("name", BAND_SETS)
def test_json_of_named_sets_is_short_and_comes_back(name):
    bands = get_bands(name)
    text = json.dumps(bands.to_json())
    assert len(text) < 110 * (len(bands) + 1)
    back = BandSet.from_json(json.loads(text))
    assert back == bands
    assert back.name == name


def test_json_of_own_filters_holds_their_curves():
    mine, renamed = bump(), bump(4700, 600, "sdss2010-g")  # not speclite's g
    bands = get_bands(["sdss2010-r", mine, renamed])
    back = BandSet.from_json(json.loads(json.dumps(bands.to_json())))
    assert back == bands
    assert hash(back) == hash(bands)
    np.testing.assert_array_equal(back.bands[2].response, renamed.response)
    assert bands != get_bands(["sdss2010-r", mine, "sdss2010-g"])
    assert bands != get_bands(["sdss2010-r", bump(width=900), renamed])


def test_json_is_refused_if_a_filter_has_changed_or_it_is_no_band_set():
    description = get_bands("sdss-ugriz").to_json()
    description["bands"][1]["effective_wavelength_aa"] *= 1.001
    with pytest.raises(InputError, match=r"sdss2010-g had .* speclite now puts it at 4749"):
        BandSet.from_json(description)
    own = get_bands(bump()).to_json()
    own["bands"][0]["response"] = "none"
    for broken in ({}, {"name": "x", "bands": [1]}, {"name": "x", "bands": [{}]}, own):
        with pytest.raises(InputError, match=r"not the description|have the shapes"):
            BandSet.from_json(broken)


def test_coverage_depends_on_the_highest_redshift():
    grid = load_ssp_grid()  # 2305-59900 Angstrom
    with pytest.raises(InputError, match=r"galex-fuv \(1109-1811 .*galex-nuv .*sedflow-lab ssp"):
        check_coverage(get_bands("galex-sdss"), grid, 0.2)
    blue = get_bands(bump(3100, 500))  # from 2600: leaves the grid at z = 0.128
    check_coverage(blue, grid, 0.12)
    with pytest.raises(InputError, match=r"up to redshift 0\.2 "):
        check_coverage(blue, grid, 0.2)
    red = get_bands(bump(60_000, 1000))  # outside at z = 0 already
    with pytest.raises(InputError, match="-61000 Angstrom"):
        check_coverage(red, grid, 0.01)
    with pytest.raises(InputError, match="galex-fuv"):
        SEDModel(bands="galex-sdss", redshift_max=0.01)


def test_the_far_tail_of_a_filter_may_be_missed():
    """The g of DECam leaks 1e-4 of its light from below 3690 Angstrom, 2305 at z = 0.6."""
    g = get_bands("decam-grz").bands[0]
    assert 5e-5 < g.share(0, 2305 * 1.6) < 2e-4
    assert g.share(0, 1e9) == pytest.approx(1)
    assert g.share(4000, 4500) + g.share(4500, 5000) == pytest.approx(g.share(4000, 5000))


@pytest.mark.parametrize(
    ("bands", "redshift"),
    [("sdss-ugriz", 0.32), ("lsst-ugrizy", 0.41), ("decam-grz", 0.68), ("panstarrs-grizy", 0.71)],
)
def test_band_sets_reach_to_the_redshifts_that_the_guide_says(bands, redshift):
    check_coverage(get_bands(bands), load_ssp_grid(), redshift)
    with pytest.raises(InputError, match="need more"):
        check_coverage(get_bands(bands), load_ssp_grid(), redshift + 0.01)


@pytest.mark.parametrize(
    "bands", ["decam-grz", "legacy-north", (bump(5500, 900, "wide"), bump(6560, 90, "narrow"))]
)
def test_model_in_other_bands(bands):
    """Against slow integration of every wavelength; filters narrower than 5 % included."""
    model = SEDModel(bands=bands, redshift_max=0.02)
    theta, redshift = get_prior("flat-dirichlet").sample(3, seed=5), np.array([0.004, 0.011, 0.02])
    flux = model.photometry(theta, redshift)
    assert flux.shape == (3, len(model.bands))
    expected = [
        reference_sed.photometry(model.ssp, model.bands, t, z, 0.1)
        for t, z in zip(theta, redshift, strict=True)
    ]
    np.testing.assert_allclose(flux, expected, rtol=3e-3)


def test_card_and_panel_tell_of_bands_where_dust_shines():
    bands, plain = get_bands("sdss-wise"), get_bands("sdss-2mass")
    assert bands.dusty == ("W1", "W2") and plain.dusty == ()
    noise = SimpleNamespace(bright=13.0, faint=20.0)
    for each, told in ((bands, True), (plain, False)):
        bundle = SimpleNamespace(bands=each, noise=noise, redshift_max=0.2)
        limits = name_limits(bundle, {"galaxies": {}, "calibration": {}})
        assert any("beyond 2.5 micron" in limit for limit in limits) is told
        mask = np.ones((1, len(each)), dtype=bool)
        mask[0, -1] = False
        outcome = SimpleNamespace(
            photometry=SimpleNamespace(bands=each, mask=mask),
            result=SimpleNamespace(diagnostics={}),
        )
        said = " ".join(remarks(outcome, None, False))
        assert ("W1 beyond 2.5 µm" in said) is told and "W2" not in said


def test_bands_where_dust_shines_are_told():
    with pytest.warns(
        UserWarning, match=r"The bands W1, W2 lie beyond 2\.5 micron.*starlight only"
    ):
        SEDModel(bands="sdss-wise", redshift_max=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SEDModel(bands="sdss-2mass", redshift_max=0.01)
