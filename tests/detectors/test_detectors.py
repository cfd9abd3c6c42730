"""Detectors: shapes, orders, pretrained weights from files."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from assignbench.config.detector import DETECTORS, PRIORS_OF, resolve
from assignbench.config.method import CoderConfig, HeadInit
from assignbench.detectors import Detector, build_detector
from assignbench.detectors.backbones import VARIANTS, ResNet, SqueezeNet, load_weights, read_weights
from assignbench.detectors.necks import FPN
from assignbench.engine.seeding import initialise
from assignbench.errors import InputError

PLAIN = CoderConfig()


def built(name: str, classes: int = 5, quality: str | None = "iou", seed: int = 0, **spec) -> Detector:
    """A named detector with the weights of a seed, in evaluation mode."""
    detector = build_detector(resolve(name, spec), PLAIN, classes, quality).eval()
    initialise(detector, seed)
    return detector


def test_the_names_stay() -> None:
    families = {
        "retinanet": ("slim", "squeezenet", "resnet18", "resnet50"),
        "fcos": ("slim", "squeezenet"),
        "retinanet1": ("slim",),
        "rpn": ("slim", "squeezenet"),
    }
    assert set(DETECTORS) == {f"{family}-{backbone}" for family, found in families.items() for backbone in found}


# Of all tensors' names, shapes and bytes with 8 classes, an IoU head and seed 0: what these detectors were at version
# 0.1. A change here changes every number that was ever measured.
FINGERPRINTS = {
    "retinanet-slim": "67ac259585580c72",
    "retinanet-squeezenet": "16a2815682591328",
    "retinanet-resnet18": "972c3e3f505ec866",
    "retinanet-resnet50": "a90ba3a11f8c12ce",
    "fcos-slim": "4c2379d1c7ff30a4",
    "fcos-squeezenet": "de1f63e89da41346",
    "retinanet1-slim": "192b962090e1da1b",
    "rpn-slim": "cb3266b110a7151d",
    "rpn-squeezenet": "433e3c73f2ed4325",
}


@pytest.mark.parametrize("name", DETECTORS)
def test_initial_weights_are_those_of_the_first_version(name) -> None:
    digest = hashlib.sha256()
    for key, value in built(name, classes=8).state_dict().items():
        digest.update(f"{key} {tuple(value.shape)} ".encode() + value.contiguous().numpy().tobytes())
    assert digest.hexdigest()[:16] == FINGERPRINTS[name]


@pytest.mark.parametrize("name", DETECTORS)
def test_predictions_fit_the_priors(name) -> None:
    detector = built(name)
    with torch.no_grad():
        priors, predictions = detector(torch.zeros(2, 3, 128, 96, dtype=torch.uint8))
    count, spec = len(priors), DETECTORS[name]
    assert priors.kind == PRIORS_OF[spec.family] == spec.priors.kind
    assert priors.coding == PLAIN and priors.valid is None
    assert priors.anchors_per_location == spec.priors.count
    assert predictions.cls_logits.shape == (2, count, 1 if detector.class_agnostic else 5)
    assert predictions.boxes.shape == predictions.deltas.shape == (2, count, 4)
    assert predictions.quality_logits.shape == (2, count)
    strides = sorted(set(priors.strides.tolist()))
    cells = [int(np.ceil(128 / s) * np.ceil(96 / s)) for s in strides]
    assert list(priors.level_sizes) == [c * priors.anchors_per_location for c in cells]


def test_a_head_starts_as_the_method_says() -> None:
    detector = build_detector(DETECTORS["fcos-slim"], PLAIN, 5, "centerness")
    initialise(detector, 0, HeadInit(prior_prob=0.2, quality_prob=0.01, zero_box=True, box_bias=4.0))
    head = detector.head
    torch.testing.assert_close(head.cls.bias.sigmoid(), torch.full_like(head.cls.bias, 0.2))
    torch.testing.assert_close(head.quality.bias.sigmoid(), torch.full_like(head.quality.bias, 0.01))
    assert (head.box.weight == 0).all() and (head.box.bias == 4.0).all()
    initialise(detector, 0)
    assert (head.quality.bias == 0).all() and (head.box.bias == 0).all() and (head.box.weight != 0).any()
    torch.testing.assert_close(head.cls.bias.sigmoid(), torch.full_like(head.cls.bias, 0.01))


@pytest.mark.parametrize("distance", ["exp", "relu"])
def test_several_boxes_of_a_point_start_with_shapes_of_their_own(distance) -> None:
    """Scales are uniform in [1, 2], aspects uniform in [1/2, 2]; a single box starts as the 2s x 2s square (exp)."""
    shapes = []
    for seed in range(120):
        spec = resolve("fcos-slim", {"priors": {"per_location": 4}})
        detector = build_detector(spec, CoderConfig(distance=distance), 2).eval()
        initialise(detector, seed, HeadInit(zero_box=True))
        with torch.no_grad():
            priors, predictions = detector(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
        sides = (predictions.boxes[0, :, 2:] - predictions.boxes[0, :, :2]) / priors.strides[:, None] / 2
        torch.testing.assert_close(sides[:4], sides[4:8], rtol=1e-5, atol=1e-5)
        middle = (predictions.boxes[0, :, 2:] + predictions.boxes[0, :, :2]) / 2
        torch.testing.assert_close(middle, priors.points, rtol=1e-5, atol=1e-4)
        shapes.append(sides[:4])
    sides = torch.cat(shapes)
    scale, aspect = sides.prod(-1).sqrt(), sides[:, 0] / sides[:, 1]
    assert ((scale > 1 - 1e-5) & (scale < 2 + 1e-5) & (aspect > 0.5 - 1e-5) & (aspect < 2 + 1e-5)).all()
    # 480 draws: the mean of a uniform variable over a range of 1.5 has a deviation of 0.02; log-uniform would be 1.08.
    assert abs(scale.mean() - 1.5) < 0.05 and abs(aspect.mean() - 1.25) < 0.08


def test_a_padded_batch_marks_the_priors_of_each_image() -> None:
    """An image of a mixed-size batch has the priors that it would have alone, on every level, and no others."""
    sizes = [(128, 96), (70, 96), (33, 41), (128, 8)]
    for name in ("retinanet-slim", "fcos-slim", "rpn-slim"):
        detector = built(name)
        with torch.no_grad():
            priors, _ = detector(torch.zeros(4, 3, 128, 96, dtype=torch.uint8), sizes)
        assert priors.valid.shape == (4, len(priors))
        for size, valid in zip(sizes, priors.valid, strict=True):
            alone = detector.priors(size)
            assert tuple(int(level.sum()) for level in valid.split(list(priors.level_sizes))) == alone.level_sizes
            assert torch.equal(priors.boxes[valid], alone.boxes) and torch.equal(priors.points[valid], alone.points)
        with torch.no_grad():
            assert detector(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), [(64, 64)] * 2)[0].valid is None
        with pytest.raises(ValueError, match=r"\(65, 64\) does not fit"):
            detector(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), [(65, 64), (64, 64)])


def test_outputs_are_ordered_as_the_priors() -> None:
    """A box head that copies its position must decode to boxes that lie on their priors."""
    detector = built("retinanet-slim", 2, None)
    with torch.no_grad():
        detector.head.box.weight.zero_()
        priors, predictions = detector(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    torch.testing.assert_close(predictions.boxes[0], priors.boxes, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("name", "frozen"), [("retinanet-squeezenet", True), ("retinanet-slim", False)])
def test_the_first_convolution_is_frozen_where_the_description_says_so(name, frozen) -> None:
    first = built(name).backbone.first
    assert all(p.requires_grad is not frozen for p in first.parameters())
    other = built(name, backbone={"freeze_first": not frozen}).backbone.first
    assert all(p.requires_grad is frozen for p in other.parameters())


def test_p6_comes_from_p5_or_c5() -> None:
    maps = [torch.randn(1, c, s, s) for c, s in ((4, 8), (6, 4))]
    for source, channels in (("p5", 5), ("c5", 6)):
        neck = FPN((4, 6), (8, 16), 5, 2, source)
        assert neck.extra[0].in_channels == channels
        assert [tuple(m.shape[1:]) for m in neck(maps)] == [(5, 8, 8), (5, 4, 4), (5, 2, 2), (5, 1, 1)]


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "npz"])
def test_resnet_weights_from_every_kind_of_file(tmp_path, suffix) -> None:
    torch.manual_seed(0)
    state = resnet18(weights=None).state_dict()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    elif suffix == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        np.savez(path, **{k: v.numpy() for k, v in state.items()})
    backbone = ResNet(VARIANTS["resnet18"])
    assert load_weights(backbone, path) >= 100
    assert torch.equal(backbone.stem[0].weight, state["conv1.weight"])
    assert torch.equal(backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_weights_that_carry_code_are_refused(tmp_path, capsys) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(InputError, match="not a readable weights file"):
        read_weights(path)
    assert "executed" not in capsys.readouterr().out


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, **{"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)})
    with pytest.raises(InputError, match=r"tensors of SqueezeNet are missing .*features\.0\.bias"):
        load_weights(SqueezeNet(), path)
    with pytest.raises(InputError, match="no weights file"):
        load_weights(SqueezeNet(), tmp_path / "gone.npz")


def test_the_pretrained_squeezenet(shared_data) -> None:
    backbone = SqueezeNet()
    path = shared_data / "squeezenet-weights" / "squeezenet1_1_imagenet_features_rgb.npz"
    assert load_weights(backbone, path) == len(backbone.state_dict())
    assert [tuple(m.shape[-2:]) for m in backbone(torch.zeros(1, 3, 256, 192))] == [(32, 24), (16, 12)]
