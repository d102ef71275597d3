"""Nothing silent: whatever numbers and files are given, they are read right or refused in words."""

from __future__ import annotations

import gzip
import re
import warnings
from importlib.util import find_spec

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

import sedflow_lab as sl
from sedflow_lab.commands.shared import add_catalog, new_parser, read_catalog
from sedflow_lab.errors import InputError
from sedflow_lab.observations import Photometry, read_photometry
from sedflow_lab.observations.blocks import read_blocks
from sedflow_lab.observations.checks import (
    MAX_FLUX,
    MAX_REDSHIFT,
    MAX_SNR,
    MIN_REDSHIFT,
    MIN_SIGMA,
    PhotometryWarning,
)

BANDS = "ugriz"
FLUX = np.array([30.0, 75.0, 104.0, 130.0, 145.0])


def galaxies(n=3, **changes):
    given = {
        "flux": np.tile(FLUX, (n, 1)),
        "sigma": np.tile(0.05 * FLUX, (n, 1)),
        "redshift": np.full(n, 0.03),
    }
    return Photometry(**(given | changes))


def one_sentence(error) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith(".")
    assert re.search(r"\.\s", text) is None, text
    return text


# --- numbers that single precision cannot hold -------------------------------------------------

BEYOND = {
    "no data by a huge error": (0.0, 9.9e99, "9.9e+99 nanomaggies but must be masked, as it carr"),
    "error of 1e17": (1.0, 1.1 * MAX_FLUX, "must be masked, as it carries no information"),
    "huge flux": (1e30, 1e29, "flux in band g is 1e+30 nanomaggies but must be no brighter than"),
    "hugely negative flux": (-1e18, 1e15, "flux in band g is -1e+18 nanomaggies but must be"),
    "tiny error": (0.0, 1e-46, "uncertainty in band g is 1e-46 nanomaggies but must be that of 1e"),
    "too good": (10.0, 1e-7, "1e-07 nanomaggies but must be that of a signal-to-noise ratio of 1e"),
    "beyond double precision": (1e308, 1e308, "flux in band g is 1e+308"),
}


@pytest.mark.parametrize("flux, sigma, said", BEYOND.values(), ids=BEYOND)
def test_values_beyond_single_precision(flux, sigma, said):
    given = {"flux": np.tile(FLUX, (3, 1)), "sigma": np.tile(0.05 * FLUX, (3, 1))}
    given["flux"][1, 1], given["sigma"][1, 1] = flux, sigma
    with pytest.raises(InputError) as error:
        galaxies(**given)
    assert "'1' (row 1" in one_sentence(error) and said in str(error.value)
    flagged = galaxies(**given, on_bad="flag")
    assert_array_equal(flagged.usable, [True, False, True])
    assert said in flagged.problems[1] and "mask the band" in flagged.problems[1]
    masked = galaxies(**given, on_bad="mask")
    assert masked.usable.all()
    assert_array_equal(np.argwhere(~masked.mask), [[1, 1]])


def test_values_just_within_the_limits_are_taken():
    phot = Photometry(
        [MAX_FLUX, -MAX_FLUX, 0.0, 1.0, 0.0],
        [MAX_FLUX, MAX_FLUX / MAX_SNR, 1.01 * MIN_SIGMA, 1.01 / MAX_SNR, MAX_FLUX],
        MIN_REDSHIFT,
    )
    assert phot.usable.all() and phot.mask.all()
    assert galaxies(redshift=[MIN_REDSHIFT, 1.0, MAX_REDSHIFT]).usable.all()


@pytest.mark.parametrize("redshift", [1e-46, 5e-324, 1e-12, 99.0, 1e308])
def test_a_redshift_without_a_distance_flags_its_row_only(redshift):
    phot = galaxies(redshift=[0.03, redshift, 0.03], on_bad="mask")
    assert_array_equal(phot.usable, [True, False, True])
    assert f"redshift is {redshift:g} but must be between 1e-05 and 30" in phot.problems[1]


