"""The shelf of networks: what is on it, and what is let onto it."""

from __future__ import annotations

import hashlib
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import sedflow_lab as sl
from sedflow_lab.anpe.bundle import attach, shelf, shipped_bundles
from sedflow_lab.anpe.shelf import digest_of, fetch_network, networks, pack_network
from sedflow_lab.commands.main import main
from sedflow_lab.errors import InputError, SedflowError, WriteError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEDFLOW_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def packed(tiny_bundle: Path, tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "tiny.zip"
    return path, pack_network(tiny_bundle, path)


def test_what_ships_is_listed_with_the_figures_of_its_card():
    table = networks()
    assert tuple(table["name"]) == shipped_bundles()
    assert (table["origin"] == "ships").all()
    assert (table["problem"] == "").all()
    row = table[table["name"] == "nsa-ugriz"][0]
    card = sl.load_posterior("nsa-ugriz").card
    assert row["bands"] == "sdss-ugriz"
    assert row["redshift_max"] == 0.2
    assert row["efficiency"] == card["galaxies"]["simulations"]["efficiency"][3]
    assert row["ok"] == card["galaxies"]["simulations"]["badges"]["ok"] / 192
    reached = sum(goal["reached"] for goal in card["goals"])
    assert row["goals"] == f"{reached} of {len(card['goals'])}"


def test_a_network_is_packed_fetched_and_loaded_by_its_name(packed, tiny_bundle):
    path, digest = packed
    folder = fetch_network(path, digest)
    assert folder == shelf() / "tiny"
    assert digest_of(folder) == digest == digest_of(tiny_bundle)
    assert list(networks()["name"][networks()["origin"] == "fetched"]) == ["tiny"]
    one = sl.showcase()[0]
    found, wanted = (sl.load_posterior(n).infer(one, 50).samples for n in ("tiny", tiny_bundle))
    assert np.array_equal(found, wanted)
    assert fetch_network(path, digest) == folder  # again is nothing new


def test_from_an_address_with_its_sha256(packed, tmp_path):
    path, digest = packed
    with serve(path.parent) as address:
        with pytest.raises(InputError, match="give the sha256"):
            fetch_network(f"{address}/tiny.zip", progress=False)
        with pytest.raises(InputError, match="not the network that was asked for"):
            fetch_network(f"{address}/tiny.zip", "0" * 64, progress=False)
        assert not shelf().exists() or not any(shelf().iterdir())
        fetch_network(f"{address}/tiny.zip", digest.upper(), "other", progress=False)
    assert sl.load_posterior("other").bands.name == "sdss-ugriz"


def test_the_digest_of_the_archive_will_do_as_well(packed, tmp_path):
    path, _ = packed
    fetch_network(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_what_goes_wrong_on_the_way_is_told_of_the_source(packed, tmp_path, monkeypatch):
    monkeypatch.setattr("sedflow_lab.observations.download.WAIT", 0.0)
    with serve(tmp_path) as address:
        with pytest.raises(SedflowError, match=r"404 .*check the address\.$"):
            fetch_network(f"{address}/none.zip", "0" * 64, progress=False)
    # Nothing is kept, and there is no place to put the file: such advice is left out.
    with pytest.raises(SedflowError) as error:
        fetch_network(f"{address}/none.zip", "0" * 64, progress=False)
    assert str(error.value).startswith(f"Cannot download {address}/none.zip (")
    assert str(error.value).endswith("): check the connection and try again.")
    with pytest.raises(InputError, match="with http or https"):
        fetch_network("ftp://example.org/x.zip", "0" * 64)
    with pytest.raises(InputError, match="does not exist"):
        pack_network("nsa-ugriz", tmp_path / "no" / "x.zip")


def test_a_folder_is_taken_too_and_what_else_is_in_it_is_left(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle, tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    folder = fetch_network(tmp_path / "mine")
    assert not (folder / "notes.txt").exists()


def test_another_network_does_not_take_a_name(packed, tmp_path):
    fetch_network(packed[0])
    with pytest.raises(InputError, match="Another network called tiny"):
        fetch_network(_changed(packed[0], tmp_path / "new" / "tiny.zip", drop="support.json"))
    for name in ("nsa-ugriz", "..", ".hidden", "a/b"):
        with pytest.raises(InputError, match=r"ships|cannot be called"):
            fetch_network(packed[0], name=name)


@pytest.mark.parametrize("what", ["no archive", "no network", "cut", "weights"])
def test_what_is_damaged_is_not_let_on_the_shelf(packed, tmp_path, what):
    path = tmp_path / "bad.zip"
    if what == "no archive":
        path.write_bytes(b"not an archive")
    elif what == "cut":
        path.write_bytes(packed[0].read_bytes()[:-2000])
    elif what == "no network":
        _changed(packed[0], path, drop="bundle.json")
    else:
        _changed(packed[0], path, change="weights.safetensors")
    with pytest.raises(InputError, match=r"bad\.zip"):
        fetch_network(path)
    assert not shelf().exists() or not any(shelf().iterdir())


def test_archives_write_nowhere_else(packed, tmp_path):
    evil = tmp_path / "evil.zip"
    shutil.copy(packed[0], evil)
    with zipfile.ZipFile(evil, "a") as archive:
        archive.writestr("../../escaped.txt", "x")
        archive.writestr("/tmp/escaped.txt", "x")
    fetch_network(evil)
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_damaged_one_is_listed_with_its_problem(packed):
    folder = fetch_network(packed[0])
    (folder / "bundle.json").write_text("{}")
    row = networks()[networks()["name"] == "tiny"][0]
    assert "tiny" in row["problem"]


@pytest.mark.parametrize("what", ["weights.safetensors", "card.json", "card without figures"])
def test_a_damaged_one_hides_no_other(packed, what):
    folder = fetch_network(packed[0])
    if what == "card without figures":
        attach(folder, card={"network": sl.load_posterior("tiny").bundle.hash, "goals": []})
    else:
        (folder / what).unlink(missing_ok=True)
        (folder / what).mkdir()
    found = {row["name"]: row for row in networks()}
    assert found["nsa-ugriz"]["problem"] == ""
    assert what.split()[0].partition(".")[0] in found["tiny"]["problem"]
    assert "tiny" in found["tiny"]["problem"]


def test_networks_on_the_shelf_are_listed_from_there(packed, tmp_path, monkeypatch):
    """And neither from a folder that is called the same, nor from what ships by now."""
    folder = fetch_network(packed[0])
    (tmp_path / "here" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(folder, shelf() / "nsa-ugriz")
    found = [row for row in networks() if row["origin"] == "fetched"]
    assert {row["sha256"] for row in found} == {packed[1]}
    assert [row["problem"] for row in found if row["name"] == "tiny"] == [""]
    (twice,) = (row["problem"] for row in found if row["name"] == "nsa-ugriz")
    assert "Another network called nsa-ugriz ships" in twice


@pytest.mark.parametrize("name", [" ", "a\nb", "\x1b[31m", "\udcff", "x" * 300, " a", "-x", "\0b"])
def test_names_that_cannot_be_typed_or_written_are_refused(packed, name):
    with pytest.raises(InputError, match="cannot be called"):
        fetch_network(packed[0], name=name)


def test_no_network_has_a_name_that_is_too_long():
    with pytest.raises(InputError, match="There is no posterior bundle at xxx"):
        sl.load_posterior("x" * 300)


def test_what_follows_a_path_in_an_address_is_no_part_of_the_name(packed):
    with serve(packed[0].parent) as address:
        folder = fetch_network(f"{address}/tiny.zip?download=1", packed[1], progress=False)
    assert folder.name == "tiny"


@pytest.mark.parametrize(
    "url", ["http://", "http://[x/y.zip", "http://a b/y.zip", "http://ä/y.zip"]
)
def test_addresses_that_are_none_are_refused(url):
    with pytest.raises(InputError, match=r"cannot be called|is not a web address"):
        fetch_network(url, "0" * 64)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no such device")
def test_devices_are_no_archives():
    with pytest.raises(InputError, match=r"/dev/zero \(it is not a file\)"):
        fetch_network("/dev/zero")


def test_a_damaged_one_is_told_from_another_when_fetched_again(packed):
    folder = fetch_network(packed[0])
    (folder / "support.json").write_text("{}")
    with pytest.raises(InputError, match=r"or this one damaged: .* or remove .*tiny\.$"):
        fetch_network(packed[0])


def test_a_file_in_the_way_of_the_shelf_is_named(packed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEDFLOW_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"file in the way of the folder .*SEDFLOW_CACHE"):
        fetch_network(packed[0])


def test_a_full_disk_is_no_fault_of_the_input(packed, monkeypatch):
    def full(*args, **how):
        raise WriteError("Cannot write x (No space left on device): make room, or elsewhere.")

    for name, source in (("download", "http://example.org/x.zip"), ("write_bytes", packed[0])):
        with monkeypatch.context() as at:
            at.setattr(f"sedflow_lab.anpe.shelf.{name}", full)
            with pytest.raises(WriteError, match=r"or elsewhere\.$"):
                fetch_network(source, "0" * 64)


def test_commands(packed, tiny_bundle, tmp_path, capsys):
    path, digest = packed
    assert main(["networks", "pack", str(tiny_bundle), str(tmp_path / "x.zip")]) == 0
    assert digest in capsys.readouterr().out
    assert main(["networks", "fetch", str(path), "--sha256", digest, "--name", "mine"]) == 0
    assert "--posterior mine" in capsys.readouterr().out
    assert main(["networks"]) == 0
    shown = capsys.readouterr().out
    assert "nsa-ugriz" in shown
    assert "mine" in shown
    assert main(["networks", "fetch", str(path), "--sha256", "1" * 64, "--name", "no"]) == 2
    assert "not the network" in capsys.readouterr().err


def test_a_network_is_not_packed_over_itself(tiny_bundle, tmp_path, capsys):
    folder = str(shutil.copytree(tiny_bundle, tmp_path / "mine.zip"))
    assert main(["networks", "pack", folder, folder]) == 2
    assert "is given for out and for network, and would be overwritten" in capsys.readouterr().err
    assert digest_of(Path(folder)) == digest_of(tiny_bundle)


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """An address under which the files of a folder are."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _changed(archive: Path, out: Path, drop: str = "", change: str = "") -> Path:
    """A copy of an archive without a file, or with a byte of a file flipped."""
    out.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = bytearray(old.read(name))
            if name == change:
                content[len(content) // 2] ^= 1
            if name != drop:
                new.writestr(name, bytes(content))
    return out
