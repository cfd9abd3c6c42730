"""Which cells of a study share one training."""

import pytest

from assignbench import methods
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study
from assignbench.study.trainings import counted, training_of, trainings_of

SHARED = """\
  - iou
  - {name: soft, preset: iou, nms: {kind: soft}}
  - {name: voted, preset: iou, voting: {sigma: 0.05}}
  - {name: other_start, preset: iou, head_init: {prior_prob: 0.05}}
  - mutual_guidance
"""


@pytest.fixture
def study(tiny_study):
    text = tiny_study.read_text().replace("methods: [iou, mutual_guidance]", f"methods:\n{SHARED.rstrip()}")
    tiny_study.write_text(text)
    return tiny_study


def test_cells_of_one_training_stand_together_per_seed(study) -> None:
    groups = trainings_of(cells_of(read_study(study, seeds=2), methods))
    names = [[c.config.method.name for c in group] for group in groups]
    assert names == [["iou", "soft", "voted"], ["other_start"], ["mutual_guidance"]] * 2
    assert [{c.config.seed for c in group} for group in groups] == [{0}] * 3 + [{1}] * 3


def test_the_same_configuration_on_other_data_is_another_training(study) -> None:
    cells = cells_of(read_study(study), methods)
    moved = cells[0].paths.model_copy(update={"root": "/elsewhere"})
    assert training_of(cells[0]) != training_of(type(cells[0])(cells[0].config, moved))


@pytest.mark.parametrize(
    ("cells", "trainings", "told"),
    [(1, 1, "1 cell"), (6, 6, "6 cells"), (6, 4, "6 cells, 4 trainings"), (3, 1, "3 cells, 1 training")],
)
def test_trainings_are_counted(cells, trainings, told) -> None:
    assert counted(cells, trainings) == told
