"""Stores of catalogues: the numbers of infer, whatever happens on the way."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

import sedflow_lab as sl
from sedflow_lab.catalogue import encoding, store
from sedflow_lab.catalogue.passes import _batches, _tiers
from sedflow_lab.catalogue.rows import in_chunks
from sedflow_lab.commands.main import main
from sedflow_lab.parameters import PARAMETERS
from sedflow_lab.posterior.weighting import weighted_quantile

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")

N, DRAWS, CHUNK = 8, 60, 3


@pytest.fixture(scope="module")
def posterior():
    """The shipped one: a network that is far off makes exact posteriors slow."""
    return sl.load_posterior()


@pytest.fixture(scope="module")
def galaxies():
    """Some of them without a posterior, among these all of one chunk."""
    found = sl.showcase()[:N]
    redshift, flux = found.redshift.copy(), found.flux.copy()
    redshift[[3, 4, 5]] = 3.0
    flux[6, 2] = np.nan
    return sl.Photometry(flux, found.sigma, redshift, found.bands, ids=found.ids, on_bad="flag")


def infer(posterior, galaxies, out: Path, method: str = "fast", **options):
    how = {"posterior": posterior, "chunk": CHUNK} | options
    return sl.infer_catalogue(galaxies, out, DRAWS, method, 5, **how)


def files_of(store: Path) -> dict[str, str]:
    """Hash of every file that is neither a lock nor half written."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def same(found, wanted) -> None:
    for name in ("redshift", "ids", "badge", "ess", "chi2_min", "log_evidence", "problems"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
    np.testing.assert_array_equal(found.weights, wanted.weights.astype(np.float32))
    np.testing.assert_array_equal(found.samples, wanted.samples.astype(np.float32))
    for name, values in wanted.diagnostics.items():
        np.testing.assert_array_equal(found.diagnostics[name], values, name)


@pytest.fixture(scope="module")
def whole(posterior, galaxies, tmp_path_factory) -> Path:
    """A store by the method auto, and what `infer` says."""
    out = tmp_path_factory.mktemp("whole") / "whole.zarr"
    infer(posterior, galaxies, out, "auto")
    return out


@pytest.mark.parametrize("method", ["fast", "weighted", "auto"])
def test_a_store_holds_the_numbers_of_infer(posterior, galaxies, tmp_path, whole, method):
    outliers = None if method == "fast" else sl.Outliers(0.02)
    if method == "auto":
        catalogue, outliers = sl.open_catalogue(whole), None
    else:
        catalogue = infer(posterior, galaxies, tmp_path / "a.zarr", method, outliers=outliers)
    wanted = posterior.infer(galaxies, DRAWS, method, 5, outliers=outliers, on_bad="flag")
    same(catalogue.posterior(range(N)), wanted)
    table, summary = catalogue.summary, wanted.summary(model=posterior.model)
    for name in summary.colnames:
        np.testing.assert_array_equal(table[name], summary[name], name)
        assert str(table[name].unit) == str(summary[name].unit)
    derived = wanted.derived(posterior.model)["log_sfr_1gyr"]
    good = wanted.usable
    middle = weighted_quantile(derived[good][..., None], wanted.weights[good], 0.5)
    np.testing.assert_array_equal(table["log_sfr_1gyr"][good], middle[:, 0])
    exact = np.isin(wanted.badge, ["exact", "model cannot fit", "unfinished"])
    np.testing.assert_array_equal(table["exact"], exact)
    assert exact.any() == (method == "auto")


def test_a_catalogue_is_looked_into_by_id_and_by_number(whole, galaxies, tmp_path):
    catalogue = sl.open_catalogue(whole)
    assert (len(catalogue), catalogue.done) == (N, N)
    assert catalogue.ids.tolist() == galaxies.ids.tolist()
    name = str(galaxies.ids[7])
    assert catalogue.posterior(name).ids.tolist() == [name]
    picked = catalogue.posterior([7, 0, 1, 6])
    assert picked.ids.tolist() == galaxies.ids[[7, 0, 1, 6]].tolist()
    photometry = catalogue.photometry([2, 6])
    np.testing.assert_array_equal(photometry.flux, galaxies.flux[[2, 6]])
    assert photometry.problems.tolist() == galaxies.problems[[2, 6]].tolist()
    assert catalogue.table("id", "badge").colnames == ["id", "badge"]
    assert sum(catalogue.badges.values()) == N
    catalogue.to_fits(tmp_path / "summary.fits")
    assert len(Table.read(tmp_path / "summary.fits")) == N
    for wrong, what in ((N, "There is no galaxy 8"), ("x", "There is no galaxy 'x': see ids")):
        with pytest.raises(sl.InputError, match=what):
            catalogue.posterior(wrong)
    with pytest.raises(sl.InputError, match="has no column 'age'"):
        catalogue.table("age")


def test_a_store_is_a_zarr_group_that_others_can_read(whole):
    import zarr

    group = zarr.open_group(whole, mode="r")
    assert group["samples"].shape == (N, DRAWS, 12)
    assert group.attrs["sedflow_lab"]["settings"]["seed"] == 5
    found = sl.open_catalogue(whole).posterior([0, 1])
    np.testing.assert_array_equal(group["samples"][0:2], found.samples.astype(np.float32))


class Killed(BaseException):
    """What no code of ours catches, as no code survives SIGKILL."""


def kill_at(monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    """Let the process end just before a file of a chunk is written."""
    write_bytes, writes = store.write_bytes, []

    def lethal(path: Path, content: bytes) -> None:
        writes.append(path)
        if len(writes) == write:
            raise Killed
        write_bytes(path, content)

    monkeypatch.setattr(store, "write_bytes", lethal)


def test_killed_between_any_two_files_gives_the_same_store(
    posterior, galaxies, tmp_path, monkeypatch
):
    one, out = tmp_path / "one.zarr", tmp_path / "out.zarr"
    infer(posterior, galaxies, one)
    for write in (1, 2, 3, 4):  # draws and table of a chunk, twice, of ever later chunks
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, write)
            infer(posterior, galaxies, out)
    assert sl.open_catalogue(out).done == 2 * CHUNK
    infer(posterior, galaxies, out)
    assert files_of(out) == files_of(one)


def test_killed_in_the_second_pass_gives_the_same_store(
    posterior, galaxies, whole, tmp_path, monkeypatch
):
    out = tmp_path / "out.zarr"
    for write in (7, 2):  # the chunk of the second pass; then half of it
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, write)
            infer(posterior, galaxies, out, "auto")
    infer(posterior, galaxies, out, "auto")
    assert files_of(out) == files_of(whole)


