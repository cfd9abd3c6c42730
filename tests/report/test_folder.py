"""A report's folder is replaced whole: a crash leaves the old one, and nothing else in it is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assignbench.errors import InputError
from assignbench.report import folder as module
from assignbench.report.folder import check_publishable, replaced
from tests.conftest import ROOT


def write(folder: Path, text: str) -> None:
    (folder / "figures").mkdir(parents=True)
    for name in ("index.html", "report.md", f"figures/{text}.png"):
        (folder / name).write_text(text)


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(params=[True, False], ids=["one call", "two moves"])
def way(request, monkeypatch) -> None:
    """Both ways in which two folders change places."""
    if not request.param:
        monkeypatch.setattr(module, "_exchanged", lambda one, other: False)


@pytest.mark.usefixtures("way")
def test_a_report_takes_the_place_of_the_old_one(tmp_path) -> None:
    for text in ("a", "b", "c"):
        with replaced(tmp_path / "runs" / "report") as new:
            write(new, text)
        assert files(tmp_path) == {f"runs/report/{n}" for n in ("index.html", "report.md", f"figures/{text}.png")}


@pytest.mark.usefixtures("way")
def test_an_error_leaves_the_old_report(tmp_path) -> None:
    write(tmp_path / "report", "old")
    before = files(tmp_path)
    with pytest.raises(KeyError), replaced(tmp_path / "report") as new:
        write(new, "half")
        raise KeyError
    assert files(tmp_path) == before and len(list(tmp_path.iterdir())) == 1


def test_a_signal_right_after_the_new_folder_was_made_leaves_the_old_report_alone(tmp_path, monkeypatch) -> None:
    """Python calls a signal's handler when the call has returned, before the next line."""
    write(tmp_path / "report", "old")
    before, made = files(tmp_path), Path.mkdir

    def interrupted(path: Path, *given: Any, **named: Any) -> None:
        made(path, *given, **named)
        if path.name.startswith(".report."):
            raise SystemExit(1)

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(SystemExit), replaced(tmp_path / "report"):
        pass
    assert files(tmp_path) == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("way")
def test_other_files_stay(tmp_path) -> None:
    write(tmp_path / "docs", "old")
    (tmp_path / "docs" / "mine.txt").write_text("mine")
    with replaced(tmp_path / "docs") as new:
        write(new, "new")
        (new / "index.html").unlink()  # as a published report
    assert files(tmp_path / "docs") == {"mine.txt", "report.md", "figures/new.png"}
    assert (tmp_path / "docs" / "report.md").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("way")
def test_a_folder_that_cannot_be_moved_gets_its_parts(tmp_path, monkeypatch) -> None:
    write(tmp_path / "volume", "old")
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "volume")
    with replaced(tmp_path / "volume") as new:
        write(new, "new")
    assert files(tmp_path) == {f"volume/{n}" for n in ("index.html", "report.md", "figures/new.png")}
    assert len(list((tmp_path / "volume").iterdir())) == 3


def test_a_file_is_never_taken_for_a_report(tmp_path) -> None:
    (tmp_path / "notes.md").write_text("mine")
    with pytest.raises(InputError, match="is a file"), replaced(tmp_path / "notes.md"):
        pass
    assert (tmp_path / "notes.md").read_text() == "mine"


def test_nothing_is_written_through_a_link(tmp_path) -> None:
    write(tmp_path / "elsewhere", "old")
    (tmp_path / "report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"is a link to .*elsewhere.*remove it"), replaced(tmp_path / "report"):
        pass
    assert (tmp_path / "elsewhere" / "report.md").read_text() == "old"


def test_a_killed_writer_leaves_the_old_report_and_its_rest_goes_later(tmp_path) -> None:
    write(tmp_path / "report", "old")
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom assignbench.report.folder import check_publishable, replaced\n"
        "with replaced(Path(sys.argv[1])) as new:\n    (new / 'report.md').write_text('half')\n    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "report")], cwd=ROOT, check=False)
    assert done.returncode == 9 and (tmp_path / "report" / "report.md").read_text() == "old"
    (rest,) = (p for p in tmp_path.iterdir() if p.name != "report")
    with replaced(tmp_path / "report") as new:
        write(new, "new")
    assert rest.exists()  # somebody may still be writing there
    os.utime(rest, (time.time() - 7200,) * 2)
    with replaced(tmp_path / "report") as new:
        write(new, "newer")
    assert not rest.exists() and (tmp_path / "report" / "report.md").read_text() == "newer"


@pytest.mark.parametrize(
    "name", ["report.md", "index.html", "figures", "figures/data.csv", "tables/mine.parquet", "figures/more/a.png"]
)
def test_nothing_is_published_over_what_no_report_wrote(tmp_path, name) -> None:
    check_publishable(tmp_path / "no such folder")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{tmp_path}/{name.split('/more')[0]}.*name another folder"):
        check_publishable(tmp_path)


def test_a_report_may_be_published_again(tmp_path) -> None:
    write(tmp_path, "Built 2026-11-21 by assignbench 0.3.0")
    for path in (tmp_path / "figures").iterdir():
        path.rename(path.with_name("ap.png"))
    check_publishable(tmp_path)