def test_a_catalogue_with_absurd_rows_is_inferred_but_for_them():
    flux, sigma = np.tile(FLUX, (6, 1)), np.tile(0.05 * FLUX, (6, 1))
    redshift = np.full(6, 0.03)
    sigma[0, 0], flux[1, 2], sigma[2, 4], redshift[3] = 9.9e99, 1e30, 1e-46, 1e-46
    sigma[4] = 9.9e99
    phot = Photometry(flux, sigma, redshift, on_bad="mask")
    assert_array_equal(phot.usable, [True, True, True, False, False, True])
    result = sl.load_posterior("nsa-ugriz").infer(phot, draws=50, on_bad="flag")
    assert np.isfinite(result.samples[phot.usable]).all()
    assert np.isfinite(result.chi2_min[phot.usable]).all()
    assert_array_equal(result.badge == "bad photometry", ~phot.usable)


any_number = st.floats() | st.sampled_from(
    [
        0.0,
        -0.0,
        5e-324,
        1e-46,
        1e-38,
        1e-13,
        1e-7,
        1.0,
        1e7,
        1e15,
        1e19,
        1e38,
        1e308,
        np.inf,
        np.nan,
    ]
)


@settings(max_examples=60)
@given(
    arrays(float, (3, 5), elements=any_number),
    arrays(float, (3, 5), elements=any_number),
    arrays(float, 3, elements=any_number),
    st.sampled_from(["flag", "mask"]),
    st.sampled_from([u.nmgy, u.Jy, u.ABmag]),
)
def test_whatever_is_usable_can_be_computed_with(flux, sigma, redshift, on_bad, unit):
    with np.errstate(all="raise", under="ignore"):
        phot = Photometry(flux * unit, sigma, redshift, on_bad=on_bad)
    good = phot.mask & phot.usable[:, None]
    with np.errstate(over="ignore"):  # of what is not usable
        flux, sigma, z = (a.astype(np.float32) for a in (phot.flux, phot.sigma, phot.redshift))
    assert np.isfinite(flux[good]).all() and (sigma[good] > 0).all()
    with np.errstate(all="raise", under="ignore"):
        inverse = 1 / sigma[good]
        assert np.isfinite(inverse**2).all()
        assert np.isfinite(30 * (flux[good] * inverse) ** 2).all()
        assert np.isfinite(flux[good] ** 2 + 4 * sigma[good] ** 2).all()
        assert np.isfinite(z[phot.usable] ** -2.0 / z[phot.usable] ** 2).all()
    assert (phot.mask.sum(1)[phot.usable] >= 2).all()


# --- units --------------------------------------------------------------------------------------


def table_in(unit, scale=1.0, **columns):
    table = Table({"redshift": [0.03, 0.04]})
    for label, flux in zip(BANDS, FLUX, strict=True):
        table[f"flux_{label}"] = [flux * scale, 2 * flux * scale]
        table[f"flux_{label}"].unit = unit
    for name, make in columns.items():
        for label, flux in zip(BANDS, FLUX, strict=True):
            table[f"{name}_{label}"] = make(0.1 * flux * scale)
    return table


def test_inverse_variances_without_a_unit_have_that_of_the_flux():
    jansky = table_in("Jy", 3.631e-6, ivar=lambda s: [s**-2, s**-2])
    assert_allclose(Photometry.from_table(jansky).sigma, [0.1 * FLUX] * 2)
    plain = table_in(None, 1.0, ivar=lambda s: [s**-2, s**-2])
    assert_allclose(Photometry.from_table(plain).sigma, [0.1 * FLUX] * 2)
    jansky["ivar_g"][1] = 0
    problem = Photometry.from_table(jansky, on_bad="flag").problems[1]
    assert "inverse variance in band g is 0 Jy^-2" in problem