@pytest.mark.processes
def test_a_process_that_is_killed_loses_the_chunk_in_hand_alone(galaxies, tiny_bundle, tmp_path):
    source, out = tmp_path / "in.ecsv", tmp_path / "out.zarr"
    galaxies[galaxies.usable].to_table().write(source)
    words = ["infer", source, "--posterior", tiny_bundle, "--draws", 60, "--chunk", 1, "--out", out]
    command = [sys.executable, "-m", "sedflow_lab.commands.main", *map(str, words)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(out.glob("summary/0*")) and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    kept = set(files_of(out))
    assert main(list(map(str, words))) == 0
    there = files_of(out)
    whole = tmp_path / "whole.zarr"
    assert main([*map(str, words[:-1]), str(whole)]) == 0
    assert kept <= set(there)
    assert {name: there[name] for name in files_of(whole)} == files_of(whole)


def test_stopped_it_goes_on(posterior, galaxies, tmp_path):
    out, stop = tmp_path / "out.zarr", threading.Event()
    catalogue = infer(posterior, galaxies, out, stop=stop, watch=lambda _: stop.set())
    assert catalogue.done == CHUNK
    with pytest.raises(sl.InputError, match=r"galaxies 6 to 7 .* not been inferred yet"):
        catalogue.posterior(-1)
    said: list[str] = []
    assert infer(posterior, galaxies, out, tell=said.append).done == N
    assert f"{CHUNK} of {N} galaxies were inferred before." in said


def test_it_can_be_read_while_it_is_written(posterior, galaxies, tmp_path):
    out, seen = tmp_path / "out.zarr", []

    def look(progress) -> None:
        catalogue = sl.open_catalogue(out)
        assert catalogue.badges == progress.badges
        assert catalogue.posterior(catalogue.done - 1).ids[0] == galaxies.ids[catalogue.done - 1]
        assert len(catalogue.summary) == progress.done
        seen.append(progress.done)

    infer(posterior, galaxies, out, watch=look)
    assert seen == [3, 6, 8]


def test_stores_of_other_settings_are_refused(posterior, galaxies, whole, tiny_bundle):
    other = sl.load_posterior(tiny_bundle)
    for what, arguments in (
        ("network", {"posterior": other}),
        ("photometry", {"galaxies": galaxies[::-1]}),
        ("galaxies .8 there, 7 here", {"galaxies": galaxies[1:]}),
        ("method .auto there, exact here", {"method": "exact"}),
        ("keep .float32 there, uint16 here", {"keep": "uint16"}),
        ("chunk .3 there, 4 here", {"chunk": 4}),
        ("error_floor", {"error_floor": 0.05}),
        ("outliers", {"outliers": sl.Outliers(0.01)}),
    ):
        how = {"posterior": posterior, "galaxies": galaxies, "method": "auto"} | arguments
        with pytest.raises(sl.InputError, match=rf"whole.zarr holds .* differ in .*{what}"):
            infer(out=whole, **how)


def test_what_is_no_store_is_refused(posterior, galaxies, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "notes.txt").write_text("mine")
    for wrong, what in (("a.zarr", "Cannot read the catalogue's store"), ("a.fits", "no name")):
        with pytest.raises(sl.InputError, match=what):
            infer(posterior, galaxies, tmp_path / wrong)
    assert (tmp_path / "a.zarr" / "notes.txt").read_text() == "mine"
    with pytest.raises(sl.InputError, match="Cannot read the catalogue's store"):
        sl.open_catalogue(tmp_path / "b.zarr")


TABLE, DRAWN = "summary/000000000000.parquet", "samples/c/0/0/0"


@pytest.mark.parametrize("name", [TABLE, DRAWN])
@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "another's", "away"])
def test_damaged_chunks_are_named_and_made_anew(posterior, galaxies, tmp_path, name, damage):
    out, said = tmp_path / "out.zarr", []
    infer(posterior, galaxies, out)
    before, path = files_of(out), out / name
    content = path.read_bytes()
    # More than any page's description is long: not all of what describes data says anything.
    middle, end = len(content) // 4, len(content) // 4 + 200
    path.write_bytes(
        {
            "empty": b"",
            "short": content[:-1],
            "flipped": content[:middle] + bytes(b ^ 1 for b in content[middle:end]) + content[end:],
            "another's": (out / name.replace("000.", "003.").replace("c/0/", "c/1/")).read_bytes(),
        }.get(damage, b"")
    )
    if damage == "away":
        path.unlink()
    if (name, damage) != (TABLE, "away"):
        with pytest.raises(sl.InputError, match=name):
            sl.open_catalogue(out).posterior(0)
    infer(posterior, galaxies, out, tell=said.append)
    assert (name, damage) == (TABLE, "away") or any(
        name in text and "made anew now" in text for text in said
    )
    assert files_of(out) == before


