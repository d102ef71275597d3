"""Files and folders that appear complete or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from sedflow_lab._files import replacing, write_text


def test_a_file_is_replaced_and_keeps_its_ending(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as partial:
        assert partial.suffix == ".csv" and partial.parent == tmp_path
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_stood_there_and_nothing_else(tmp_path: Path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_with_all_that_is_in_it(tmp_path: Path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "old").write_text("1")
    with replacing(folder) as partial:
        partial.mkdir()
        (partial / "new").write_text("2")
    assert [p.name for p in folder.iterdir()] == ["new"]
    with pytest.raises(ZeroDivisionError), replacing(folder) as partial:
        partial.mkdir()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [folder]
