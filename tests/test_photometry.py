import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from sedflow_lab.errors import InputError
from sedflow_lab.observations import Photometry, read_photometry

BANDS = "ugriz"
# NSAID 72, the example of Hahn & Melchior (2022).
MAGNITUDE = np.array([18.795, 17.802, 17.455, 17.213, 17.092])
FLUX = np.array([30.33891, 75.71815, 104.2317, 130.2567, 145.6130])  # worked out by hand
SHARED = Path(os.environ.get("SEDFLOW_SHARED", Path(__file__).parents[2] / "shared"))
SAMPLE = SHARED / "nsa" / "nsa_v0_1_2_sample.csv"


def make(n=4, **changes):
    flux = np.outer(np.arange(1, n + 1), [10.0, 20.0, 30.0, 40.0, 50.0])
    given = {"flux": flux, "sigma": 0.1 * flux, "redshift": np.linspace(0.01, 0.04, n)}
    return Photometry(**(given | changes))


def table_of(n=3, flux="flux_{}", sigma="sigma_{}", redshift="redshift"):
    phot, table = make(n), Table()
    for band, label in enumerate(BANDS):
        table[flux.format(label)] = phot.flux[:, band]
        table[sigma.format(label)] = phot.sigma[:, band]
    table[redshift] = phot.redshift
    return table


def one_sentence(error) -> str:
    """The message, once it is known to be a single line with its only full stop at the end."""
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert re.search(r"\.\s", text) is None, text
    return text


# --- units ---------------------------------------------------------------------------------


def test_magnitudes_of_the_papers_example():
    phot = Photometry(MAGNITUDE * u.ABmag, np.full(5, 0.02) * u.mag, 0.03)
    assert_allclose(phot.flux[0], FLUX, rtol=1e-6)
    assert_allclose(phot.sigma[0], 0.02 * FLUX * np.log(10) / 2.5, rtol=1e-6)
    assert_allclose(Photometry(FLUX, 0.1 * FLUX, 0.03).magnitude[0], MAGNITUDE, atol=1e-6)


@pytest.mark.parametrize(
    "unit, of_one_nanomaggy",
    [
        (u.nmgy, 1.0),
        (u.maggy, 1e-9),
        (u.Jy, 3.631e-6),
        (u.mJy, 3.631e-3),
        (u.uJy, 3.631),
        (u.erg / u.s / u.cm**2 / u.Hz, 3.631e-29),
        (u.W / u.m**2 / u.Hz, 3.631e-32),
    ],
)
def test_flux_units(unit, of_one_nanomaggy):
    value = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]) * of_one_nanomaggy
    phot = Photometry(value * unit, 0.1 * value * unit, [0.1])
    assert_allclose(phot.flux, [[1, 2, 3, 4, 5]], rtol=1e-12)
    assert_allclose(phot.sigma, [[0.1, 0.2, 0.3, 0.4, 0.5]], rtol=1e-12)


def test_plain_sigma_has_the_unit_of_the_flux():
    jansky = Photometry(FLUX * 3.631e-6 * u.Jy, FLUX * 3.631e-7, 0.03)
    assert_allclose(jansky.sigma[0], 0.1 * FLUX)
    magnitudes = Photometry(MAGNITUDE * u.ABmag, np.full(5, 0.1), 0.03)
    assert_allclose(magnitudes.sigma[0] / magnitudes.flux[0], 0.1 * np.log(10) / 2.5)


def test_plain_flux_with_sigma_in_magnitudes_or_jansky():
    assert_allclose(
        Photometry(FLUX, np.full(5, 0.1) * u.mag, 0.03).sigma[0], FLUX * 0.04 * np.log(10)
    )
    assert_allclose(Photometry(FLUX, np.full(5, 3.631) * u.uJy, 0.03).sigma, 1.0)


@pytest.mark.parametrize("unit", [u.m, u.erg / u.s / u.cm**2 / u.AA, u.mag, u.STmag, u.Jy**2])
def test_units_that_are_no_ab_flux(unit):
    with pytest.raises(InputError) as error:
        Photometry(np.ones(5) * unit, np.ones(5), 0.1)
    text = one_sentence(error)
    assert text.startswith("The flux has the unit '") and "nanomaggies, Jy, mJy" in text


