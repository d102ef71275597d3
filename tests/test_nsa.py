import errno
import json
import re
import socket
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sedflow_lab._files import locked
from sedflow_lab.errors import InputError, SedflowError, WriteError
from sedflow_lab.observations import download as download_module
from sedflow_lab.observations.download import cache_folder, download
from sedflow_lab.observations.nsa import (
    PHOTO_FLAGS,
    download_nsa,
    match_positions,
    quality_cuts,
    quality_flags,
    read_nsa,
    read_positions,
    showcase,
    showcase_table,
)

FLOOR = np.array([0.04, 0.04, 0.05, 0.02, 0.02, 0.02, 0.03])  # mag, F N u g r i z
TO_AB = np.array([0.0, 0.0, -0.036, 0.012, 0.010, 0.028, 0.040])  # mag


def one_sentence(error) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith(".")
    assert re.search(r"\.\s", text) is None, text
    return text


def atlas(path, version="v0_1_2", n=50, padding=0, **changes) -> Path:
    """Write a small file with the Atlas's columns; what they hold is random."""
    rng = np.random.default_rng(1)
    flux = rng.lognormal(4, 1, (n, 7)).astype("f4")
    ivar = (rng.uniform(0.01, 0.1, (n, 7)) * flux).astype("f4") ** -2
    data = {
        "NSAID": ("J", np.arange(n) * 10),
        "RA": ("D", rng.uniform(0, 360, n)),
        "DEC": ("D", np.linspace(-10, 60, n)),
        "Z": ("E", rng.uniform(0.01, 0.05, n)),
        "ZDIST": ("E", rng.uniform(0.01, 0.05, n)),
        "EXTINCTION": ("7E", rng.uniform(0, 0.5, (n, 7))),
        "NMGY" if version == "v0_1_2" else "ELPETRO_FLUX": ("7E", flux),
        "NMGY_IVAR" if version == "v0_1_2" else "ELPETRO_FLUX_IVAR": ("7E", ivar),
    }
    if padding:
        data["PROFMEAN"] = (f"{padding}E", np.zeros((n, padding)))
    for name, values in changes.items():
        data[name] = (data[name][0], values)
    columns = [fits.Column(name, form, array=array) for name, (form, array) in data.items()]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    return path


# --- the shipped galaxies -----------------------------------------------------------------------


def test_showcase():
    phot, table = showcase(), showcase_table()
    assert len(phot) == len(table) == 192
    assert phot.bands.name == "sdss-ugriz"
    assert phot.usable.all() and phot.mask.all()
    assert len(set(phot.ids)) == 192
    assert_array_equal(phot.redshift, table["ZDIST"])
    assert_array_equal(phot.flux[:, 2], table["NMGY_r"])
    assert_allclose(phot.sigma[:, 2], table["NMGY_IVAR_r"] ** -0.5)


def test_showcase_galaxy():
    # The first row, worked out by hand: 22.5 - 2.5 log10(40.24503) and 0.156051^-1/2 for u.
    galaxy = showcase()[0]
    assert galaxy.ids[0] == "15185" and galaxy.redshift[0] == 0.02951661
    assert_allclose(galaxy.magnitude[0, 0], 18.48822, atol=1e-5)
    assert_allclose(galaxy.sigma[0, 0], 2.531434, rtol=1e-6)


def test_showcase_has_the_atlas_error_floors():
    phot = showcase()
    error = 2.5 / np.log(10) / phot.snr
    assert (error >= FLOOR[2:] * 0.999).all()
    assert (np.median(error, axis=0) < 2 * FLOOR[2:]).all()


def test_showcase_table_gives_credit_and_units():
    table = showcase_table()
    assert "Blanton" in table.meta["citation"] and "2011" in table.meta["citation"]
    assert "NASA" in table.meta["acknowledgement"]
    assert {"NMGY_F", "NMGY_N", "RA", "DEC"} <= set(table.colnames)
    assert str(table["NMGY_F"].unit) == "nmgy" and str(table["RA"].unit) == "deg"


