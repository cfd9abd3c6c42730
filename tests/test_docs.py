"""The pages of docs/: links lead somewhere, and the code points to decisions that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DECISION = re.compile(r"^\*\*([A-Z]+\d+)\. ", re.MULTILINE)
# What lies outside of the repository means nothing to its readers.
OUTSIDE = re.compile(r"\b(?:of|from|see) (?:the )?facts\b|\bfacts, section|\bshared/facts\b|\bDESIGN\b", re.IGNORECASE)


def decisions() -> list[str]:
    """The numbers of docs/decisions.md in their order."""
    return DECISION.findall((ROOT / "docs" / "decisions.md").read_text())


def anchor(heading: str) -> str:
    """The name that a heading gets in links."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(page: Path) -> list[str]:
    """The anchors of a page's headings."""
    return [anchor(h) for h in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, place = target.partition("#")
        if name.startswith(("http:", "https:", "mailto:")):
            continue
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (place and place not in headings(path)):
            broken.append(target)
    assert broken == []


def test_decisions_are_numbered_once_and_in_order() -> None:
    found = decisions()
    assert len(found) == len(set(found))
    by_letter: dict[str, list[int]] = {}
    for number in found:
        letters = number.rstrip("0123456789")
        by_letter.setdefault(letters, []).append(int(number[len(letters) :]))
    assert {k: v for k, v in by_letter.items() if v != list(range(1, len(v) + 1))} == {}
    assert len(by_letter["D"]) == 12
    assert len(by_letter["M"]) == 13


def test_the_code_points_to_decisions_that_exist() -> None:
    known = set(decisions())
    lost = []
    for path in sorted((ROOT / "assignbench").rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for name in re.findall(r"(?<=[(\s])(?:D|M|MG)\d+(?=[,).;\s-])", line):
                if name not in known:
                    lost.append(f"{path.relative_to(ROOT)}:{number}: {name}")
    assert lost == []


@pytest.mark.parametrize("folder", ["assignbench", "docs", "studies", "notebooks"])
def test_nothing_points_outside_of_the_repository(folder) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".md", ".yaml", ".ipynb")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if OUTSIDE.search(line)
    ]
    assert found == []


INTERVAL = re.compile(r"[+-]\d+\.\d ± \d+\.\d")


def _stands(interval: str, report: str) -> bool:
    """Whether a report has it as a number of its own; its tables of measures write no plus."""
    return bool(re.search(rf"(?<![\d.+-])\+?{re.escape(interval.removeprefix('+'))}(?!\d)", report))


def test_measured_differences_stand_in_a_committed_report() -> None:
    """With their intervals, so that the two cannot drift apart; bold only what a report's headline carries."""
    reports = [p.read_text() for p in sorted((ROOT / "reports").glob("*/report.md"))]
    text = (ROOT / "docs" / "measured.md").read_text()
    shown = INTERVAL.findall(text)
    assert shown and [n for n in shown if not any(_stands(n, report) for report in reports)] == []
    rows = [line for report in reports for line in report.splitlines() if re.search(r"\*\*(higher|lower)\*\*", line)]
    decided = {n for row in rows for n in INTERVAL.findall(row)}
    assert [n for n in re.findall(rf"\*\*({INTERVAL.pattern})\*\*", text) if n not in decided] == []