def test_without_a_budget_left_it_says_what_is_left_and_goes_on_later(
    posterior, galaxies, whole, tmp_path
):
    out, said = tmp_path / "out.zarr", []
    catalogue = infer(posterior, galaxies, out, "auto", budget=0.0, tell=said.append)
    hard = catalogue.badges["refine"]
    assert hard > 0 and not catalogue.summary["exact"].any()
    assert said[-1].startswith(f"{hard} of {hard} galaxies whose badge is 'refine' are left")
    infer(posterior, galaxies, out, "auto", budget=3600.0)
    assert files_of(out) == files_of(whole)


def test_a_budget_takes_the_farthest_first_and_each_chunk_once_at_a_time():
    hard = [(0, 2, 0.5), (0, 7, 0.9), (1, 0, 0.6), (4, 1, 0.9), (5, 0, 0.7), (5, 1, 0.8)]
    tiers = list(_tiers(hard, 3))
    distances = [[distance for *_, distance in tier] for tier in tiers]
    assert distances == [[0.9, 0.9, 0.8], [0.5, 0.6, 0.7]]
    assert [task.places for task in _batches(tiers[0], 1)] == [{0: [7]}, {4: [1]}, {5: [1]}]
    assert [task.places for task in _batches(sorted(hard), 3)] == [
        {0: [2, 7], 1: [0]},
        {4: [1], 5: [0, 1]},
    ]