# --- reading ------------------------------------------------------------------------------------


def test_read_v0_takes_fluxes_as_they_are(tmp_path):
    path = atlas(tmp_path / "nsa.fits")
    data = fits.getdata(path)
    phot = read_nsa(path)
    assert_array_equal(phot.flux, data["NMGY"][:, 2:])
    assert_allclose(phot.sigma, data["NMGY_IVAR"][:, 2:].astype(float) ** -0.5)
    assert_array_equal(phot.redshift, data["ZDIST"])
    assert_array_equal(phot.ids, data["NSAID"].astype(str))
    assert phot.flux.dtype == np.float64 and phot.flux.dtype.isnative


def test_read_v1_makes_what_v0_holds(tmp_path):
    """From v0_1_2 back to raw fluxes by hand, and forward again through read_nsa."""
    rng = np.random.default_rng(2)
    final = rng.lognormal(4, 1, (50, 7))
    error = rng.uniform(0.001, 0.2, (50, 7))  # mag, before the floor
    extinction = rng.uniform(0, 0.8, (50, 7)).astype("f4")
    magnitude = 22.5 - 2.5 * np.log10(final) + extinction - TO_AB
    raw = 10 ** ((22.5 - magnitude) / 2.5)
    sigma = raw * error * np.log(10) / 2.5
    path = atlas(
        tmp_path / "nsa.fits",
        "v1_0_1",
        ELPETRO_FLUX=raw,
        ELPETRO_FLUX_IVAR=sigma**-2,
        EXTINCTION=extinction,
    )
    phot = read_nsa(path, "v1_0_1", bands="galex-sdss")
    assert_allclose(phot.flux, final, rtol=1e-5)
    assert_allclose(2.5 / np.log(10) / phot.snr, np.hypot(error, FLOOR), rtol=1e-5)


def test_read_v1_without_a_measurement(tmp_path):
    ivar = np.ones((50, 7))
    ivar[3, 2], ivar[4, 2:6] = 0, 0
    path = atlas(tmp_path / "nsa.fits", "v1_0_1", ELPETRO_FLUX_IVAR=ivar)
    phot = read_nsa(path)
    assert_array_equal(phot.mask[3], [False, True, True, True, True])
    assert_array_equal(np.flatnonzero(~phot.usable), [4])
    assert "inverse variance in band u is 0" in phot.problems[4]
    with pytest.raises(InputError) as error:
        read_nsa(path, on_bad="raise")
    assert "'30' (row 3" in one_sentence(error)


@pytest.mark.parametrize(
    "rows", [slice(5, 9), [3, 1, 40], np.arange(50) % 7 == 0, 4, np.array([], dtype=int)]
)
def test_read_rows(tmp_path, rows):
    path = atlas(tmp_path / "nsa.fits")
    every, some = read_nsa(path), read_nsa(path, rows=rows)
    assert_array_equal(some.ids, every[rows].ids)
    assert_array_equal(some.flux, every[rows].flux)


def test_reading_leaves_the_rest_on_disk(tmp_path):
    path = atlas(tmp_path / "nsa.fits", n=2000, padding=4000)  # 32 MB
    read_nsa(path, rows=[0])  # imports
    tracemalloc.start()
    assert len(read_nsa(path)) == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 30e6
    assert peak < 4e6


def test_wrong_files(tmp_path):
    good = atlas(tmp_path / "good.fits")
    cases = {"does not exist": tmp_path / "missing.fits"}
    cases["not a FITS file"] = tmp_path / "page.fits"
    cases["not a FITS file"].write_bytes(b"<html>404</html>" * 500)
    cases["cut short"] = tmp_path / "short.fits"
    cases["cut short"].write_bytes(good.read_bytes()[:8000])
    cases["not the Atlas"] = tmp_path / "other.fits"
    column = fits.Column("A", "E", array=np.ones(3))
    fits.BinTableHDU.from_columns([column]).writeto(cases["not the Atlas"])
    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "image.fits")
    for said, path in [*cases.items(), ("with a table", tmp_path / "image.fits")]:
        with pytest.raises(InputError) as error:
            read_nsa(path)
        text = one_sentence(error)
        assert said in text and path.name in text


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"version": "v1_0_1"}, "is v0_1_2, not v1_0_1"),
        ({"version": "v9"}, "'v9'"),
        ({"bands": "decam-grz"}, "'decam2014-g'"),
        ({"rows": [50]}, "50 rows"),
        ({"rows": np.ones(3, dtype=bool)}, "50 rows"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, said):
    path = atlas(tmp_path / "nsa.fits")
    with pytest.raises(InputError) as error:
        read_nsa(path, **arguments)
    assert said in one_sentence(error)


