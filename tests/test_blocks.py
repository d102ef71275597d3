"""Catalogues read block by block: the same galaxies as in one."""

from __future__ import annotations

import gzip
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

import sedflow_lab as sl
from sedflow_lab.observations.blocks import read_blocks

N, SIZE = 11, 3


def hostile() -> Table:
    """Galaxies of which some cannot be used, in a unit of their own, some without an id."""
    table = sl.showcase()[:N].to_table()
    for name in table.colnames[2:]:
        table[name] = 3.631e-3 * np.asarray(table[name]) * u.mJy
    table["redshift"][7] = -1.0
    table["flux_g"] = MaskedColumn(table["flux_g"], mask=np.arange(N) == 5)
    table["id"] = MaskedColumn(table["id"].astype(str), mask=np.arange(N) == 9)
    return table


def same(found: list[sl.Photometry], wanted: sl.Photometry) -> None:
    for name in ("flux", "sigma", "redshift", "ids", "rows", "mask", "problems", "ebv"):
        joined = np.concatenate([getattr(block, name) for block in found])
        np.testing.assert_array_equal(joined, getattr(wanted, name), name)


@pytest.mark.parametrize("ending", ["ecsv", "fits", "csv", "tsv", "parquet", "vot", "csv.gz"])
def test_blocks_are_the_whole_file(tmp_path: Path, ending: str):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path, table = tmp_path / f"in.{ending}", hostile()
    kinds = {"csv": "ascii.csv", "tsv": "ascii.tab", "vot": "votable", "ecsv": "ascii.ecsv"}
    if ending == "csv.gz":
        table.write(tmp_path / "in.csv", format="ascii.csv")
        path.write_bytes(gzip.compress((tmp_path / "in.csv").read_bytes()))
    else:
        table.write(path, format=kinds.get(ending))
    blocks = list(read_blocks(path, size=SIZE))
    assert [len(block) for block in blocks] == [3, 3, 3, 2]
    wanted = sl.read_photometry(path, on_bad="flag")
    assert (wanted.problems != "").sum() == 2
    same(blocks, wanted)


def test_a_row_of_units_holds_for_all_blocks(tmp_path: Path):
    path, rows = tmp_path / "in.csv", [f"{k},0.05,{20 + k},1,{30 + k},1" for k in range(7)]
    columns = {f"{role}_{band}": None for role in ("flux",) for band in "riz"}
    head = ["id,redshift,flux_u,sigma_u,flux_g,sigma_g", ",,uJy,uJy,uJy,uJy"]
    path.write_text("# mine\n" + "\n".join([head[0], head[1], *rows, ""]))
    how = {"columns": columns, "on_bad": "flag"}
    same(list(read_blocks(path, size=SIZE, **how)), sl.read_photometry(path, **how))


def test_a_line_break_within_quotes_ends_no_row(tmp_path: Path):
    table = sl.showcase()[:5].to_table()
    table["note"] = ["a", "two\nlines", "b", "three\nlong\nlines", "c"]
    table.write(tmp_path / "in.csv", format="ascii.csv")
    blocks = list(read_blocks(tmp_path / "in.csv", size=2))
    assert [i for block in blocks for i in block.ids] == sl.showcase()[:5].ids.tolist()
    assert [r for block in blocks for r in block.rows] == list(range(5))


def test_what_is_wrong_is_said_with_the_numbers_of_the_file(tmp_path: Path):
    path, table = tmp_path / "in.ecsv", hostile()
    table.write(path)
    with pytest.raises(sl.InputError, match=r"in.ecsv: Galaxy '\d+' \(row 5, counting from 0\)"):
        list(read_blocks(path, size=SIZE, on_bad="raise"))
    (tmp_path / "empty.csv").write_text("id,redshift\n")
    with pytest.raises(sl.InputError, match=r"empty.csv has no rows"):
        list(read_blocks(tmp_path / "empty.csv"))
    with pytest.raises(sl.InputError, match="does not exist"):
        list(read_blocks(tmp_path / "none.csv"))
    lines = sl.showcase()[:7].to_table()
    lines.write(tmp_path / "odd.csv")
    with (tmp_path / "odd.csv").open("a") as file:
        file.write(",".join("1" * 40) + "\n")
    with pytest.raises(sl.InputError, match=r"odd.csv cannot be read as a table \(in the 3 rows"):
        list(read_blocks(tmp_path / "odd.csv", size=SIZE))
