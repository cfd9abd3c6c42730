"""The numbers beside a published report: its tables follow from them, without any of the package's records."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES, read_study_record
from assignbench.analysis.estimates import Measured, estimates
from assignbench.errors import InputError
from assignbench.report import publish_report
from assignbench.report.cells import REPLICATES
from assignbench.report.folder import check_publishable
from tests.report.test_page import rows_under
from tests.report.written import write_study

ASKED = ["averages", "differences", "crowdedness", "claims"]
CLAIMS = [{"claim": "mutual_guidance > iou on AP_dense", "paper": "P"}]


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[Path, Path]:
    """A run folder and what was published of it."""
    folder = write_study(tmp_path_factory.mktemp("runs"), images=60, analyses=ASKED, claims=CLAIMS, least_objects=20)
    out = tmp_path_factory.mktemp("public") / "report"
    publish_report(folder, out)
    return folder, out


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / "cells" / f"{name}.parquet")


def test_the_published_averages_follow_from_the_cells(published) -> None:
    _, out = published
    header, *rows = rows_under((out / "report.md").read_text(), "slim on scenes, test split")
    measures = table(out, "measures")
    for row in rows:
        for metric in ("AP", "AP50", "AR100"):
            values = 100 * measures[(measures.method == row[0]) & (measures.measure == metric)].value
            half = 4.302653 * values.std() / 3**0.5  # Student's t of two degrees of freedom
            assert row[header.index(metric)] == f"{values.mean():.1f} ± {half:.1f}"


def paired(out: Path, metric: str) -> tuple[list[str], list[Measured]]:
    """Differences by seed and replicate, from the published tables alone."""
    measures, replicates = table(out, "measures"), table(out, "replicates")
    wide = measures[measures.measure == metric].pivot_table(index="seed", columns="method", values="value")
    drawn = replicates.pivot_table(index="replicate", columns=["method", "seed"], values=metric)
    baselines = measures.drop_duplicates("method").set_index("method").baseline
    methods = [m for m in baselines.index if baselines[m]]
    freedom = float(measures.images.iloc[0]) - 1
    found = []
    for method in methods:
        base = baselines[method]
        found.append(
            Measured((wide[method] - wide[base]).to_numpy(), (drawn[method] - drawn[base]).to_numpy(), freedom)
        )
    return methods, found


@pytest.mark.parametrize("metric", ["AP", "AP50", "AP75"])
def test_the_published_differences_and_intervals_follow_from_the_cells(published, metric) -> None:
    folder, out = published
    methods, samples = paired(out, metric)
    (result,) = (r.frame for r in ANALYSES["differences"].run(read_study_record(folder)) if r.key == "differences")
    shown = result[result.metric == metric].set_index("method")
    for method, estimate in zip(methods, estimates(samples, ["iou"] * len(samples)), strict=True):
        assert shown.difference[method] == pytest.approx(estimate.mean, abs=1e-12)
        assert shown.seeds_half[method] == pytest.approx(estimate.seeds_half, abs=1e-12)
        assert shown.images_half[method] == pytest.approx(estimate.images_half, abs=1e-12)
        assert shown.half[method] == pytest.approx(estimate.half, abs=1e-12)


def test_groups_and_classes_make_the_tables_of_groups_and_ap_itself(published) -> None:
    _, out = published
    groups, classes, measures = (table(out, n) for n in ("groups", "classes", "measures"))
    assert set(groups.by) == {"crowdedness", "image_crowdedness", "objects_in_image", "aspect_ratio"}
    header, *rows = rows_under((out / "report.md").read_text(), "By crowdedness of the object: AP")
    mine = groups[groups.by == "crowdedness"]
    for row in rows:
        for head, cell in zip(header[1:], row[1:], strict=True):
            group, count = re.fullmatch(r"(\w+) \((\d+) objects?\)", head).groups()
            cells = mine[(mine.method == row[0]) & (mine.group == group)]
            assert cell.startswith(f"{100 * cells.AP.mean():.1f} ± ") and int(count) == cells["count"].iloc[0]
    printed = pd.read_csv(out / "tables" / "crowdedness.csv").set_index(["method", "group"]).AP
    ours = mine.groupby(["method", "group"]).AP.mean()
    few = ours.index.get_level_values("group") == "dense"  # of which a page prints no number
    assert few.any() and printed[ours.index].isna().tolist() == few.tolist()
    assert np.allclose(ours[~few], printed[ours.index][~few], atol=1e-9)
    whole = measures[measures.measure == "AP"].set_index(["method", "seed"]).value
    assert np.allclose(classes.groupby(["method", "seed"]).AP.mean().sort_index(), whole.sort_index(), atol=1e-12)


def test_a_column_may_be_of_one_class() -> None:
    covered = [c for c in REPLICATES.columns if c.covers("AP[traffic light]")]
    assert [c.name for c in covered] == ["{measure}"] and not any(c.covers("AP[") for c in REPLICATES.columns)


def test_measures_of_claims_are_there_and_the_page_says_where(published) -> None:
    _, out = published
    assert "AP_dense" in set(table(out, "measures").measure) and "AP_dense" in table(out, "replicates")
    text = (out / "report.md").read_text()
    assert "## Numbers of every cell" in text and "cells/measures.parquet" in text
    assert sum(p.stat().st_size for p in (out / "cells").iterdir()) < 200_000


def test_the_groups_of_a_count_are_called_after_what_they_hold(published) -> None:
    _, out = published
    names = table(out, "groups").query("by == 'objects_in_image'").group.unique().tolist()
    assert names[0] == "1-3" and not any(a.split("-")[-1] == b.split("-")[0] for a, b in pairwise(names))


def test_only_what_a_report_wrote_is_replaced(published, tmp_path) -> None:
    folder, out = published
    check_publishable(out)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "mine.csv").write_text("1")
    with pytest.raises(InputError, match=r"mine\.csv: was not written by a report"):
        publish_report(folder, tmp_path)