# --- downloading --------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves one file from 127.0.0.1, with the faults that a test asks for."""

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.breaks: list[int] = []  # bytes after which the next connections break
        self.errors: list[int] = []  # status codes of the next answers
        self.knows_ranges = True
        self.headers: dict[str, str] = {}  # sent with every answer
        self.minds_versions = True  # heeds If-Range
        self.offset = 0  # bytes by which the parts that are sent are others than were asked for
        self.tells_length = True
        self.asked: list[str | None] = []  # Range headers

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/nsa.fits"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server, content = self.server, self.server.content
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        start, version = 0, self.headers.get("If-Range")
        changed = server.minds_versions and version not in (None, *server.headers.values())
        if asked and server.knows_ranges and not changed:
            start = server.offset + int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.tells_length:
            self.send_header("Content-Length", str(len(content) - start))
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        stop = start + server.breaks.pop(0) if server.breaks else len(content)
        self.wfile.write(content[start:stop])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "WAIT", 0.0)
    server = Server(atlas(tmp_path / "original.fits", n=2000).read_bytes())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(server, folder, **changes):
    return download_nsa(**({"folder": folder, "url": server.url, "progress": False} | changes))


def test_download(server, tmp_path):
    path = fetch(server, tmp_path / "new" / "folder")
    assert path.name == "nsa_v0_1_2.fits"
    assert path.read_bytes() == server.content
    assert len(read_nsa(path)) == 2000
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    fetch(server, path.parent)
    assert len(server.asked) == 1  # it was there already


def test_a_link_to_a_larger_disk_stays(server, tmp_path):
    folder, disk = tmp_path / "folder", tmp_path / "disk"
    folder.mkdir()
    (folder / "nsa_v0_1_2.fits").symlink_to(disk / "atlas.fits")
    path = fetch(server, folder)
    assert path.is_symlink() and [p.name for p in disk.iterdir()] == ["atlas.fits"]
    assert path.read_bytes() == server.content and list(folder.iterdir()) == [path]


def test_two_downloads_do_not_mix(server, tmp_path):
    with (
        locked(tmp_path / "nsa_v0_1_2.fits"),
        pytest.raises(WriteError, match=r"Another process .* is writing .*nsa_v0_1_2\.fits"),
    ):
        fetch(server, tmp_path)
    assert not server.asked


@pytest.mark.parametrize("where", ["while it comes", "when it is whole"])
def test_a_full_disk_is_told_and_what_has_come_is_kept(server, tmp_path, monkeypatch, where):
    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "when it is whole":
            patch.setattr(download_module, "to_disk", full)
        else:
            patch.setattr("tqdm.auto.tqdm.update", full)  # after the first block
        with pytest.raises(WriteError, match=r"No space left.*make room"):
            fetch(server, tmp_path)
    assert (tmp_path / "nsa_v0_1_2.fits.part").stat().st_size > 0
    assert not (tmp_path / "nsa_v0_1_2.fits").exists() and len(server.asked) == 1
    assert fetch(server, tmp_path).read_bytes() == server.content


def test_broken_connections_are_resumed(server, tmp_path, capsys):
    server.breaks = [10_000, 20_000, 5_000]
    path = fetch(server, tmp_path, progress=True)
    assert path.read_bytes() == server.content
    assert server.asked == [None, "bytes=10000-", "bytes=30000-", "bytes=35000-"]
    assert "nsa_v0_1_2.fits: 100%" in capsys.readouterr().err