@settings(deadline=None, max_examples=50)
@given(
    arrays(float, (3, 5), elements=st.floats(5, 30)),
    arrays(float, (3, 5), elements=st.floats(0.001, 2)),
)
def test_magnitudes_round_trip(magnitude, error):
    phot = Photometry(magnitude * u.ABmag, error * u.mag, [0.1, 0.2, 0.3])
    assert_allclose(phot.magnitude, magnitude, atol=1e-10)
    assert_allclose(phot.snr, 2.5 / np.log(10) / error, rtol=1e-10)


# --- the container ---------------------------------------------------------------------------


def test_one_galaxy_as_one_dimensional_arrays():
    phot = Photometry(FLUX, 0.1 * FLUX, 0.03)
    assert len(phot) == 1
    assert phot.flux.shape == phot.sigma.shape == phot.mask.shape == (1, 5)
    assert_array_equal(phot.ids, ["0"])
    assert_allclose(phot.snr, 10)


def test_selection():
    phot = make(6, ids=list("abcdef"))
    assert_array_equal(phot[2].ids, ["c"])
    assert_array_equal(phot[-1].ids, ["f"])
    assert_array_equal(phot[1:3].ids, ["b", "c"])
    assert_array_equal(phot[phot.redshift > 0.03].ids, ["e", "f"])
    assert_array_equal(phot[[3, 0]].ids, ["d", "a"])
    assert_array_equal(phot[[3, 0]].flux, phot.flux[[3, 0]])
    assert len(phot[[]]) == len(phot[6:]) == 0
    assert [str(one.ids[0]) for one in phot] == list("abcdef")
    for wrong in (6, -7, [True, False], "a", [[0, 1]]):
        with pytest.raises(IndexError):
            phot[wrong]


