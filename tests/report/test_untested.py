"""What a page has no verdict on is said on the page, in report.md and at the end of what a command prints."""

import io
import shutil

import pytest
from rich.console import Console

from assignbench.commands.reporting import MOST, reported
from assignbench.records import read_json, write_json
from assignbench.report import build_report
from tests.report.written import METHODS, write_study

pytestmark = pytest.mark.usefixtures("words_of_pages")

CLAIMS = {
    "mutual_guidance > iou on AP": "",
    "gone > iou on AP": "gone has no cell",
    "gain of iou grows with aspect_ratio": "compared with nothing",
    "gain of paa grows with occlusion": "none holds 30 objects",
    "divergence predicts AP": "methods with recorded candidates",
}


def told(folder) -> tuple[list[str], str, str]:
    """What is said at the end, whole; what a terminal gets of it; and report.md."""
    said: list[str] = []
    stream = io.StringIO()

    def build(tell, say):
        return build_report(folder, tell, lambda sentence: (said.append(sentence), say(sentence)))

    page, _ = reported(Console(file=stream, width=1000), build)
    return said, stream.getvalue(), (page.parent / "report.md").read_text()


def test_claims_that_cannot_be_tested_are_said(tmp_path) -> None:
    folder = write_study(tmp_path, images=12, claims=[{"claim": c} for c in CLAIMS])
    said, printed, text = told(folder)
    for claim, why in CLAIMS.items():
        mine = [s for s in said if f'"{claim}"' in s]
        assert len(mine) == bool(why), (claim, said)
        assert all(why in sentence for sentence in mine)
        assert why in text
    assert printed.count("no verdict: ") == MOST + 1
    assert f"no verdict: {len(said) - MOST} more, which the report names" in printed


def test_reasons_are_told_with_their_places(tmp_path) -> None:
    """Two detectors: one reason for both is told once with both, one of a single place with that one."""
    crowded = "gain of mutual_guidance grows with occlusion"
    folder = write_study(
        tmp_path, images=12, detectors=("slim", "wide"), claims=[{"claim": crowded}, {"claim": "gone > iou on AP"}]
    )
    for cell in folder.glob("wide-iou-*"):
        shutil.rmtree(cell)
    content = read_json(folder / "study.json")
    grid = {
        c: {"data": "scenes", "detector": c.split("-")[0], "method": next(m for m in METHODS if f"-{m}-" in c)}
        for c in content["cells"]
    }
    write_json(folder / "study.json", content | {"grid": grid})
    said, _, text = told(folder)
    (claim,) = (s for s in said if crowded in s)
    assert claim.startswith(f'claim "{crowded}": not testable: slim: ')
    assert claim.endswith("; wide: no finished cell of iou (3 not begun)")
    assert claim.split("not testable: ")[1] in text.replace("\\", "")
    (difference,) = (s for s in said if s.startswith("paa to iou"))
    assert difference == "paa to iou: 1 of 2 tests cannot be made: wide: no finished cell of iou (3 not begun)"
    assert any(s.endswith("not testable: gone has no cell in the study") for s in said)


@pytest.mark.parametrize("claims", [[], ["mutual_guidance > iou on AP"]])
def test_claims_outside_of_a_printed_table_are_counted(tmp_path, claims) -> None:
    folder = write_study(tmp_path, images=12, claims=[{"claim": c} for c in claims], claims_elsewhere=3)
    said, printed, text = told(folder)
    sentence = "Not tested here: 3 of the study's claims are about methods outside of this table"
    assert said[0].startswith(sentence) and sentence in printed and sentence in text
    assert sentence in (folder / "report" / "index.html").read_text().replace("&#39;", "'")


def test_a_comparison_without_its_baseline_is_said(tmp_path) -> None:
    folder = write_study(tmp_path, images=12)
    content = read_json(folder / "study.json")
    grid = {
        c: {"data": "scenes", "detector": "slim", "method": next(m for m in METHODS if f"-{m}-" in c)}
        for c in content["cells"]
    }
    write_json(folder / "study.json", content | {"grid": grid})
    for cell in folder.glob("*-iou-*"):
        shutil.rmtree(cell)
    said, printed, text = told(folder)
    assert [s.split(":")[0] for s in said] == [f"{m} to iou" for m in METHODS if m != "iou"]
    assert all("no finished cell of iou (3 not begun)" in s for s in (*said, text)) and said[0] in printed


def test_nothing_is_said_where_all_is_tested(tmp_path) -> None:
    said, printed, _ = told(write_study(tmp_path, images=12, claims=[{"claim": "mutual_guidance > iou on AP"}]))
    assert said == [] and "no verdict" not in printed