def test_without_draws_there_are_summaries(posterior, galaxies, tmp_path):
    one = infer(posterior, galaxies, tmp_path / "one.zarr")
    none = infer(posterior, galaxies, tmp_path / "none.zarr", keep="none")
    for name in one.summary.colnames:
        np.testing.assert_array_equal(one.summary[name], none.summary[name], name)
    with pytest.raises(sl.InputError, match="keeps no draws"):
        none.posterior(0)
    assert none.photometry(0).ids[0] == galaxies.ids[0]


def test_quantised_draws_are_within_the_error_that_the_store_states(posterior, galaxies, tmp_path):
    import zarr

    one = infer(posterior, galaxies, tmp_path / "one.zarr").posterior(range(N))
    catalogue = infer(posterior, galaxies, tmp_path / "steps.zarr", keep="uint16")
    steps = catalogue.posterior(range(N))
    stated = zarr.open_group(tmp_path / "steps.zarr", mode="r")["samples"].attrs["largest_error"]
    assert (steps.usable == one.usable).all()
    errors = np.nanmax(np.abs(steps.samples - one.samples), (0, 1))
    for k, parameter in enumerate(PARAMETERS):
        assert 0 < errors[k] <= stated[parameter.name] + 1e-6
        assert stated[parameter.name] < 2e-5 * (parameter.high - parameter.low)


@given(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.booleans())
def test_steps_keep_draws_to_half_a_step_and_within_the_prior(shares: list[float], known: bool):
    low, high = (np.array([getattr(p, end) for p in PARAMETERS]) for end in ("low", "high"))
    draw = (low + np.array(shares) * (high - low)).clip(low, high)[None, None]
    if not known:
        draw = draw * np.nan
    kept = encoding.encoded(draw, "uint16")
    found = encoding.decoded(kept)
    if not known:
        assert np.isnan(found).all()
        return
    allowed = np.array(list(encoding.largest_error("uint16").values()))
    assert (np.abs(found - draw) <= allowed * (1 + 1e-9)).all()
    assert ((low <= found) & (found <= high)).all()
    np.testing.assert_array_equal(encoding.encoded(found, "uint16"), kept)


@given(st.lists(st.integers(0, 7), max_size=6), st.integers(1, 5))
def test_blocks_of_any_size_become_chunks_of_one(sizes: list[int], size: int):
    every = sl.showcase()[: sum(sizes)]
    ends = np.cumsum([0, *sizes])
    blocks = (every[a:b] for a, b in pairwise(ends))
    chunks = list(in_chunks(blocks, size))
    assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
    assert [i for chunk in chunks for i in chunk.ids] == every.ids.tolist()


