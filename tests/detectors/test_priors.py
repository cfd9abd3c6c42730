"""Priors of a description: by hand, against golden files, and against torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import _default_anchorgen

from assignbench.config.detector import DETECTORS, resolve
from assignbench.config.method import CoderConfig
from assignbench.config.network import LEAST_WIDTH, PriorSpec
from assignbench.detectors import build_detector
from assignbench.priors import prior_grid
from tests.conftest import golden

MUTUAL = DETECTORS["fssd-vgg16"].priors
NINE = DETECTORS["retinanet-resnet50"].priors.scales
STRIDES = (8, 16, 32, 64, 128)


def sides(boxes: torch.Tensor) -> list[list[float]]:
    return (boxes[:, 2:] - boxes[:, :2]).tolist()


@pytest.mark.parametrize("path", golden("mutual_guidance/mg_primitives.npz"))
@pytest.mark.parametrize(("size", "strides"), [(320, STRIDES[:4]), (512, STRIDES)])
def test_anchors_of_the_released_code(path, size, strides) -> None:
    boxes = prior_grid(MUTUAL, (size, size), strides).boxes
    found = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1) / size
    wanted = torch.from_numpy(np.load(path)[f"priors_v1_{size}_base24"])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_clamped_anchors_by_hand() -> None:
    """At stride 64 a square of 192 x root 2 is 271.5 px, and one of ratio 2 is 384 x 192: its width ends at 320."""
    boxes = prior_grid(MUTUAL, (320, 320), (64,)).boxes
    root = 192 * 2**0.5
    wanted = [[192, 192], [root, root / 2], [root / 2, root], [root, root], [320, 192], [192, 320]]
    torch.testing.assert_close(torch.tensor(sides(boxes[:6])), torch.tensor(wanted), rtol=1e-6, atol=1e-4)
    assert boxes[0].tolist() == [32 - 96, 32 - 96, 32 + 96, 32 + 96]  # sides and centre are held, corners are not
    # An image of 40 x 70 px (height x width): the last cell's centre lies beyond the bottom, and moves to it.
    low = prior_grid(MUTUAL, (40, 70), (64,))
    assert low.points[[0, 6]].tolist() == [[32, 32], [70, 32]]
    assert (low.boxes[:, 3] - low.boxes[:, 1] <= 40).all() and (low.boxes[:, 2] - low.boxes[:, 0] <= 70).all()


def test_anchors_of_torchvision() -> None:
    spec = PriorSpec(scales=NINE, ratios=(2.0, 1.0, 0.5), order="ratio", rounding="torchvision", offset=0.0)
    maps = [torch.zeros(1, 1, 128 // s, 256 // s) for s in STRIDES]
    (wanted,) = _default_anchorgen()(ImageList(torch.zeros(1, 3, 128, 256), [(128, 256)]), maps)
    assert torch.equal(prior_grid(spec, (128, 256), STRIDES).boxes, wanted)


def test_anchors_of_maskrcnn_benchmark() -> None:
    """An anchor of 64 px at stride 8 is [-28, 35], and ratio 1/2 of one stride is 11 x 6, not 11.3 x 5.7."""
    one = PriorSpec(scales=(8.0,), ratios=(1.0,), inclusive=True)
    assert prior_grid(one, (8, 8), (8,)).boxes.tolist() == [[-28, -28, 35, 35]]
    nine = PriorSpec(scales=NINE, ratios=(2.0, 1.0, 0.5), order="ratio", rounding="freeanchor", inclusive=True)
    boxes = prior_grid(nine, (8, 8), (8,)).boxes
    assert [[a + 1, b + 1] for a, b in sides(boxes[[0, 3, 6]])] == [[44, 24], [32, 32], [24, 48]]
    assert boxes[0].tolist() == [-18, -8, 25, 15]


def test_offset_and_order() -> None:
    corner = PriorSpec(scales=(1.0, 2.0), ratios=(1.0, 4.0), offset=0.0)
    boxes = prior_grid(corner, (8, 16), (8,))
    assert boxes.points[::4].tolist() == [[0, 0], [8, 0]]
    assert sides(boxes.boxes[:4]) == [[8, 8], [16, 4], [16, 16], [32, 8]]
    other = prior_grid(corner.model_copy(update={"order": "ratio"}), (8, 16), (8,))
    assert sides(other.boxes[:4]) == [[8, 8], [16, 16], [16, 4], [32, 8]]
    points = prior_grid(PriorSpec(kind="point", offset=0.0, per_location=2), (8, 16), (8,))
    assert points.points.tolist() == [[0, 0], [0, 0], [8, 0], [8, 0]]


@given(
    scales=st.lists(st.floats(0.05, 20), min_size=1, max_size=3, unique=True),
    ratios=st.lists(st.floats(0.01, 100), min_size=1, max_size=3, unique=True),
    rounding=st.sampled_from(["none", "torchvision", "freeanchor"]),
    inclusive=st.booleans(),
    stride=st.sampled_from([4, 8]),
)
def test_the_shortest_side_is_known_before_the_grid_is(scales, ratios, rounding, inclusive, stride) -> None:
    """By the description alone, which refuses anchors without area."""
    spec = PriorSpec(scales=scales, ratios=ratios, rounding=rounding, inclusive=inclusive)
    found = min(min(pair) for pair in sides(prior_grid(spec, (stride, stride), (stride,)).boxes))
    assert spec.least_side(stride) == pytest.approx(found, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("name", ["rfbnet-vgg16", "rfbnet-slim"])
def test_the_narrowest_receptive_fields(name) -> None:
    with torch.device("meta"):
        spec = resolve(name, {"neck": {"width": LEAST_WIDTH, "extra": 4}})
        detector = build_detector(spec, CoderConfig(), 2).eval()
        maps = detector.neck(detector.backbone(torch.zeros(1, 3, 128, 128)))
    assert [m.shape[1] for m in maps] == [32, 32, 32, 16, 16]