def test_an_interrupted_download_is_resumed_by_the_next_call(server, tmp_path):
    server.breaks = [10_000, 0, 0, 0]
    with pytest.raises(SedflowError) as error:
        fetch(server, tmp_path)
    assert "0.0 MB are kept" in one_sentence(error) and "goes on from there" in str(error.value)
    part = tmp_path / "nsa_v0_1_2.fits.part"
    assert part.stat().st_size == 10_000 and not (tmp_path / "nsa_v0_1_2.fits").exists()
    server.asked.clear()
    assert fetch(server, tmp_path).read_bytes() == server.content
    assert server.asked == ["bytes=10000-"]
    assert not part.exists()


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    server.breaks, server.knows_ranges = [10_000], False
    assert fetch(server, tmp_path).read_bytes() == server.content


def leave_part(server, folder, content, **changes):
    """Leave a part as a broken download does."""
    part = folder / "nsa_v0_1_2.fits.part"
    part.write_bytes(content)
    said = {"url": server.url, "version": None, "total": len(server.content)} | changes
    part.with_name(part.name + ".json").write_text(json.dumps(said))


def test_a_complete_part_is_only_put_in_place(server, tmp_path):
    leave_part(server, tmp_path, server.content)
    assert fetch(server, tmp_path).read_bytes() == server.content
    assert server.asked == [f"bytes={len(server.content)}-"]