def test_hostile_rows_are_flagged_with_their_numbers_in_the_file(
    tiny_bundle, tmp_path, capsys, monkeypatch
):
    table = sl.showcase()[:10].to_table()
    table["flux_u"][1] = np.nan
    table["sigma_g"][4] = -1
    table["redshift"][7] = 0.9
    table["redshift"][8] = 99
    table.write(tmp_path / "in.csv")
    out = tmp_path / "out.zarr"
    argv = ["infer", tmp_path / "in.csv", "--posterior", tiny_bundle, "--out", out, "--chunk", 3]
    assert main([*map(str, argv), "--draws", "50"]) == 0
    said = capsys.readouterr()
    assert "6 of 10 galaxies were inferred; the store is" in said.out
    found = sl.open_catalogue(out).table("row", "problem", "badge")
    flagged = found[found["problem"] != ""]
    assert flagged["row"].tolist() == [1, 4, 7, 8]
    assert set(flagged["badge"]) == {"bad photometry"}
    for row, problem in flagged["row", "problem"]:
        assert f"(row {row}" in problem and problem[1:].rstrip(".") in said.err


def test_the_command_says_what_goes_with_a_store_alone(tiny_bundle, tmp_path, capsys):
    sl.showcase()[:2].to_table().write(tmp_path / "in.csv")
    plain = ["infer", str(tmp_path / "in.csv"), "--posterior", str(tiny_bundle), "--out"]
    for out, more, what in (
        ("a.ecsv", ["--keep", "none"], "--keep needs a store"),
        ("a.zarr", ["--samples", "a.h5"], "leave out --samples"),
        ("a.zarr", ["--budget", "soon"], "--budget soon is no time"),
        ("a.zarr", ["--keep", "float16"], "cannot be kept as 'float16'"),
    ):
        assert main([*plain, str(tmp_path / out), *more]) == 2
        assert what in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))


@pytest.fixture
def served(whole) -> Iterator[str]:
    """Address at which the folder of the store is served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(whole.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def test_a_store_is_read_from_an_address(served, whole, posterior):
    pytest.importorskip("aiohttp")
    here, there = sl.open_catalogue(whole), sl.open_catalogue(f"{served}/whole.zarr")
    assert there.badges == here.badges
    np.testing.assert_array_equal(there.posterior([0, 7]).samples, here.posterior([0, 7]).samples)
    with pytest.raises(sl.InputError, match="Cannot read the catalogue's store http"):
        sl.open_catalogue(f"{served}/other.zarr")


def test_a_catalogue_is_read_from_an_address(served, whole, posterior, tmp_path):
    pytest.importorskip("aiohttp")
    sl.showcase()[:4].to_table().write(whole.parent / "in.csv", overwrite=True)
    out = tmp_path / "out.zarr"
    catalogue = infer(posterior, f"{served}/in.csv", out)
    assert catalogue.ids.tolist() == sl.showcase()[:4].ids.tolist()
    with pytest.raises(sl.InputError, match=r"Cannot fetch http.*/no.csv"):
        infer(posterior, f"{served}/no.csv", out)


def test_any_flipped_bit_of_a_table_is_found_or_changes_nothing(posterior, galaxies, tmp_path):
    out = tmp_path / "out.zarr"
    catalogue = infer(posterior, galaxies, out)
    path, before = out / TABLE, catalogue.summary.pformat(-1, -1)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(len(content), size=60).tolist():
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :]
        )
        try:
            again = sl.open_catalogue(out).summary.pformat(-1, -1)
        except sl.InputError as error:
            assert TABLE in str(error)
        else:
            assert again == before


def test_any_flipped_bit_of_what_describes_the_draws_is_found(posterior, galaxies, tmp_path):
    out = tmp_path / "out.zarr"
    before = infer(posterior, galaxies, out).posterior(0).samples
    path, rng = out / "samples" / "zarr.json", np.random.default_rng(0)
    content = path.read_bytes()
    for place in rng.integers(len(content), size=60).tolist():
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :]
        )
        with pytest.raises(sl.InputError, match=r"samples/zarr\.json"):
            sl.open_catalogue(out).posterior(0)
    path.unlink()
    with pytest.raises(sl.InputError, match=r"samples/zarr\.json .* copy it from a store"):
        sl.open_catalogue(out).posterior(0)
    path.write_bytes(content)
    assert np.array_equal(sl.open_catalogue(out).posterior(0).samples, before)