def test_inverse_variances_of_magnitudes():
    table = Table({"redshift": [0.03]})
    for label, flux in zip(BANDS, FLUX, strict=True):
        table[f"mag_{label}"] = [22.5 - 2.5 * np.log10(flux)]
        table[f"ivar_{label}"] = [400.0]  # 0.05 mag
    phot = Photometry.from_table(table)
    assert_allclose(phot.sigma[0], 0.05 * 0.4 * np.log(10) * FLUX)
    for label in BANDS:
        table[f"ivar_{label}"].unit = "mag-2"
    assert_allclose(Photometry.from_table(table).sigma, phot.sigma)


@pytest.mark.parametrize("unit", ["km/s", "km s-1", "m/s"])
def test_velocities_are_no_redshifts(unit):
    table = table_in(None, sigma=lambda s: [s, s])
    table["redshift"] = [9000.0, 12000.0]
    table["redshift"].unit = unit
    with pytest.raises(InputError) as error:
        Photometry.from_table(table)
    text = one_sentence(error)
    assert "column 'redshift'" in text and "give plain redshifts" in text and "v/c" in text
    table["redshift"] = [0.03, 0.04]
    table["redshift"].unit = u.dimensionless_unscaled
    assert_array_equal(Photometry.from_table(table).redshift, [0.03, 0.04])


# --- rows and catalogues ------------------------------------------------------------------------


def test_rows_are_those_of_the_catalogue():
    flux = np.tile(FLUX, (6, 1))
    flux[4, 0] = np.nan
    phot = galaxies(6, flux=flux, on_bad="flag")
    block = phot[3:]
    assert_array_equal(block.rows, [3, 4, 5])
    assert "(row 4, counting from 0)" in block.problems[1]
    assert "(row 4, counting from 0)" in block.select_bands("u", "g").problems[1]
    assert_array_equal(Photometry.concatenate([phot[4:], phot[:1]]).rows, [4, 5, 0])
    with pytest.raises(InputError):
        galaxies(rows=[1, 2])


def write_csv(path, n, flux=1.0, sigma=0.05, redshift=0.03):
    header = "id,redshift," + ",".join(f"flux_{b},sigma_{b}" for b in BANDS)
    values = ",".join(f"{f * flux:.6g},{f * flux * sigma:.6g}" for f in FLUX)
    path.write_text("\n".join([header, *(f"g{i},{redshift},{values}" for i in range(n))]))
    return path


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"flux": 1e-9}, "12 of 12 galaxies are fainter than -6 mag (absolute; median 39.6 mag"),
        ({"flux": 3.631e-6}, "fainter than -6 mag"),  # Jy
        ({"flux": 1e9}, "12 of 12 galaxies are brighter than -29 mag"),
        ({"sigma": 1e-5}, "signal-to-noise ratio above 5000 (median 1e+05): check that the unc"),
        ({"sigma": 50}, "signal-to-noise ratio below 0.2 (median 0.02)"),
        ({"redshift": 9000}, "12 of 12 galaxies cannot be used: galaxy 'g0' (row 0"),
    ],
)
def test_a_mistake_of_units_is_told_at_once(tmp_path, changes, said):
    path = write_csv(tmp_path / "odd.csv", 12, **changes)
    with pytest.warns(PhotometryWarning) as warned:
        phot = read_photometry(path, on_bad="flag")
    (text,) = (str(w.message) for w in warned)
    assert said in text and text.startswith("odd.csv: ") and text.endswith(".")
    assert text == f"odd.csv: {phot.warning}"


def test_three_galaxies_make_a_catalogue(tmp_path):
    with pytest.warns(PhotometryWarning, match="3 of 3 galaxies are fainter than -6 mag"):
        read_photometry(write_csv(tmp_path / "odd.csv", 3, flux=1e-9))


