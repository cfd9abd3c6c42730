"""Every finished cell's own results, worked out before the analyses ask for them.

That is done one cell at a time, so that the tables of one are in memory and not those of all, and in several processes
where there is much to read. A process keeps what it worked out under the cell (`kept`), where the asking one finds it.
What is not prepared, or cannot be written, is worked out by the analysis that needs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from assignbench.analysis import measures
from assignbench.analysis.assignment import kept_levels, kept_positives
from assignbench.analysis.averages import METRICS
from assignbench.analysis.base import CellData, StudyRecord, read_study_record
from assignbench.analysis.candidates import CLOSE, JK
from assignbench.analysis.categories import class_means
from assignbench.analysis.classes import class_curves, held_by_class
from assignbench.analysis.differences import primary_metric
from assignbench.analysis.divergence import cut, density_sample, groups_told, summary_of
from assignbench.analysis.errors import cell_errors
from assignbench.analysis.images import image_ids, image_scores
from assignbench.analysis.metrics import ALWAYS
from assignbench.analysis.nms import cell_oracle, cell_recall
from assignbench.analysis.parts import Part, area_groups, image_groups, object_groups, ranges_of, recalls_of
from assignbench.analysis.probes import kept_anchors, kept_churn, kept_evolution, kept_peaks, kept_scores
from assignbench.analysis.quality import cell_quality
from assignbench.analysis.trends import FACTORS, group_curve
from assignbench.measure.groups import CROWDING, ELONGATION, IMAGE_CROWDING, PER_IMAGE
from assignbench.starting import available_cores

MANY_BYTES = 30_000_000  # of records to be read, from which on another process is worth its start
BYTES_IN_MEMORY = 12  # of a process for every byte of a cell's records
POLL_SECONDS = 0.2
Tell = Callable[[str], None]
Each = Callable[[StudyRecord, CellData], object]


def _measured(names: Sequence[str], cell: CellData) -> None:
    for name in names:
        measures.measured(cell, name)
        measures.replicated(cell, name)
        measures.images_of_part(cell, name)


def _averages(study: StudyRecord, cell: CellData) -> None:
    known = [m for m in METRICS if cell.summary.get(m) is not None]
    _measured(list(dict.fromkeys((primary_metric(study), *known))), cell)


def _metrics(study: StudyRecord, cell: CellData) -> None:
    _measured((*ALWAYS, "NR", *measures.ERRORS), cell)


def _curves(parts: Sequence[Part], cell: CellData) -> None:
    for part in parts:
        part.curve(cell)


def _size(study: StudyRecord, cell: CellData) -> None:
    _curves(area_groups(ranges_of(study), cell), cell)
    _measured(recalls_of(study), cell)


def _crowdedness(study: StudyRecord, cell: CellData) -> None:
    _curves(object_groups(CROWDING, cell), cell)
    _curves([*image_groups(IMAGE_CROWDING, cell), *image_groups(PER_IMAGE, cell)], cell)


def _aspect_ratio(study: StudyRecord, cell: CellData) -> None:
    _curves(object_groups(ELONGATION, cell), cell)
    cell.precision()
    class_means(cell, "aspect_ratio")


def _factors(study: StudyRecord, cell: CellData) -> None:
    for factor in FACTORS:
        group_curve(cell, factor, study.least_objects)


def _classes(study: StudyRecord, cell: CellData) -> None:
    held_by_class(cell)
    class_curves(cell)


def _divergence(study: StudyRecord, cell: CellData) -> None:
    for rule in (JK, CLOSE):
        summary_of(cell, rule)
        cut(cell, rule)
    groups_told(cell)
    density_sample(cell)
    measures.measured(cell, "spearman")


def _images(study: StudyRecord, cell: CellData) -> None:
    image_ids(cell)
    image_scores(cell)


def _nms(study: StudyRecord, cell: CellData) -> None:
    cell_recall(cell)
    cell_oracle(cell)


def _alone(one: Callable[[CellData], object]) -> Each:
    return lambda study, cell: one(cell)


# By analysis; the tables before NMS, which are the largest, come last.
EACH: Mapping[str, Each] = {
    "averages": _averages,
    "differences": _averages,
    "metrics": _metrics,
    "classes": _classes,
    "size": _size,
    "crowdedness": _crowdedness,
    "aspect_ratio": _aspect_ratio,
    "factors": _factors,
    "errors": _alone(cell_errors),
    "images": _images,
    "positives": _alone(kept_positives),
    "levels": _alone(kept_levels),
    "anchors": _alone(kept_anchors),
    "churn": _alone(kept_churn),
    "evolution": _alone(kept_evolution),
    "scores": _alone(kept_scores),
    "maps": _alone(kept_peaks),
    "divergence": _divergence,
    "quality": _alone(cell_quality),
    "nms": _nms,
}


def prepare(study: StudyRecord, names: Sequence[str], tell: Tell, *, most: int | None = None) -> None:
    """Works out what the analyses of these names ask of each finished cell, where it is not kept yet.

    At most so many processes do that; empty: as many as are worth it.
    """
    wanted = tuple(n for n in EACH if n in names)
    waiting = [c for c in study.data() if not c.kept.holds(_mark(study, wanted))]
    workers = min(len(waiting), _processes(waiting) if most is None else most)
    if workers > 1:
        _side_by_side(study, waiting, wanted, workers, tell)
        waiting = [c for c in waiting if not c.kept.holds(_mark(study, wanted))]
    for number, cell in enumerate(waiting, start=1):
        tell(f"measuring: cell {number} of {len(waiting)}")
        prepare_cell(study, cell, wanted)
    for cell in study.data():
        cell.release()


def prepare_cell(study: StudyRecord, cell: CellData, names: Sequence[str]) -> None:
    """The same of one cell; what fails is left to the analysis, which tells of it."""

    def work() -> bool:
        for name in names:
            with suppress(Exception):
                EACH[name](study, cell)
        return True

    cell.keep(_mark(study, names), work)
    cell.release()


def _mark(study: StudyRecord, names: Sequence[str]) -> tuple[object, ...]:
    """What is kept of a cell when all of it is prepared: with every setting of the study that the results depend on."""
    about = (study.least_objects, tuple(ranges_of(study).items()), tuple(recalls_of(study)), primary_metric(study))
    return ("prepared", tuple(names), about)


def _processes(cells: Sequence[CellData]) -> int:
    """How many processes are worth their start, and fit into half of the memory that is free."""
    sizes = [sum(p.stat().st_size for p in c.cell.folder.glob("*.parquet")) for c in cells]
    if sum(sizes) < MANY_BYTES or not all(os.access(c.cell.folder, os.W_OK) for c in cells):
        return 1
    cores = available_cores()
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system tells
        return min(cores, 2)
    return max(1, min(cores, free // 2 // max(1, BYTES_IN_MEMORY * max(sizes))))


def _side_by_side(
    study: StudyRecord, waiting: Sequence[CellData], names: Sequence[str], workers: int, tell: Tell
) -> None:
    """Every process takes each `workers`-th cell. One that dies leaves its cells to whoever asks for them."""
    told = [c.cell.id for c in waiting]
    command = [sys.executable, "-m", __name__, str(study.folder.absolute()), ",".join(names)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    start = partial(subprocess.Popen, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running = [start([*command, *told[k::workers]]) for k in range(workers)]
    try:
        while any(process.poll() is None for process in running):
            tell(f"measuring: {len(told)} cells in {workers} processes")
            time.sleep(POLL_SECONDS)
    finally:
        for process in running:
            process.kill()
            process.wait()
    for cell in waiting:
        cell.kept.reload()


def main(arguments: Sequence[str]) -> None:
    """A process of `prepare`: the study's folder, names of analyses joined by commas, ids of cells."""
    folder, names, *ids = arguments
    study = read_study_record(Path(folder), only=ids)
    for cell in study.data():
        prepare_cell(study, cell, names.split(","))


if __name__ == "__main__":
    main(sys.argv[1:])
