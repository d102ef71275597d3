"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sedflow_lab import _files
from sedflow_lab._files import locked, replacing, write_text
from sedflow_lab.errors import InputError, WriteError


def test_a_file_is_replaced_and_keeps_its_ending(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as partial:
        assert partial.suffix == ".csv" and partial.parent == tmp_path
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", ["", ".", "/", "a\0b.csv"])
def test_a_path_that_can_have_no_file_is_refused(path):
    with pytest.raises(InputError, match="Nothing can be written to"):
        write_text(path, "new")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_devices_and_pipes_are_not_replaced(tmp_path: Path):
    """Who may write everywhere would take /dev/null away from the machine."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        for write in (lambda path: write_text(path, "new"), lambda path: locked(path).__enter__()):
            with pytest.raises(InputError, match=f"{path} is a device or a pipe"):
                write(path)
    assert pipe.is_fifo() and link.is_symlink() and len(list(tmp_path.iterdir())) == 2


def test_links_stay_and_what_they_lead_to_is_replaced(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "out.txt", tmp_path / "disk" / "out.txt"
    link.symlink_to(target)
    for text in ("first", "second"):
        write_text(link, text)
        assert link.is_symlink() and target.read_text() == text
    with locked(link), pytest.raises(WriteError, match="Another process"), locked(target):
        pass
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["out.txt"]
    link.unlink()
    link.symlink_to(tmp_path / "nowhere" / "out.txt")
    with pytest.raises(OSError, match="No such file") as told:
        write_text(link, "third")
    assert told.value.filename == str(link) and link.is_symlink()
    link.unlink()
    link.symlink_to(link)  # leads nowhere, and is replaced itself
    write_text(link, "fourth")
    assert link.read_text() == "fourth" and not link.is_symlink()


def test_a_failure_leaves_what_stood_there_and_nothing_else(tmp_path: Path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_errors_tell_the_name_that_was_asked_for(tmp_path: Path):
    folder = tmp_path / "figure.pdf"
    folder.mkdir()
    for path in (folder, tmp_path / ("x" * 300), tmp_path / "nowhere" / "out.txt"):
        with pytest.raises(OSError, match=r"directory|too long") as told:
            write_text(path, "text")
        assert told.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["figure.pdf"]


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


def test_what_killed_processes_left_is_removed_by_the_next(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    dead, start = int(done.stdout), f".bundle.{_files._host()}-"
    for name in (f"{start}{dead}.partial", f"{start}{dead}.old.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("half")
    (tmp_path / f"{start}{os.getpid()}.old.partial").mkdir()  # of one that lives
    with replacing(tmp_path / "bundle") as partial:
        partial.mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").write_text("1")
    replace = os.replace

    def full(source, target):
        if Path(target).name == "bundle" and not Path(source).name.endswith(".old.partial"):
            raise OSError(errno.ENOSPC, "full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError), replacing(tmp_path / "bundle") as partial:
        partial.mkdir()
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["bundle", "bundle/old"]


def test_no_other_module_writes_files():
    """What is not written by `replacing` may be left half there; a download keeps its part so."""
    package = Path(_files.__file__).parent
    writers = {"write_text", "write_bytes", "savez", "savez_compressed", "savetxt", "tofile"}
    for path in sorted(package.rglob("*.py")):
        if path.name in ("_files.py", "download.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            modes = [ast.unparse(a) for a in node.args[1:2]]
            modes += [ast.unparse(k.value) for k in node.keywords if k.arg == "mode"]
            where = f"{path.relative_to(package)}, line {node.lineno}"
            if name in ("open", "File") and not all("'r" in mode for mode in modes):
                assert ast.unparse(node.args[0]) in ("image", "os.devnull"), where
            if name in writers and isinstance(node.func, ast.Attribute):
                assert ast.unparse(node.args[0]) == "archive", where  # in memory