def test_commands_choose_a_table_and_tell_what_looks_wrong(tmp_path, capsys):
    parser = new_parser("try", "", "")
    add_catalog(parser)
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU(typed_table(), name="ONE")]
    hdus.append(fits.BinTableHDU(typed_table(["a", "b", "c"]), name="TWO"))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    args = parser.parse_args([str(tmp_path / "a.fits"), "--hdu", "2"])
    assert_array_equal(read_catalog(args, "sdss-ugriz", "flag").ids, ["a", "b", "c"])
    args = parser.parse_args([str(write_csv(tmp_path / "odd.csv", 12, flux=1e-9))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_catalog(args, "sdss-ugriz", "flag")
    assert "sedflow-lab: warning: 12 of 12 galaxies are fainter" in capsys.readouterr().err
    args = parser.parse_args([str(tmp_path / "odd.csv"), "--extinction", "F99"])
    with pytest.raises(InputError, match="no column ebv"):
        read_catalog(args, "sdss-ugriz", "flag")


def test_good_catalogues_are_read_without_a_warning(tmp_path, recwarn):
    assert read_photometry(write_csv(tmp_path / "good.csv", 12)).warning == ""
    assert read_photometry(write_csv(tmp_path / "few.csv", 2, flux=1e-9)).warning == ""
    assert sl.showcase().warning == ""
    assert galaxies(1)[:0].warning == ""
    assert [w for w in recwarn if issubclass(w.category, PhotometryWarning)] == []


# --- files --------------------------------------------------------------------------------------

HEADER = "ID,redshift," + ",".join(f"flux_{b},sigma_{b}" for b in BANDS)
IDS = ["007", "0012E3", "1e5"]


def rows_of(ids=IDS, scale=1.0):
    values = ",".join(f"{f * scale:.8g},{0.05 * f * scale:.8g}" for f in FLUX)
    return [f"{name},0.03,{values}" for name in ids]


def save(path, lines, separator=",", encoding="utf-8", end="\n"):
    content = end.join(lines).replace(",", separator).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def check_read(phot, ids=IDS):
    assert_array_equal(phot.ids, ids)
    assert_allclose(phot.flux, np.tile(FLUX, (len(ids), 1)), rtol=1e-6)
    assert_allclose(phot.sigma, np.tile(0.05 * FLUX, (len(ids), 1)), rtol=1e-6)
    assert_allclose(phot.redshift, 0.03)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "name, separator",
    [
        ("a.csv", ","),
        ("a.csv.gz", ","),
        ("a.tsv", "\t"),
        ("a.tsv.gz", "\t"),
        ("a.txt", ","),
        ("a.txt", " "),
        ("a.dat", " "),
        ("a.ascii", "|"),
        ("a.cat", " "),
        ("a.cat", "  "),
        ("A.TBL", "\t"),
    ],
)
def test_ids_and_numbers_stay_as_written_in_every_text_format(tmp_path, name, separator, encoding):
    lines = [HEADER, *rows_of()]
    check_read(read_photometry(save(tmp_path / name, lines, separator, encoding)))
    lines[0] = lines[0].replace("ID", "galaxy")
    path = save(tmp_path / name, lines, separator, encoding, "\r\n")
    check_read(read_photometry(path, columns={"id": "galaxy"}))


def test_commented_headers_and_missing_ids(tmp_path):
    lines = ["# " + HEADER.replace(",", " "), *(r.replace(",", " ") for r in rows_of())]
    check_read(read_photometry(save(tmp_path / "topcat.txt", lines)))
    lines = ["# made by hand", HEADER, *rows_of(["007", "", "x y"])]
    check_read(read_photometry(save(tmp_path / "a.csv", lines)), ["007", "1", "x y"])


def typed_table(ids=IDS, **units):
    table = Table({"id": ids, "redshift": np.full(len(ids), 0.03)})
    for label, flux in zip(BANDS, FLUX, strict=True):
        table[f"flux_{label}"] = np.full(len(ids), flux)
        table[f"sigma_{label}"] = np.full(len(ids), 0.05 * flux)
    return table


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.ecsv", "ascii.ecsv"),
        ("a.csv", "ascii.ecsv"),
        ("a.mrt", "ascii.mrt"),
        ("a.tbl", "ascii.ipac"),
        ("a.vot", "votable"),
        ("a.xml", "votable"),
        ("a.fits", "fits"),
        ("a.fit", "fits"),
        ("wrong_name.csv", "fits"),
    ],
)
def test_formats_of_astronomers(tmp_path, name, kind):
    table = typed_table()
    for label, flux in zip(BANDS, FLUX, strict=True):
        table[f"flux_{label}"] = np.full(3, flux * 3.631e-3)
        table[f"sigma_{label}"] = np.full(3, 0.05 * flux * 3.631e-3)
        table[f"flux_{label}"].unit = table[f"sigma_{label}"].unit = "mJy"
    table.write(tmp_path / name, format=kind)
    check_read(read_photometry(tmp_path / name))
    squeezed = tmp_path / (name + ".gz")
    squeezed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    check_read(read_photometry(squeezed))