def test_arrays_cannot_be_changed_and_are_copies():
    flux = np.ones((2, 5))
    phot = Photometry(flux, flux, [0.1, 0.2])
    flux[:] = -1
    assert (phot.flux == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        phot.flux[0, 0] = 2
    with pytest.raises(ValueError, match="read-only"):
        phot[:1].sigma[0, 0] = 2


def test_goes_to_other_processes():
    phot = make(3).drop_bands("u")
    assert_same(pickle.loads(pickle.dumps(phot)), phot)


def test_concatenate():
    phot = make(5)
    joined = Photometry.concatenate([phot[3:], phot[:3]])
    assert_array_equal(joined.ids, ["3", "4", "0", "1", "2"])
    assert_array_equal(joined.flux, phot.flux[[3, 4, 0, 1, 2]])
    with pytest.raises(InputError) as error:
        Photometry.concatenate([phot, Photometry(np.ones(3), np.ones(3), 0.1, "decam-grz")])
    one_sentence(error)
    with pytest.raises(InputError):
        Photometry.concatenate([])


def test_dropped_bands_are_masked():
    phot = make().drop_bands("u", "sdss2010-z")
    assert_array_equal(phot.mask[0], [False, True, True, True, False])
    assert np.isnan(phot.flux[:, [0, 4]]).all() and np.isnan(phot.sigma[:, [0, 4]]).all()
    assert_array_equal(phot.flux[:, 1:4], make().flux[:, 1:4])
    assert phot.usable.all()
    assert_array_equal(make().select_bands("r", "g", "i").mask, phot.mask)


def test_dropping_too_many_or_unknown_bands():
    with pytest.raises(InputError) as error:
        make().drop_bands("u", "g", "r", "i")
    assert "at least 2" in one_sentence(error)
    with pytest.raises(InputError) as error:
        make().drop_bands("Y")
    assert "'Y'" in one_sentence(error)


def test_dropping_a_bad_band_makes_a_galaxy_usable():
    flux = make(2).flux.copy()
    flux[0, 0] = np.nan
    phot = make(2, flux=flux, on_bad="flag")
    assert_array_equal(phot.usable, [False, True])
    assert phot.drop_bands("u").usable.all()


def test_magnitude_and_snr_where_there_is_no_light():
    phot = Photometry([0.0, -1.0, 1.0, 1.0, 10.0], np.full(5, 0.5), 0.1)
    assert_allclose(phot.magnitude[0], [np.nan, np.nan, 22.5, 22.5, 20.0])
    assert_allclose(phot.snr[0], [0, -2, 2, 2, 20])


def test_repr_says_what_is_there():
    phot = Photometry([1.0, 10.0, 100.0, -1.0, 1e4], np.ones(5), 0.0312, ids=["72"])
    assert repr(phot) == (
        "<Photometry of galaxy '72' at z = 0.0312: u 22.50, g 20.00, r 17.50, i -, z 12.50 mag>"
    )
    flux = make().flux.copy()
    flux[0, 0], flux[1] = np.nan, np.nan
    text = repr(make(flux=flux, on_bad="mask"))
    assert text.startswith("<Photometry of 4 galaxies in sdss-ugriz (u, g, r, i, z)")
    assert "z = 0.01 to 0.04" in text and "1 with masked bands" in text and "1 not usable" in text
    assert "galaxies" in repr(make()[:0])


def test_import_loads_neither_torch_nor_astropy():
    code = (
        "import sys, sedflow_lab.observations.photometry, sedflow_lab.observations.nsa;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'astropy', 'tqdm')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- bad values --------------------------------------------------------------------------------

BAD = {
    "nan flux": ("flux", np.nan, "flux in band g is nan nanomaggies"),
    "infinite flux": ("flux", np.inf, "flux in band g is inf nanomaggies"),
    "negative sigma": ("sigma", -0.5, "uncertainty in band g is -0.5 nanomaggies"),
    "zero sigma": ("sigma", 0.0, "uncertainty in band g is 0 nanomaggies"),
    "nan sigma": ("sigma", np.nan, "uncertainty in band g is nan nanomaggies"),
    "infinite sigma": ("sigma", np.inf, "uncertainty in band g is inf nanomaggies"),
}


def spoilt(which, value, **changes):
    good = make()
    arrays = {"flux": good.flux.copy(), "sigma": good.sigma.copy()}
    arrays[which][2, 1] = value
    return make(**arrays, ids=["a", "b", "c", "d"], **changes)


@pytest.mark.parametrize("which, value, said", BAD.values(), ids=BAD)
def test_bad_value(which, value, said):
    with pytest.raises(InputError) as error:
        spoilt(which, value)
    text = one_sentence(error)
    assert text.startswith("Galaxy 'c' (row 2, counting from 0)")
    assert said in text and "on_bad='mask'" in text and "on_bad='flag'" in text

    flagged = spoilt(which, value, on_bad="flag")
    assert_array_equal(flagged.usable, [True, True, False, True])
    assert said in flagged.problems[2] and "'c'" in flagged.problems[2]
    assert_array_equal(getattr(flagged, which)[2, 1], value)  # kept, to be looked at
    assert flagged.mask.all()

    masked = spoilt(which, value, on_bad="mask")
    assert masked.usable.all()
    assert_array_equal(np.argwhere(~masked.mask), [[2, 1]])
    assert np.isnan(masked.flux[2, 1]) and np.isnan(masked.sigma[2, 1])


@pytest.mark.parametrize("redshift", [0.0, -0.01, np.nan, np.inf])
@pytest.mark.parametrize("on_bad", ["flag", "mask"])
def test_bad_redshift(redshift, on_bad):
    redshifts = [0.01, redshift, 0.02, 0.03]
    with pytest.raises(InputError) as error:
        make(redshift=redshifts)
    text = one_sentence(error)
    assert (
        "'1' (row 1" in text and f"redshift is {redshift:g} but must be finite and above 0" in text
    )
    phot = make(redshift=redshifts, on_bad=on_bad)
    assert_array_equal(phot.usable, [True, False, True, True])
    assert f"redshift is {redshift:g}" in phot.problems[1]


def test_too_few_good_bands_are_flagged_not_masked():
    flux = make().flux.copy()
    flux[0, :3], flux[1, :4] = np.nan, np.nan
    phot = make(flux=flux, on_bad="mask")
    assert_array_equal(phot.usable, [True, False, True, True])
    assert_array_equal(phot.mask.sum(axis=1), [2, 5, 5, 5])
    assert "band u" in phot.problems[1] and "band i" in phot.problems[1]


def test_masked_bands_are_not_bad_but_one_band_is_too_few():
    flux = make().flux.copy()
    flux[:, 0] = np.nan
    mask = np.array([False, True, True, True, True])
    assert make(flux=flux, mask=mask).usable.all()
    phot = make(mask=[[True] * 5] * 3 + [[True] + [False] * 4], on_bad="mask")
    assert_array_equal(phot.usable, [True, True, True, False])
    assert "bands observed are 1 but must be 2 or more" in phot.problems[3]


def test_missing_magnitudes_are_said_as_given():
    magnitude = MAGNITUDE.copy()
    for value in (99.0, -99.0, 9999.0, -9999.0):
        magnitude[3] = value
        with pytest.raises(InputError) as error:
            Photometry(magnitude * u.ABmag, np.full(5, 0.1), 0.1)
        assert f"magnitude in band i is {value:g} mag but must be" in one_sentence(error)


def test_several_bad_galaxies_are_counted():
    with pytest.raises(InputError) as error:
        make(sigma=-make().sigma)
    assert "and 3 more galaxies" in one_sentence(error)


def test_masked_arrays_count_as_nan():
    flux = np.ma.masked_greater(make().flux, 199)
    assert_array_equal(np.argwhere(~make(flux=flux, on_bad="mask").mask), [[3, 4]])


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"flux": np.ones((4, 4)), "sigma": np.ones((4, 4))}, "needs 5 columns (u, g, r, i, z)"),
        ({"sigma": np.ones((4, 4))}, "one uncertainty for every flux"),
        ({"sigma": np.ones((3, 5))}, "one uncertainty for every flux"),
        ({"flux": np.ones((2, 2, 5)), "sigma": np.ones((2, 2, 5))}, "(2, 2, 5)"),
        ({"redshift": [0.1, 0.2]}, "(2,) for 4 galaxies"),
        ({"redshift": 0.1}, "(1,) for 4 galaxies"),
        ({"redshift": [1, 2, 3, 4] * u.km}, "'km'"),
        ({"ids": ["a", "b"]}, "2 ids for 4 galaxies"),
        ({"mask": np.ones((4, 3))}, "mask has the shape (4, 3)"),
        ({"flux": [["a"] * 5] * 4}, "holds 'a'"),
        ({"flux": [[1, 2], [1]]}, "rows of different lengths"),
        ({"flux": np.ones((4, 5)) * 1j}, "complex128"),
        ({"on_bad": "ignore"}, "'ignore'"),
        ({"bands": "no-such-bands"}, "'no-such-bands'"),
    ],
)
def test_arguments_that_do_not_fit(changes, said):
    with pytest.raises(InputError) as error:
        make(**changes)
    assert said in one_sentence(error)