def test_a_part_that_is_too_long_is_thrown_away(server, tmp_path):
    leave_part(server, tmp_path, server.content + b"more")
    assert fetch(server, tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("stale", ["unknown", "other address", "other length", "junk record"])
def test_a_part_of_nobody_knows_what_is_not_resumed(server, tmp_path, stale):
    changes = {"other address": {"url": "http://old"}, "other length": {"total": 99}}
    leave_part(server, tmp_path, b"stale" * 1000, **changes.get(stale, {}))
    record = tmp_path / "nsa_v0_1_2.fits.part.json"
    if stale == "unknown":
        record.unlink()
    elif stale == "junk record":
        record.write_text("{")
    assert fetch(server, tmp_path).read_bytes() == server.content
    assert server.asked[-1] is None
    assert [p.name for p in tmp_path.iterdir() if "v0_1_2" in p.name] == ["nsa_v0_1_2.fits"]


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
@pytest.mark.parametrize("minds_versions", [True, False])
def test_a_file_that_changes_between_two_calls_comes_anew(server, tmp_path, header, minds_versions):
    server.headers, server.breaks = {header: '"one"'}, [10_000, 0, 0, 0]
    with pytest.raises(SedflowError):
        fetch(server, tmp_path)
    newer = atlas(tmp_path / "newer.fits", n=2000, ZDIST=np.full(2000, 0.01)).read_bytes()
    assert len(newer) == len(server.content) and newer[-50_000:] != server.content[-50_000:]
    server.content, server.headers = newer, {header: '"two"'}
    server.minds_versions = minds_versions  # else only the answer's header tells
    assert fetch(server, tmp_path).read_bytes() == newer


def test_the_same_version_is_resumed(server, tmp_path):
    server.headers, server.breaks = {"ETag": '"one"'}, [10_000]
    assert fetch(server, tmp_path).read_bytes() == server.content
    assert server.asked == [None, "bytes=10000-"]


def test_a_server_that_sends_other_parts_than_asked_for_is_found_out(server, tmp_path):
    server.offset, server.breaks = 7, [10_000]
    assert fetch(server, tmp_path).read_bytes() == server.content
    assert server.asked == [None, "bytes=10000-", None]
    server.breaks = [10_000] * 20  # and is not asked forever
    with pytest.raises(SedflowError, match="Cannot download"):
        fetch(server, tmp_path / "other")
    assert len(server.breaks) > 10


def test_a_web_page_does_not_replace_what_has_arrived(server, tmp_path):
    server.breaks = [10_000, 0, 0, 0]
    with pytest.raises(SedflowError):
        fetch(server, tmp_path)
    good, server.content = server.content, b"<html>Please log in</html>" * 1000
    server.headers, server.knows_ranges = {"Content-Type": "text/html; charset=utf-8"}, False
    with pytest.raises(SedflowError) as error:
        fetch(server, tmp_path)
    assert "is a web page and not the file" in one_sentence(error)
    server.content, server.headers, server.knows_ranges = good, {}, True
    server.asked.clear()
    assert fetch(server, tmp_path).read_bytes() == good
    assert server.asked == ["bytes=10000-"]


def test_a_connection_that_ends_early_and_tells_no_length_is_found_out(server, tmp_path):
    server.tells_length, server.breaks = False, [100_000]
    with pytest.raises(SedflowError, match="not the NASA-Sloan Atlas v0_1_2 in full"):
        fetch(server, tmp_path / "cut")
    assert list((tmp_path / "cut").iterdir()) == []
    assert fetch(server, tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("junk", [b"<html>more</html>", b"\0" * 2880, b"SIMPLE  = junk" * 500])
def test_what_follows_the_table_is_found_out(server, tmp_path, junk):
    server.content += junk
    with pytest.raises(SedflowError, match="not the NASA-Sloan Atlas v0_1_2 in full"):
        fetch(server, tmp_path / "junk")
    assert list((tmp_path / "junk").iterdir()) == []


def test_a_junk_file_already_in_place_is_found_out(server, tmp_path):
    path = tmp_path / "nsa_v0_1_2.fits"
    for content in (b"<html>404</html>", server.content[:50_000], server.content + b"junk"):
        path.write_bytes(content)
        with pytest.raises(SedflowError) as error:
            fetch(server, tmp_path)
        text = one_sentence(error)
        assert str(path) in text and "delete it, and download it again" in text
        assert path.read_bytes() == content
    assert server.asked == []


def test_a_damaged_header_is_read_or_refused_in_a_sentence(tmp_path):
    whole = atlas(tmp_path / "nsa_v0_1_2.fits").read_bytes()
    header = whole.index(b"TTYPE") // 2880 * 2880, whole.index(b"TTYPE") + 1500
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for at in rng.integers(*header, 3):
            damaged[at] ^= 1 << rng.integers(8)
        (tmp_path / "nsa_v0_1_2.fits").write_bytes(damaged)
        for read in (
            lambda: download_nsa("v0_1_2", tmp_path),
            lambda: read_nsa(tmp_path / "nsa_v0_1_2.fits", bands="galex-sdss"),
            lambda: read_positions(tmp_path / "nsa_v0_1_2.fits"),
        ):
            try:
                read()
            except SedflowError as error:
                assert "nsa_v0_1_2.fits" in str(error)
                refused += 1
    assert refused > 50


@pytest.mark.parametrize("damage", [{"NMGY": 5}, {"EXTINCTION": 6}, {"NMGY": 9, "EXTINCTION": 5}])
def test_columns_of_another_width_are_refused(tmp_path, damage):
    path = atlas(tmp_path / "nsa_v0_1_2.fits")
    content = path.read_bytes()
    with fits.open(path) as hdus:
        names = hdus[1].columns.names
    for name, width in damage.items():
        card = f"TFORM{names.index(name) + 1}  = '7E".encode()
        assert content.count(card) == 1
        content = content.replace(card, card.replace(b"7E", b"%dE" % width))
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_nsa(path)
    text = one_sentence(error)
    assert str(path) in text and "is damaged" in text


def test_not_found(server, tmp_path):
    server.errors = [404]
    with pytest.raises(SedflowError) as error:
        fetch(server, tmp_path)
    text = one_sentence(error)
    assert "404" in text and server.url in text and "url=" in text
    assert len(server.asked) == 1


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    server.errors = [503, 500]
    assert fetch(server, tmp_path).read_bytes() == server.content
    server.errors = [503] * 5
    with pytest.raises(SedflowError, match="503"):
        fetch(server, tmp_path / "other")


def test_offline(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "WAIT", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/nsa.fits"
    with pytest.raises(SedflowError) as error:
        download_nsa(folder=tmp_path, url=url, progress=False)
    text = one_sentence(error)
    assert "refused" in text and "check the connection" in text and "nsa_v0_1_2.fits" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["page", "cut", "version"])
def test_wrong_content_is_not_kept(server, tmp_path, wrong):
    version = "v0_1_2"
    if wrong == "page":
        server.content = b"<html>Please log in</html>" * 1000
    elif wrong == "cut":
        server.content = server.content[:20_000]
    else:
        version = "v1_0_1"
    folder = tmp_path / "folder"
    with pytest.raises(SedflowError) as error:
        fetch(server, folder, version=version)
    assert "is not the NASA-Sloan Atlas" in one_sentence(error)
    assert list(folder.iterdir()) == []


def test_addresses_and_versions_that_cannot_be(tmp_path):
    with pytest.raises(InputError) as error:
        download("file:///etc/hosts", tmp_path / "x")
    one_sentence(error)
    with pytest.raises(InputError) as error:
        download_nsa("v2")
    assert "v0_1_2" in one_sentence(error)


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEDFLOW_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SEDFLOW_CACHE")
    assert cache_folder().name == "sedflow_lab"


def test_download_goes_to_the_cache(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SEDFLOW_CACHE", str(tmp_path / "cache"))
    path = download_nsa(url=server.url, progress=False)
    assert path == tmp_path / "cache" / "nsa" / "nsa_v0_1_2.fits"


# --- photo flags --------------------------------------------------------------------------------

# The same cuts as hexadecimal masks, in the way of the SDSS's own "clean photometry" examples.
REJECT = 0x8100000C00A0
BINNED1 = 0x10000000
INTERP_CENTER, COSMIC_RAY = 0x100000000000, 0x1000


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(0, 2**64 - 1))
def test_quality_cuts_against_masks(flags, mask):
    flags += [BINNED1, BINNED1 | mask, BINNED1 | INTERP_CENTER | COSMIC_RAY, mask & ~REJECT]
    expected = [
        bool(f & BINNED1) and not f & REJECT and not (f & INTERP_CENTER and f & COSMIC_RAY)
        for f in flags
    ]
    unsigned = np.array(flags, dtype=np.uint64)
    assert_array_equal(quality_cuts(unsigned), expected)
    assert_array_equal(quality_cuts(unsigned.view(np.int64)), expected)


@pytest.mark.parametrize("name", PHOTO_FLAGS)
def test_each_flag(name):
    alone = 1 << PHOTO_FLAGS[name]
    flags = np.array([0, alone, ~alone], dtype=np.int64)
    assert_array_equal(quality_flags(flags)[name], [False, True, False])
    others = [quality_flags(flags)[other][1] for other in PHOTO_FLAGS if other != name]
    assert not any(others)
    passes = name in ("BINNED1", "INTERP_CENTER", "COSMIC_RAY")
    assert quality_cuts([BINNED1 | alone])[0] == passes


def test_flags_that_have_lost_bits():
    for flags in (np.array([1e9]), np.array([1], dtype=np.int32), ["a"]):
        with pytest.raises(InputError) as error:
            quality_cuts(flags)
        one_sentence(error)
    assert quality_cuts([]).shape == (0,)
    assert_array_equal(quality_cuts(np.ma.array([BINNED1] * 2, mask=[0, 1])), [True, False])


def test_match_positions():
    ra, dec = np.array([10.0, 359.9999, 200.0]), np.array([20.0, 0.0, -5.0])
    other_ra = np.array([0.0001, 200.0, 10.0])
    other_dec = np.array([0.0, -5.0 + 3 / 3600, 20.0 + 1 / 3600])
    assert_array_equal(match_positions(ra, dec, other_ra, other_dec), [2, 0, -1])
    assert_array_equal(match_positions(ra, dec, other_ra, other_dec, radius=5), [2, 0, 1])
    assert_array_equal(match_positions(ra, dec, [], []), [-1, -1, -1])