def test_parquet_is_read_or_what_it_needs_is_said(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    if find_spec("pyarrow"):
        typed_table().write(path, format="parquet")
        check_read(read_photometry(path))
    path.write_bytes(b"PAR1" + bytes(100))
    monkeypatch.setattr("sedflow_lab.observations.files.find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        read_photometry(path)
    assert "Parquet needs pyarrow: install it with pip install" in one_sentence(error)


@pytest.mark.parametrize("dashes", [False, True])
@pytest.mark.parametrize("name, separator", [("a.tsv", "\t"), ("a.csv", ","), ("a.txt", "|")])
def test_a_row_of_units_is_honoured(tmp_path, name, separator, dashes):
    """As VizieR writes them: units below the header, then dashes."""
    heads = ["#Column ID", HEADER, ",---," + ",".join(["mJy"] * 10)]
    heads += ["-----,---,---," + ",".join(["-----"] * 9)] if dashes else []
    path = save(tmp_path / name, [*heads, *rows_of(scale=3.631e-3)], separator)
    check_read(read_photometry(path))


def test_a_row_of_units_of_magnitudes(tmp_path):
    header = HEADER.replace("flux", "mag").replace("sigma", "mag_err")
    values = ",".join(f"{22.5 - 2.5 * np.log10(f):.8f},{0.05 / 0.4 / np.log(10):.8f}" for f in FLUX)
    lines = [header, ",," + ",".join(["[mag],(mag)"] * 5), *(f"{i},0.03,{values}" for i in IDS)]
    check_read(read_photometry(save(tmp_path / "a.csv", lines)))


def test_units_in_a_row_that_are_not_known_are_refused(tmp_path):
    lines = [HEADER, "-,-," + ",".join(["counts"] * 10), *rows_of()]
    with pytest.raises(InputError) as error:
        read_photometry(save(tmp_path / "a.csv", lines))
    assert "'counts' of the column 'flux_u' is not known" in one_sentence(error)
    lines[1] = "-,km/s," + ",".join(["mJy"] * 10)
    with pytest.raises(InputError) as error:
        read_photometry(save(tmp_path / "a.csv", lines))
    assert "column 'redshift' has the unit 'km" in one_sentence(error)


@pytest.mark.parametrize("word", ["NULL", "nan", "--", "N/A", ""])
def test_a_first_galaxy_without_measurements_is_no_row_of_units(tmp_path, word):
    lines = [HEADER, "first," + ",".join([word] * 11), *rows_of()]
    phot = read_photometry(save(tmp_path / "a.csv", lines), on_bad="flag")
    assert_array_equal(phot.ids, ["first", *IDS])
    assert_array_equal(phot.usable, [False, True, True, True])
    lines[1] = "first,0.03," + ",".join(["ERR"] * 10)  # not even one with a redshift
    phot = read_photometry(save(tmp_path / "a.csv", lines), on_bad="flag")
    assert_array_equal(phot.usable, [False, True, True, True])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_rarer_marks_in_ids_do_not_end_a_line(tmp_path, end):
    ids = ["a\u2028b", "c\x85d", "e\x1ff"]
    check_read(read_photometry(save(tmp_path / "a.csv", [HEADER, *rows_of(ids)], end=end)), ids)


def test_bytes_that_are_no_text(tmp_path):
    path = save(tmp_path / "a.csv", [HEADER, *rows_of(["Galaxie Süd"])], encoding="latin-1")
    with pytest.raises(InputError) as error:
        read_photometry(path)
    assert "line 2 is no text in UTF-8" in one_sentence(error)


def test_the_table_of_a_fits_file_that_has_the_columns_is_taken(tmp_path):
    good, other = typed_table(), typed_table(["a", "b", "c"])
    log = Table({"step": [1, 2], "text": ["x", "y"]})
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.ones((2, 2))), fits.BinTableHDU(log, name="LOG")]
    hdus.append(fits.BinTableHDU(good, name="GALAXIES"))
    path = tmp_path / "a.fits"
    fits.HDUList(hdus).writeto(path)
    check_read(read_photometry(path))
    hdus.append(fits.BinTableHDU(other, name="OTHER"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    with pytest.raises(InputError) as error:
        read_photometry(path)
    text = one_sentence(error)
    assert "2 tables with the columns" in text and "3 'GALAXIES', 4 'OTHER'" in text
    assert "hdu=" in text
    check_read(read_photometry(path, hdu=3))
    check_read(read_photometry(path, hdu="other"), ["a", "b", "c"])
    for hdu in (1, 9, "GALAXY"):
        with pytest.raises(InputError) as error:
            read_photometry(path, hdu=hdu)
        assert "its tables are 2 'LOG', 3 'GALAXIES'" in one_sentence(error)
    with pytest.raises(InputError, match="no column for the flux of band u"):
        read_photometry(path, hdu="LOG")


def test_columns_that_do_not_fill_the_rows_are_refused(tmp_path):
    """Astropy would read the numbers of all columns that follow from other places."""
    path = tmp_path / "a.fits"
    typed_table().write(path)
    content = path.read_bytes()
    wide, narrow = b"TFORM2  = 'D ", b"TFORM2  = 'E "
    assert content.count(wide) == 1
    path.write_bytes(content.replace(wide, narrow))
    for read in (read_photometry, lambda path: list(read_blocks(path, size=2))):
        with pytest.raises(InputError) as error:
            read(path)
        assert f"The header of the file {path} is damaged" in one_sentence(error)


def test_vector_columns_that_do_not_fit(tmp_path):
    for name in ("flux_u", "sigma_u", "redshift", "id"):
        table = typed_table()
        table[name] = np.ones((3, 7))
        table.write(tmp_path / "a.fits", overwrite=True)
        with pytest.raises(InputError) as error:
            read_photometry(tmp_path / "a.fits")
        assert f"column {name!r} holds 7 values a row" in one_sentence(error)


def test_a_named_index_of_a_data_frame_is_a_column():
    pandas = pytest.importorskip("pandas")
    table = typed_table()
    columns = {name: table[name].tolist() for name in table.colnames}
    frame = pandas.DataFrame(columns)
    check_read(Photometry.from_table(frame))
    check_read(Photometry.from_table(frame.set_index("id")))
    check_read(Photometry.from_table(frame.set_index(["id", "redshift"])))
    assert_array_equal(Photometry.from_table(frame.drop(columns="id")).ids, ["0", "1", "2"])


@pytest.mark.parametrize("make", [Table, lambda columns: Table(columns).to_pandas(), dict])
def test_tables_in_place_of_paths_are_told_where_they_belong(make):
    table = make({"id": ["a"], "redshift": [0.1]})
    with pytest.raises(InputError) as error:
        read_photometry(table)
    said = f"This {type(table).__name__} is not the path of a file: give a path to read_photometry "
    assert one_sentence(error).startswith(said)
    assert one_sentence(error).endswith("what is a table already to Photometry.from_table.")


def test_data_frames_that_are_no_tables_of_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({n: typed_table()[n].tolist() for n in typed_table().colnames})
    for odd, said in (
        (frame.rename_axis("id"), "already exists"),
        (pandas.concat([frame, frame], axis=1), "This DataFrame is not a table"),
        (pandas.DataFrame(np.ones((2, 3))), "This DataFrame is not a table"),
        (frame.iloc[0], "This Series is not a table"),
    ):
        with pytest.raises(InputError) as error:
            Photometry.from_table(odd)
        assert said in one_sentence(error)


texts = st.text(st.sampled_from(list("0123456789.,-+eE #|\t\n\"'abflux_ugriz\u00e9")), max_size=200)
headed = texts.map(lambda text: HEADER + "\n" + text)


@settings(max_examples=60)
@given(
    st.binary(max_size=300) | (texts | headed).map(str.encode),
    st.sampled_from(["csv", "tsv", "txt", "ecsv", "fits", "vot", "cat", "parquet"]),
    st.sampled_from(
        [b"", b"# %ECSV 1.0\n", b"SIMPLE  =                    T", b"<?xml ", b"PAR1", b"\x1f\x8b"]
    ),
    st.booleans(),
)
def test_any_bytes_are_photometry_or_an_input_error(
    tmp_path_factory, content, ending, magic, squeeze
):
    content = magic + content
    path = tmp_path_factory.mktemp("fuzz") / f"x.{ending}"
    path.write_bytes(gzip.compress(content) if squeeze else content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert isinstance(read_photometry(path, on_bad="mask"), Photometry)
        except InputError as error:
            assert "\n" not in str(error)


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_photometry_or_an_input_error(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    kind = data.draw(st.sampled_from(["fits", "votable", "ascii.ecsv", "ascii.csv"]))
    path = folder / f"damaged.{kind.removeprefix('ascii.')}"
    typed_table().write(path, format=kind, overwrite=True)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert isinstance(read_photometry(path, on_bad="flag"), Photometry)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("text", ["-1", "2147483648", "1" + 40 * "0", "1e3", "nan", ""])
@pytest.mark.parametrize(
    "command",
    [
        "infer in.csv --out o.csv --seed",
        "mcmc in.csv --out o.h5 --seed",
        "simulate out --seed",
        "simulate out -n",
        "train out --seed",
        "train out -n",
        "distil out in.csv --seed",
        "distil out in.csv -n",
        "compare --out out --seed",
        "demo --seed",
        "card nsa-ugriz --out out --seed",
        "figures --draws",
    ],
)
def test_whole_numbers_beyond_what_generators_take_are_refused(command, text, capsys):
    from sedflow_lab.commands.main import main

    assert main([*command.split(), text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "too few" in line or "too large" in line or "invalid whole number" in line


@pytest.mark.parametrize("changed", [{"seed": 2**70}, {"n": 2**40}, {"seed": -1}])
def test_seeds_and_numbers_of_sets_are_bounded(tmp_path, tiny_model, changed):
    from sedflow_lab.anpe.simulate import simulate

    (name,) = changed
    with pytest.raises(InputError, match=rf"{name} is -?\d+: give [01] to 1,099,511,627,775"):
        simulate(tmp_path / "set", **{"n": 10, "model": tiny_model} | changed)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("path", ["~nobody-is-called-so/x.csv", "x" * 300 + ".csv", "/dev/null"])
def test_paths_that_lead_to_no_file_are_named(path):
    with pytest.raises(InputError, match=r"does not exist|is no plain file") as error:
        read_photometry(path)
    assert path in one_sentence(error)


@pytest.mark.parametrize("columns", [{3: "flux_u"}, {"flux_u": 3}, {None: None}])
def test_columns_that_are_no_names_are_refused(columns):
    with pytest.raises(InputError, match="columns"):
        Photometry.from_table(galaxies().to_table(), columns=columns)