# --- tables --------------------------------------------------------------------------------------

text_ids = st.text("abcXYZ019 _-+.äß", min_size=1, max_size=12).map(str.strip).filter(bool)
finite = st.floats(-1e6, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-6)


@st.composite
def photometry(draw):
    n = draw(st.integers(1, 5))
    flux = draw(arrays(float, (n, 5), elements=finite | st.just(np.nan)))
    sigma = draw(
        arrays(float, (n, 5), elements=st.floats(1e-6, 1e6) | st.sampled_from([0.0, -1.0, np.inf]))
    )
    redshift = draw(arrays(float, n, elements=st.floats(-0.1, 6)))
    mask = draw(arrays(bool, (n, 5)))
    ids = draw(st.lists(text_ids, min_size=n, max_size=n))
    return Photometry(
        flux, sigma, redshift, ids=ids, mask=mask, on_bad=draw(st.sampled_from(["flag", "mask"]))
    )


def assert_same(one, other):
    for name in ("flux", "sigma", "redshift", "ids", "mask"):
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert_array_equal(one.usable, other.usable)
    assert one.bands == other.bands


@settings(deadline=None, max_examples=100)
@given(photometry())
def test_table_round_trip(phot):
    table = phot.to_table()
    assert table["flux_u"].unit == u.nmgy
    assert_same(phot, Photometry.from_table(table, on_bad="flag"))


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits", "dat"])
def test_file_round_trip(tmp_path, suffix):
    rng = np.random.default_rng(1)
    flux = rng.lognormal(4, 2, (20, 5))
    mask = rng.random((20, 5)) < 0.7
    mask[:, 2:4] = True
    phot = make(20, flux=flux, sigma=0.1 * flux, mask=mask, ids=[f"{i:03d}" for i in range(20)])
    path = tmp_path / f"table.{suffix}"
    kind = {"ecsv": "ascii.ecsv", "fits": "fits", "csv": "ascii.csv", "dat": "ascii"}[suffix]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FITS knows no nanomaggies
        phot.to_table().write(path, format=kind)
    back = read_photometry(path)
    assert_same(phot, back)


