"""The Atlas from its server to posteriors of the paper's sample: photo flags, cuts, reports."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import sedflow_lab as sl
from sedflow_lab.commands.main import main
from sedflow_lab.errors import InputError, SedflowError, WriteError
from sedflow_lab.observations import photo_flags
from sedflow_lab.observations.nsa import PHOTO_FLAGS, quality_cuts, read_nsa, read_positions
from sedflow_lab.observations.photo_flags import ask_sdss, fetch_flags, read_flags
from sedflow_lab.observations.sdss import PAPER_CUTS, paper_cuts
from sedflow_lab.reports.cuts import SAMPLES, Cuts, cut_sample, sample_table
from tests.test_cli import fails
from tests.test_nsa import atlas, one_sentence, server  # noqa: F401  (a fixture)

GOOD = 1 << PHOTO_FLAGS["BINNED1"]
N = 23
IDS, RA, DEC = np.arange(N) * 10, np.linspace(1, 350, N), np.linspace(-60, 60, N)
FLAGS = GOOD | np.arange(N, dtype=np.int64) << 40


class Sdss:
    """Stands in for `ask_sdss`: knows galaxies, and fails when it is told to."""

    def __init__(self, ra=RA, dec=DEC, flags=FLAGS):
        self.ra, self.dec, self.flags = ra, dec, flags
        self.asked: list[int] = []  # how many positions a question had
        self.failures: list[BaseException] = []

    def __call__(self, ra, dec):
        self.asked.append(len(ra))
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        rows = [k for k in range(len(self.ra)) if np.isclose(ra, self.ra[k]).any()]
        if not rows:
            return None
        rows = rows[::-1]  # the order is the server's own
        names = {"ra": self.ra + 1e-5, "dec": self.dec, "objID": np.arange(1, len(self.ra) + 1)}
        return Table({k: v[rows] for k, v in (names | {"flags_r": self.flags}).items()})


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in {"PAUSE": 0.0, "WAIT": 0.0, "BATCH": 5}.items():
        monkeypatch.setattr(photo_flags, name, value)


def flags_of(path, ask, ids=IDS, ra=RA, dec=DEC):
    return fetch_flags(ids, ra, dec, path, ask=ask, progress=False)


# --- asking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".fits", ".ecsv", ".csv"])
def test_flags_are_asked_for_in_batches_and_kept_with_every_bit(tmp_path, ending):
    ask, path = Sdss(), tmp_path / "new" / f"flags{ending}"
    ask.flags = FLAGS | 1 | (1 << 62)  # a float would lose bit 0
    table = flags_of(path, ask)
    assert ask.asked == [5, 5, 5, 5, 3]
    assert table["flags_r"].tolist() == ask.flags.tolist()
    assert table["objid"].tolist() == list(range(1, N + 1))
    again = flags_of(path, ask)
    assert len(ask.asked) == 5  # they are there
    assert again["flags_r"].dtype == np.int64
    assert again["flags_r"].tolist() == ask.flags.tolist()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_galaxies_without_a_match_have_no_flags(tmp_path):
    ra, dec = RA.copy(), DEC.copy()
    ra[3], dec[4], dec[7] = np.nan, np.inf, DEC[7] + 3 / 3600  # 3 arcsec off
    table = flags_of(tmp_path / "f.fits", Sdss(), ra=ra, dec=dec)
    assert np.flatnonzero(table["flags_r"] == 0).tolist() == [3, 4, 7]
    assert not paper_cuts(table["flags_r"])["in_sdss"][[3, 4, 7]].any()


def test_a_kill_costs_the_question_in_hand(tmp_path):
    whole = flags_of(tmp_path / "whole.fits", Sdss())
    ask = Sdss()
    ask.failures = [None, None, KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        flags_of(tmp_path / "f.fits", ask)
    assert not (tmp_path / "f.fits").exists()
    ask.asked.clear()
    table = flags_of(tmp_path / "f.fits", ask)
    assert ask.asked == [5, 5, 3]
    assert table["flags_r"].tolist() == whole["flags_r"].tolist()
    assert table["nsaid"].tolist() == whole["nsaid"].tolist()
    assert not (tmp_path / "f.fits.partial").exists()


def test_a_damaged_answer_is_asked_for_again(tmp_path):
    ask = Sdss()
    ask.failures = [None, None, KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        flags_of(tmp_path / "f.fits", ask)
    kept = sorted((tmp_path / "f.fits.partial").glob("galaxies-*"))
    assert len(kept) == 2
    kept[0].write_text(kept[0].read_text().replace("268435456", "268435457"))
    ask.asked.clear()
    assert flags_of(tmp_path / "f.fits", ask)["flags_r"].tolist() == FLAGS.tolist()
    assert ask.asked == [5, 5, 5, 3]


def test_what_is_kept_of_other_galaxies_is_refused(tmp_path):
    ask = Sdss()
    ask.failures = [None, KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        flags_of(tmp_path / "f.fits", ask)
    with pytest.raises(InputError) as error:
        flags_of(tmp_path / "f.fits", ask, ra=RA[::-1])
    assert "other galaxies" in one_sentence(error)
    flags_of(tmp_path / "g.fits", ask)
    for ids in (IDS[::-1], IDS[:4]):
        with pytest.raises(InputError) as error:
            flags_of(tmp_path / "g.fits", ask, ids=ids, ra=RA[: len(ids)], dec=DEC[: len(ids)])
        assert "delete it" in one_sentence(error)


def test_a_question_that_fails_is_put_again_and_then_told(tmp_path):
    ask = Sdss()
    ask.failures = [None, OSError("reset. By peer"), ValueError()]
    assert flags_of(tmp_path / "f.fits", ask)["flags_r"].tolist() == FLAGS.tolist()
    assert ask.asked == [5, 5, 5, 5, 5, 5, 3]
    ask.failures = [None] + [OSError("reset. By peer")] * 3
    with pytest.raises(SedflowError) as error:
        flags_of(tmp_path / "g.fits", ask)
    text = one_sentence(error)
    assert "(reset)" in text and "5 of 23 galaxies are kept" in text
    assert flags_of(tmp_path / "g.fits", ask)["flags_r"].tolist() == FLAGS.tolist()


@pytest.mark.parametrize(
    "answer", [Table({"page": ["<html>"]}), Table({"ra": [1.0], "dec": ["x"], "flags_r": [1]})]
)
def test_an_answer_that_is_none_is_told(tmp_path, answer):
    with pytest.raises(SedflowError, match="no table of objects"):
        flags_of(tmp_path / "f.fits", lambda ra, dec: answer)


def test_nothing_found_anywhere_is_told_and_not_kept(tmp_path):
    with pytest.raises(SedflowError) as error:
        flags_of(tmp_path / "f.fits", Sdss(ra=RA + 3))
    assert "none" not in one_sentence(error) and "any of the 23 positions" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_ask_the_same(tmp_path):
    from sedflow_lab._files import locked

    with locked(tmp_path / "f.fits"), pytest.raises(WriteError, match="Another process"):
        flags_of(tmp_path / "f.fits", Sdss())


# --- astroquery, and a server that answers as the SDSS's -----------------------------------------


class CrossId(BaseHTTPRequestHandler):
    """The SkyServer's form for lists of positions, and its list of columns."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        rows = [{"name": name} for name in ("ra", "dec", "objID", "flags_r")]
        self._send(json.dumps([{"Rows": rows}]))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        assert "p.flags_r" in body and "nearPrim" in body
        found = re.findall(r"^ ?obj_\d+ (\S+) (\S+)", body, re.MULTILINE)
        self.server.asked.append(len(found))
        if self.server.failing:
            self._send("<html>503 Busy</html>", 503)
            return
        lines = ["#Table1", "ra,dec,objID,flags_r,type"]
        for ra, dec in found:
            row = int(np.argmin(np.abs(RA - float(ra))))
            lines.append(f"{ra},{dec},{1237650000000000000 + row},{FLAGS[row]},GALAXY")
        self._send("\n".join(lines))

    def _send(self, text, status=200):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def skyserver(monkeypatch):
    pytest.importorskip("astroquery", reason="the extra 'flags' is not installed")
    from astroquery.sdss import conf

    sky = ThreadingHTTPServer(("127.0.0.1", 0), CrossId)
    sky.asked, sky.failing = [], False
    thread = threading.Thread(target=sky.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with conf.set_temp("skyserver_baseurl", f"http://127.0.0.1:{sky.server_address[1]}"):
        yield sky
    sky.shutdown()
    sky.server_close()
    thread.join()


def test_astroquery_asks_as_it_is_meant_to(skyserver, tmp_path):
    table = flags_of(tmp_path / "f.fits", ask_sdss)
    assert skyserver.asked == [5, 5, 5, 5, 3]
    assert table["flags_r"].tolist() == FLAGS.tolist()
    assert table["objid"].tolist() == [1237650000000000000 + k for k in range(N)]


def test_a_server_that_is_busy_is_told_in_a_sentence(skyserver, tmp_path):
    skyserver.failing = True
    with pytest.raises(SedflowError) as error:
        flags_of(tmp_path / "f.fits", ask_sdss)
    assert "0 of 23" in one_sentence(error)
    assert len(skyserver.asked) == photo_flags.TRIES


# --- flags of one's own --------------------------------------------------------------------------


def own(path, **columns) -> Path:
    Table(columns).write(path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".fits", ".ecsv"])
