"""Every study with printed tables can be rehearsed: two of its methods train, and its tables and figures are drawn."""

from __future__ import annotations

import pandas as pd
import pytest

from assignbench.cli import main
from assignbench.commands import run as run_command
from assignbench.study.reading import read_study
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("figures_of_pages")

REHEARSED = sorted(p for p in (ROOT / "studies").glob("*.yaml") if "\n  rehearse:" in p.read_text())
# As long as it must be for mutual labeling to begin, and for a page to have something to show; not to learn.
SHORT = ("data.train_images=64", "data.test_images=40", "schedule.epochs=1.5", "schedule.checkpoint_every=100")


def methods_of(path) -> list[str]:
    """A study's first method, and the last one that meets it on a detector: the one that is compared with it."""
    spec = read_study(path, preset="rehearse").spec
    first = spec.methods[0]
    named = {name for d in spec.detectors for name in d.called if not first.detectors or name in first.detectors}
    meets = [m.name for m in spec.methods[1:] if not m.detectors or named & set(m.detectors)]
    return [first.name, *meets[-1:]]


@pytest.mark.slow
@pytest.mark.parametrize("path", REHEARSED, ids=lambda p: p.stem)
def test_a_study_is_rehearsed_with_two_methods(path, tmp_path, capsys, monkeypatch, in_process) -> None:
    sets = [word for change in SHORT for word in ("--set", change)]
    arguments = ["run", str(path), "--preset", "rehearse", "--out", str(tmp_path), "--quiet", *sets]
    first = read_study(path, preset="rehearse").spec.detectors[0].shown
    *others, last = methods_of(path)
    with monkeypatch.context() as patch:  # the page of both is drawn below
        patch.setattr(run_command, "build_report", lambda folder, tell=None, say=None: folder / "report")
        for method in others:
            assert main([*arguments, "--only", f"{first}-{method}-shapes-*"]) == 0, capsys.readouterr().out
    assert main([*arguments, "--only", f"{first}-{last}-shapes-*"]) == 0, capsys.readouterr().out
    (folder,) = (p for p in tmp_path.iterdir() if p.name.endswith("-rehearse"))
    published = read_study(path, preset="rehearse").spec.published
    page = (folder / "report" / "report.md").read_text()
    tables = [pd.read_csv(p) for p in (folder / "report" / "tables").glob("printed.*_t*.csv")]
    assert published.removeprefix("none: ") in page and bool(tables) != published.startswith("none: ")
    for table in tables:  # a rehearsal stands beside the paper's numbers, says why, and is never subtracted from
        assert table.note.notna().all()
        assert not table.filter(like="difference").notna().any(axis=None)
    assert not tables or any((table.n > 0).any() for table in tables)