@pytest.mark.parametrize(
    "flux, sigma, redshift",
    [
        ("flux_{}", "sigma_{}", "redshift"),
        ("FLUX_{}", "FluxErr_{}", "Z"),
        ("nmgy_{}", "flux_err_{}", "z"),
        ("NMGY_{}", "err_{}", "ZDIST"),
        ("{}_flux", "{}_flux_err", "z_spec"),
        ("flux-{}", "sigma {}", "z_redshift"),
    ],
)
def test_column_names(flux, sigma, redshift):
    if flux.lower().startswith("nmgy") and "flux" in sigma:
        sigma = "nmgy_err_{}"
    phot = Photometry.from_table(table_of(3, flux, sigma, redshift))
    assert_same(phot, make(3))


@pytest.mark.parametrize(
    "mag, error", [("mag_{}", "mag_err_{}"), ("MAG_{}", "magerr_{}"), ("{}_mag", "sigma_mag_{}")]
)
def test_magnitude_columns(mag, error):
    table = Table({"redshift": [0.03], "name": ["x"]})
    for label, magnitude in zip(BANDS, MAGNITUDE, strict=True):
        table[mag.format(label)], table[error.format(label)] = [magnitude], [0.05]
    phot = Photometry.from_table(table)
    assert_allclose(phot.flux[0], FLUX, rtol=1e-6)
    assert_allclose(phot.sigma[0], FLUX * 0.02 * np.log(10), rtol=1e-6)
    assert phot.ids[0] == "x"


def test_inverse_variances():
    table = table_of(3, sigma="ivar_{}")
    for label in BANDS:
        table[f"ivar_{label}"] **= -2
    assert_allclose(Photometry.from_table(table).sigma, make(3).sigma)
    table["ivar_r"][1], table["ivar_i"][1] = 0, -1
    with pytest.raises(InputError) as error:
        Photometry.from_table(table)
    text = one_sentence(error)
    assert "inverse variance in band r is 0 nanomaggies^-2" in text
    assert "inverse variance in band i is -1 nanomaggies^-2" in text
    assert_array_equal(Photometry.from_table(table, on_bad="mask").mask[1], [1, 1, 0, 0, 1])


@pytest.mark.parametrize("kind", [Table, QTable])
def test_column_units_are_honoured(kind):
    plain = table_of(3)
    table = kind({"redshift": plain["redshift"]})
    for label in BANDS:
        table[f"flux_{label}"] = np.asarray(plain[f"flux_{label}"]) * 3.631 * u.uJy
        sigma = np.asarray(plain[f"sigma_{label}"]) * 3.631e-3
        table[f"ivar_{label}"] = sigma**-2.0 * u.mJy**-2
    phot = Photometry.from_table(table)
    assert_allclose(phot.flux, make(3).flux)
    assert_allclose(phot.sigma, make(3).sigma)


@pytest.mark.parametrize("spelling", ["nanomaggies", "nmgy", "nanomaggy"])
def test_spellings_of_nanomaggies(spelling):
    table = table_of(3, sigma="ivar_{}")
    for label in BANDS:
        table[f"ivar_{label}"] **= -2
        table[f"flux_{label}"].unit = u.Unit(spelling, parse_strict="silent")
        table[f"ivar_{label}"].unit = u.Unit(f"{spelling}^{{-2}}", parse_strict="silent")
    assert_allclose(Photometry.from_table(table).sigma, make(3).sigma)


def test_bare_columns_with_units_are_bands_and_then_z_is_no_redshift():
    table = Table({label: [m] * u.ABmag for label, m in zip(BANDS, MAGNITUDE, strict=True)})
    for label in BANDS:
        table[f"{label}_err"] = [0.05]
    with pytest.raises(InputError) as error:
        Photometry.from_table(table)
    assert "no column for the redshift" in one_sentence(error)
    table["zspec"] = [0.03]
    phot = Photometry.from_table(table)
    assert_allclose(phot.flux[0], FLUX, rtol=1e-6)
    assert_allclose(phot.redshift, 0.03)


def test_bare_z_without_units_beside_bare_bands_is_no_redshift():
    table = table_of(3)
    table.remove_column("redshift")
    table["u"], table["z"] = [18.0, 18, 18], [17.0, 17, 17]
    with pytest.raises(InputError) as error:
        Photometry.from_table(table)
    assert "redshift" in one_sentence(error)


