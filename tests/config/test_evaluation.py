"""How the test split is read: views of an image, and what is refused because it does nothing."""

import pytest
from pydantic import ValidationError

from assignbench.config.evaluation import Evaluation
from assignbench.config.images import AspectSize


def test_an_image_has_one_view_at_the_datas_own_size() -> None:
    size = AspectSize(short=(640, 800), long=1333)
    assert Evaluation().sizes(320) == [320] and Evaluation(test_flip=True).sizes(size) == [size]


def test_scales_are_short_sides_whose_long_side_grows_in_proportion() -> None:
    found = Evaluation(test_scales=[400, 800, 1200, 2048]).sizes(AspectSize(short=800, long=1333))
    assert [(s.short, s.long) for s in found] == [(400, 667), (800, 1333), (1200, 2000), (2048, 3412)]
    assert (
        Evaluation(test_scales=[2048]).sizes(AspectSize(short=500, long=1333))[0].long == 4096
    )  # the longest there is
    assert Evaluation(test_scales=[256, 320]).sizes(300) == [256, 320]


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"test_scales": [800, 400]}, "must rise"),
        ({"test_scales": [400, 400]}, "must rise"),
        ({"test_scales": [16]}, "greater than or equal to 32"),
        ({"fuse": "voting"}, "test_scales, or set test_flip"),
        ({"fuse": "voting", "test_scales": [400]}, "test_scales, or set test_flip"),
        ({"fuse": "mean"}, "'nms' or 'voting'"),
        ({"candidates": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_refused(entries, told) -> None:
    with pytest.raises(ValidationError, match=told):
        Evaluation(**entries)


@pytest.mark.parametrize("entries", [{"test_flip": True}, {"test_scales": [400, 500]}])
def test_voting_fuses_several_views(entries) -> None:
    assert Evaluation(fuse="voting", **entries).fuse == "voting"
