"""What a study wants to be shown: checked with its place, handed to its data set's cells, in no cell's identity."""

from __future__ import annotations

import pytest
import yaml

from assignbench import methods
from assignbench.config.pictured import MOST_PICTURES
from assignbench.errors import InputError
from assignbench.study.about import about
from assignbench.study.grid import cells_of
from assignbench.study.reading import Study, read_study
from tests.study.test_words import study

SEVERAL = [{"name": "shapes"}, {"name": "more", "kind": "shapes", "size": 64}]


def read(folder, **changes: object) -> Study:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study(**changes), sort_keys=False))
    return read_study(path)


def test_the_cells_of_the_data_set_get_them_and_keep_their_ids(tmp_path) -> None:
    pictures = [{"image": "3", "data": "shapes"}, {"image": "4", "object": 1, "data": "more"}]
    plain = cells_of(read(tmp_path, data=SEVERAL), methods)
    named = read(tmp_path, data=SEVERAL, pictures=pictures)
    found = cells_of(named, methods)
    assert [c.id for c in found] == [c.id for c in plain]
    assert [c.config.training_id for c in found] == [c.config.training_id for c in plain]
    shown = {c.config.data.name: [(p.image, p.object) for p in c.config.pictures] for c in found}
    assert shown == {"shapes": [("3", None)], "more": [("4", 1)]}
    told = about(named, [], {}, {})["pictures"]
    assert told == [{"object": None, **pictures[0]}, pictures[1]]


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        ([{"image": "3", "data": "shape"}], r"pictures\.0\.data: no data set 'shape'.*did you mean 'shapes'"),
        (
            [{"image": "3"}],
            r"pictures\.0: image '3' names no data set, and the study has 2; add data: one of shapes, more",
        ),
        ([{"image": ""}], r"pictures\.0\.image"),
        ([{"image": 3, "data": "shapes"}], r"pictures\.0\.image: 3 is a number; write the name or id in quotes"),
        ([{"image": "3", "object": -1, "data": "shapes"}], r"pictures\.0\.object"),
        ([{"image": "3", "colour": "red"}], r"pictures\.0\.colour"),
        ([{"image": str(i), "data": "shapes"} for i in range(MOST_PICTURES + 1)], "pictures"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, pictures, said) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path, data=SEVERAL, pictures=pictures)