def test_redshift_error_is_not_taken_for_the_error_of_z():
    table = table_of(3, redshift="z")
    table["z_err"] = 1e-4
    table.remove_column("sigma_z")
    with pytest.raises(InputError) as error:
        Photometry.from_table(table)
    assert "uncertainty of band z" in one_sentence(error)


def test_zdist_comes_before_z():
    table = table_of(3, redshift="Z")
    table["ZDIST"] = [0.5, 0.6, 0.7]
    assert_allclose(Photometry.from_table(table).redshift, [0.5, 0.6, 0.7])


def test_vector_columns_of_the_atlas():
    table = Table({"NSAID": [7, 9], "Z": [-9.0, -9.0], "ZDIST": [0.01, 0.02]})
    table["NMGY"] = np.arange(14.0).reshape(2, 7) + 1
    table["NMGY_IVAR"] = np.full((2, 7), 4.0)
    phot = Photometry.from_table(table)
    assert_array_equal(phot.flux, [[3, 4, 5, 6, 7], [10, 11, 12, 13, 14]])
    assert_array_equal(phot.sigma, np.full((2, 5), 0.5))
    assert_array_equal(phot.ids, ["7", "9"])
    assert_array_equal(phot.redshift, [0.01, 0.02])
    assert_array_equal(Photometry.from_table(table, "galex-sdss").flux[0], np.arange(1, 8))
    assert table.colnames == ["NSAID", "Z", "ZDIST", "NMGY", "NMGY_IVAR"]  # left as it was


def test_masked_entries_and_text_count_as_nan():
    table = table_of(3)
    table["flux_g"] = MaskedColumn(table["flux_g"], mask=[False, True, False])
    table["sigma_r"] = ["3", "6", "NULL"]
    phot = Photometry.from_table(table, on_bad="mask")
    assert_array_equal(np.argwhere(~phot.mask), [[1, 1], [2, 2]])
    assert_allclose(phot.sigma[:2, 2], [3, 6])


@pytest.mark.parametrize("column", ["flux_g", "sigma_i", "redshift", "redshift_sigma"])
@pytest.mark.parametrize("word", ["abc", b"1,5"])
def test_a_word_among_numbers_is_quoted_with_its_row_and_column(column, word):
    table = table_of(3)
    table["redshift_sigma"] = 0.001
    cells = [str(value).encode() for value in table[column]]
    table[column] = [cells[0], word if isinstance(word, bytes) else word.encode(), cells[2]]
    if isinstance(word, str):
        table.convert_bytestring_to_unicode()
    shown = word if isinstance(word, str) else word.decode()
    said = f"galaxy '1' (row 1, counting from 0): the column '{column}' holds '{shown}', which is"
    phot = Photometry.from_table(table, on_bad="flag")
    assert phot.problems[1].startswith(f"{said} no number; correct it")
    assert phot.usable.tolist() == [True, False, True]
    with pytest.raises(InputError) as error:
        Photometry.from_table(table)
    assert f"G{said[1:]} no number; correct this" in one_sentence(error)


def test_every_word_of_a_galaxy_is_told_and_blanks_are_none():
    table = table_of(3)
    table["flux_u"] = ["1", "x" * 5000, "3"]
    table["sigma_u"] = ["1", "y", ""]
    reasons = Photometry.from_table(table, on_bad="flag").problems
    assert f"column 'flux_u' holds '{'x' * 40}', which" in reasons[1] and len(reasons[1]) < 200
    assert "uncertainty in band u is nan nanomaggies" in reasons[2] and "holds" not in reasons[2]


def test_words_are_told_of_magnitudes_inverse_variances_and_rows_of_a_part():
    table = table_of(3, flux="mag_{}", sigma="ivar_{}")
    for label in BANDS:
        table[f"mag_{label}"] = 18.0
    table["mag_g"], table["ivar_r"] = ["18", "faint", "18"], ["1", "1", "inf?"]
    reasons = Photometry.from_table(table, on_bad="flag", rows=[70, 80, 90]).problems
    assert "(row 80, counting from 0): the column 'mag_g' holds 'faint', which" in reasons[1]
    assert "(row 90, counting from 0): the column 'ivar_r' holds 'inf?', which" in reasons[2]


def test_redshifts_as_words_are_quoted_without_a_table():
    with pytest.raises(InputError, match=r"row 1, .* the redshift holds 'abc', which is no number"):
        make(2, redshift=["0.1", "abc"])