def test_flags_of_ones_own_by_number_and_by_position(tmp_path, ending):
    order = np.random.default_rng(3).permutation(N)[:-2]
    flags = FLAGS | 1
    named = own(tmp_path / f"a{ending}", NSAID=IDS[order], FLAGS_R=flags[order])
    placed = own(tmp_path / f"b{ending}", ra=RA[order], dec=DEC[order], flags=flags[order])
    for path in (named, placed):
        found = read_flags(path, IDS, RA, DEC)["flags_r"]
        assert found[order].tolist() == flags[order].tolist()
        assert (found != 0).sum() == len(order)


def test_unsigned_flags_keep_bit_63(tmp_path):
    flags = FLAGS.astype(np.uint64) | np.uint64(1 << 63)
    for ending in (".csv", ".fits"):
        path = own(tmp_path / f"a{ending}", nsaid=IDS, flags_r=flags)
        found = read_flags(path, IDS, RA, DEC)["flags_r"]
        assert found.tolist() == flags.view(np.int64).tolist()


@pytest.mark.parametrize(
    "columns, said",
    [
        ({"nsaid": IDS, "flags_g": FLAGS}, "no column flags_r"),
        ({"flags_r": FLAGS, "ra": RA}, "neither nsaid nor ra and dec"),
        ({"nsaid": IDS, "flags_r": FLAGS.astype(float)}, "lost bits"),
        ({"nsaid": IDS, "flags_r": [f"{x:.6e}" for x in FLAGS]}, "lost bits"),
        ({"nsaid": IDS + 1, "flags_r": FLAGS}, "No galaxy of the Atlas"),
        ({"ra": RA + 1, "dec": DEC, "flags_r": FLAGS}, "No galaxy of the Atlas"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".fits"])
def test_files_that_are_no_flags(tmp_path, columns, said, ending):
    path = own(tmp_path / f"own{ending}", **columns)
    with pytest.raises(InputError) as error:
        read_flags(path, IDS, RA, DEC)
    text = one_sentence(error)
    assert said in text and path.name in text


# --- cuts ----------------------------------------------------------------------------------------


def test_the_papers_cuts_have_names_and_are_all_that_quality_asks():
    bits = {name: 1 << bit for name, bit in PHOTO_FLAGS.items()}
    spoilt = {
        "in_sdss": 0,
        "cosmic_ray": GOOD | bits["INTERP_CENTER"] | bits["COSMIC_RAY"],
        "binned1": bits["COSMIC_RAY"],
    }
    for name in PAPER_CUTS:
        flags = spoilt.get(name, GOOD | bits.get(name.upper(), 0))
        cuts = paper_cuts(np.array([GOOD, flags]))
        assert tuple(cuts) == tuple(PAPER_CUTS)
        failed = {cut for cut, passes in cuts.items() if not passes[1]}
        assert failed == ({name, "binned1"} if name == "in_sdss" else {name})
        assert all(passes[0] for passes in cuts.values())
        assert quality_cuts(np.array([GOOD, flags])).tolist() == [True, False]


def test_cuts_are_counted_alone_and_in_sequence():
    masks = {name: np.ones(10, bool) for name in SAMPLES["supported"]}
    masks["in_sdss"][:3] = False  # 0 1 2
    masks["saturated"][2:5] = False  # 2 3 4
    masks["binned1"][:3] = False
    masks["measured"][4:7] = False  # 4 5 6
    masks["colours"][[0, 9]] = False
    cuts = Cuts(masks, np.ones(10))
    rows = {row["cut"]: tuple(row)[1:] for row in cuts.table()}
    assert rows["in_sdss"] == (3, 3, 7, 0)
    assert rows["peakcenter"] == (0, 0, 7, 0)
    assert rows["saturated"] == (3, 2, 5, 0)
    assert rows["binned1"] == (3, 0, 5, 0)
    assert rows["measured"] == (3, 2, 3, 2)
    assert rows["colours"] == (2, 1, 2, 1)
    assert cuts.table()["left"][-1] == cuts.sample("supported").sum() == 2
    assert [cuts.sample(name).sum() for name in SAMPLES] == [10, 5, 2]
    report = cuts.to_markdown(["A test."])
    assert "Of 10 galaxies 5 pass" in report and "and 2 of these" in report
    assert re.search(r"`saturated`: no saturated pixels +\| +3 \| +2 \| +5 \|", report)
    assert re.search(r"`colours` +\| +1 \| 20\.00% \|", report)


def hostile() -> dict[str, np.ndarray]:
    """Columns of an Atlas of the showcase galaxies, with rows that are trouble."""
    phot, n = sl.showcase(), 40
    nmgy, ivar = np.ones((n, 7)), np.ones((n, 7))
    nmgy[:, 2:], ivar[:, 2:] = phot.flux[:n], phot.sigma[:n] ** -2.0
    redshift = phot.redshift[:n].copy()
    nmgy[3, 4], ivar[5] = np.nan, 0  # no flux, no errors
    redshift[7], redshift[9] = np.nan, -0.001
    nmgy[11] = -nmgy[11]
    ivar[13, 4] *= 1e-4  # an error in r that is a hundred times too large
    nmgy[15, 2] *= 300  # a colour of nothing
    return {"ZDIST": redshift, "NMGY": nmgy, "NMGY_IVAR": ivar}


FLAGGED = np.array([GOOD] * 40)
FLAGGED[[0, 1]] |= 1 << PHOTO_FLAGS["SATURATED"]
FLAGGED[2] = 0


def test_support_is_judged_beside_the_papers_cuts(tmp_path):
    phot = read_nsa(atlas(tmp_path / "nsa.fits", n=40, **hostile()), on_bad="flag")
    cuts = cut_sample(phot, FLAGGED, posterior := sl.load_posterior("nsa-ugriz"))
    assert np.flatnonzero(~cuts.masks["measured"]).tolist() == [3, 5, 7, 9]
    assert not cuts.masks["uncertainties"][13] and not cuts.masks["colours"][15]
    usable = phot.usable
    score = posterior.support(phot[usable])
    outside = ~np.logical_and.reduce(
        [cuts.masks[k] for k in ("colours", "uncertainties", "brightness")]
    )
    assert outside[usable].tolist() == score.outside.tolist()
    assert not outside[~usable].any() and np.isnan(cuts.p_value[~usable]).all()
    assert cuts.sample("paper").sum() == 37
    flags = Table({"ra": RA[[0] * 40], "dec": DEC[[0] * 40], "flags_r": FLAGGED})
    table = sample_table(phot, flags, cuts, "paper")
    assert table["id"].tolist() == phot.ids[3:].tolist()
    assert table["passes_measured"].tolist() == cuts.masks["measured"][3:].tolist()
    assert len(sample_table(phot, flags, cuts, "all")) == 40


# --- end to end ----------------------------------------------------------------------------------


def test_the_atlas_is_fetched_cut_inferred_and_summarised(
    server,  # noqa: F811
    tmp_path,
    monkeypatch,
    tiny_bundle,
    capsys,
):
    """A server that breaks off, flags that are stopped, rows that are trouble: all in commands."""
    path = atlas(tmp_path / "source.fits", n=40, **hostile())
    server.content, server.breaks = path.read_bytes(), [4_000, 0, 0, 0]
    folder, out = tmp_path / "atlas", tmp_path / "paper.fits"
    place = ["--folder", str(folder), "--url", server.url]
    assert "the same call goes on" in fails(capsys, "nsa", "fetch", *place)
    assert (folder / "nsa_v0_1_2.fits.part").stat().st_size == 4_000

    ids, ra, dec = read_positions(path)
    ask = Sdss(ra, dec, FLAGGED)
    ask.failures = [None] * 3 + [KeyboardInterrupt()]
    monkeypatch.setattr(fetch_flags, "__kwdefaults__", {"ask": ask, "progress": False})
    argv = ["nsa", "cuts", "--sample", "paper", "--posterior", str(tiny_bundle), "--out", str(out)]
    assert main([*argv, *place]) == 130
    assert "nothing was written but what was fetched" in capsys.readouterr().err
    assert (folder / "nsa_v0_1_2.fits").read_bytes() == server.content
    assert server.asked[-1] == "bytes=4000-" and not out.exists()

    ask.asked.clear()
    assert main([*argv, *place]) == 0
    assert ask.asked == [5] * 5  # three batches of eight were there
    printed, report = capsys.readouterr().out, out.with_suffix(".md").read_text()
    assert report in printed and "37 galaxies are in" in printed
    assert "Of 40 galaxies 37 pass" in report and "--sample paper" in report
    table = Table.read(out)
    kept = [str(name).strip() for name in table["id"]]
    assert kept == ids[3:].tolist()
    assert (table["flags_r"] == GOOD).all()

    result = tmp_path / "posteriors.ecsv"
    argv = ["infer", out, "--posterior", tiny_bundle, "--draws", "50", "--out", result]
    assert main([str(a) for a in argv]) == 0
    summary = Table.read(result)
    assert summary["id"].astype(str).tolist() == kept
    bad = [bool(text) for text in np.ma.filled(summary["problem"], "").astype(str)]
    assert np.array(kept)[bad].tolist() == ids[[3, 5, 7, 9]].tolist()
    assert Counter(summary["badge"])["bad photometry"] == 4
    assert np.isfinite(np.ma.filled(summary["log_mstar"], np.nan)[~np.array(bad)]).all()

    if find_spec("zarr") and find_spec("pyarrow"):  # a store holds the same
        store = tmp_path / "posteriors.zarr"
        assert main([str(a) for a in [*argv[:-1], store]]) == 0
        opened = sl.open_catalogue(store)
        assert opened.ids.tolist() == kept and opened.badges == Counter(summary["badge"])
        same = np.ma.filled(summary["log_mstar"], np.nan)
        np.testing.assert_allclose(opened.summary["log_mstar"], same, rtol=1e-5)


def test_flags_of_ones_own_on_the_command_line(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "atlas"
    folder.mkdir()
    path = atlas(folder / "nsa_v0_1_2.fits", n=40, **hostile())
    ids = read_positions(path)[0]
    mine = own(tmp_path / "mine.csv", nsaid=ids, flags_r=FLAGGED)
    argv = ["nsa", "flags", "--folder", folder, "--from", mine]
    assert main([str(a) for a in argv]) == 0
    assert "39 of 40 galaxies are in" in capsys.readouterr().out
    monkeypatch.setattr(photo_flags, "ask_sdss", None)  # nobody is asked
    for sample, n in (("all", 40), ("paper", 37)):
        out = tmp_path / f"{sample}.ecsv"
        argv = ["nsa", "cuts", "--folder", folder, "--sample", sample, "--out", out]
        assert main([str(a) for a in argv]) == 0
        assert len(Table.read(out)) == n
    missing = ["nsa", "flags", "--folder", folder, "--from", tmp_path / "no.csv"]
    assert "no.csv does not exist" in fails(capsys, *missing)
    assert "ends in .ecsv" in fails(capsys, *argv[:-1], tmp_path / "out.txt")


def test_without_astroquery_the_remedy_is_told(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "astroquery.sdss", None)
    with pytest.raises(InputError) as error:
        flags_of(tmp_path / "f.fits", ask_sdss)
    assert "sedflow-lab[flags]" in one_sentence(error)