def test_columns_by_role():
    table = table_of(3)
    table.rename_columns(["flux_u", "sigma_u", "redshift"], ["uFlux", "uError", "velocity"])
    table["label"] = ["x", "y", "z"]
    roles = {"flux_u": "uFlux", "sigma_u": "uError", "redshift": "velocity", "id": "label"}
    phot = Photometry.from_table(table, columns=roles)
    assert_array_equal(phot.flux, make(3).flux)
    assert_array_equal(phot.ids, ["x", "y", "z"])
    phot = Photometry.from_table(table, columns=roles | {"flux_u": None})
    assert_array_equal(phot.mask, [[False, True, True, True, True]] * 3)
    assert phot.usable.all()


def test_other_things_that_are_tables():
    table = table_of(3)
    assert_same(Photometry.from_table(table[1])[0], make(3, ids=list("000"))[1])
    assert_same(Photometry.from_table(table.as_array()), make(3))
    assert_same(Photometry.from_table({n: list(table[n]) for n in table.colnames}), make(3))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({n: np.asarray(table[n]) for n in table.colnames})
    assert_same(Photometry.from_table(frame), make(3))
    with pytest.raises(InputError) as error:
        Photometry.from_table(3)
    one_sentence(error)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: t.rename_column("flux_g", "flx_g"), ["flux of band g", "flux_g", "'flx_g'"]),
        (lambda t: t.remove_column("flux_g"), ["flux of band g", "columns={'flux_g': None}"]),
        (lambda t: t.remove_column("sigma_z"), ["uncertainty of band z", "ivar_z"]),
        (lambda t: t.rename_column("redshift", "redshfit"), ["redshift", "'redshfit'"]),
        (lambda t: t.replace_column("flux_g", ["a", "b", "c"]), ["'flux_g'", "'a'"]),
        (lambda t: setattr(t["flux_g"], "unit", "K"), ["'flux_g'", "'K'", "nanomaggies"]),
        (
            lambda t: setattr(t["flux_g"], "unit", u.Unit("blah", parse_strict="silent")),
            ["'flux_g'", "'blah'", "nanomaggies"],
        ),
    ],
)
def test_wrong_columns(change, said):
    table = table_of(3)
    change(table)
    with pytest.raises(InputError) as error:
        Photometry.from_table(table)
    text = one_sentence(error)
    for words in said:
        assert words in text


@pytest.mark.parametrize(
    "columns, said",
    [
        ({"flux_u": "fluxu"}, ["no column 'fluxu'", "closest: 'flux_u'"]),
        ({"flxu_u": "flux_u"}, ["'flxu_u'", "closest: 'flux_u'"]),
    ],
)
def test_wrong_roles(columns, said):
    with pytest.raises(InputError) as error:
        Photometry.from_table(table_of(3), columns=columns)
    text = one_sentence(error)
    for words in said:
        assert words in text


def test_bands_that_share_a_label_go_by_their_filter_names():
    bands = ["sdss2010-r", "decam2014-r"]
    phot = Photometry([[1.0, 2.0]], [[0.1, 0.2]], [0.1], bands)
    table = phot.to_table()
    assert "flux_decam2014-r" in table.colnames
    assert_same(phot, Photometry.from_table(table, bands))


# --- files ---------------------------------------------------------------------------------------


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"flux_u,sigma_u,redshift\n", "no rows"),
        ("broken.fits", b"this is no FITS file" * 300, "cannot be read"),
        ("binary.csv", bytes(range(256)) * 20, "cannot be read"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n", "cannot be read"),
        ("what.xyz", b"1 2 3\n", "cannot be read"),
    ],
)
def test_unreadable_files(tmp_path, name, content, said):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError) as error:
        read_photometry(path)
    text = one_sentence(error)
    assert said in text and name in text


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError) as error:
        read_photometry(tmp_path / "missing.csv")
    assert "does not exist" in one_sentence(error)
    with pytest.raises(InputError) as error:
        read_photometry(tmp_path)
    assert "is a folder" in one_sentence(error)


def test_errors_in_a_file_name_the_file_and_row(tmp_path):
    lines = ["# measured by hand", "ID," + ",".join(f"flux_{b},sigma_{b}" for b in BANDS) + ",z"]
    lines += ["007" + ",1,0.1" * 5 + ",0.1", "008" + ",1,0.1" * 4 + ",,0.1,0.1"]
    path = write(tmp_path / "mine.csv", "\n".join(lines).encode())
    with pytest.raises(InputError) as error:
        read_photometry(path)
    text = one_sentence(error)
    assert "mine.csv" in text and "'008' (row 1" in text and "band z is nan" in text
    phot = read_photometry(path, on_bad="mask")
    assert_array_equal(phot.ids, ["007", "008"])
    assert_array_equal(phot.mask[1], [True, True, True, True, False])


@settings(deadline=None, max_examples=60)
@given(
    st.binary(max_size=300) | st.text(max_size=200).map(str.encode),
    st.sampled_from(["csv", "txt", "fits", "ecsv"]),
)
def test_no_file_content_does_worse_than_an_input_error(tmp_path_factory, content, suffix):
    path = write(tmp_path_factory.mktemp("fuzz") / f"x.{suffix}", content)
    with pytest.raises(InputError):
        read_photometry(path)


@pytest.mark.skipif(not SAMPLE.exists(), reason="development data not there (SEDFLOW_SHARED)")
def test_real_galaxies_all_read():
    flagged = read_photometry(SAMPLE, on_bad="flag")
    assert len(flagged) == 7072
    assert (~flagged.usable).sum() == 1  # one i band without a measurement
    assert "inverse variance in band i is 0" in flagged.problems[~flagged.usable][0]
    masked = read_photometry(SAMPLE, on_bad="mask")
    assert masked.usable.all() and (~masked.mask).sum() == 1
    assert (masked.flux <= 0).sum() == 12  # negative fluxes are measurements, and stay
    with pytest.raises(InputError) as error:
        read_photometry(SAMPLE)
    one_sentence(error)


def test_an_error_floor_adds_in_quadrature_and_is_recorded():
    phot = Photometry.from_table(table_of(3))
    assert phot.settings() == {} and not phot.error_floor.any()
    floored = phot.with_error_floor(0.05)
    assert_allclose(floored.sigma, np.sqrt(phot.sigma**2 + (0.05 * phot.flux) ** 2), rtol=1e-12)
    assert_array_equal(floored.flux, phot.flux)
    assert floored.settings() == {"error_floor": dict.fromkeys(BANDS, 0.05)}
    assert not phot.error_floor.any()  # the first one is what it was
    with pytest.raises(ValueError, match="read-only"):
        floored.error_floor[0] = 0.1
    one = phot.with_error_floor({"u": 0.1, "sdss2010-z": 0.02})
    assert_array_equal(one.sigma[:, 1:4], phot.sigma[:, 1:4])
    assert_allclose(one.sigma[:, 0], np.hypot(phot.sigma[:, 0], 0.1 * phot.flux[:, 0]))
    assert_allclose(one.with_error_floor(0.1).error_floor, np.hypot([0.1, 0, 0, 0, 0.02], 0.1))


def test_an_error_floor_stays_with_the_galaxies():
    phot = Photometry.from_table(table_of(4)).with_error_floor({"u": 0.1})
    kept = [phot[1], phot[[0, 2]], phot.drop_bands("z"), Photometry.concatenate([phot, phot])]
    kept.append(Photometry.from_table(phot.to_table()))
    kept.append(Photometry.from_table(phot.to_table(), phot.bands.names[:3]))
    for other in kept:
        assert other.settings() == {"error_floor": {"u": 0.1}}
    assert_array_equal(kept[4].sigma, phot.sigma)
    other_bands = Photometry.from_table(phot.to_table(), phot.bands.names[1:])
    assert other_bands.settings() == {} and not other_bands.error_floor.flags.writeable
    with pytest.raises(InputError, match="one error floor"):
        Photometry.concatenate([phot, phot.with_error_floor(0.1)])


@pytest.mark.parametrize("floor", [5, -0.1, np.nan, {"u": 1.0}])
def test_an_error_floor_that_is_no_fraction_is_refused(floor):
    with pytest.raises(InputError, match=r"error floor of band .*u is .*fraction of the flux"):
        Photometry.from_table(table_of(1)).with_error_floor(floor)


def test_an_error_floor_of_an_unknown_band_is_refused():
    with pytest.raises(InputError, match="no band 'K'"):
        Photometry.from_table(table_of(1)).with_error_floor({"K": 0.1})
