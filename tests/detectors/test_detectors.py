"""Detectors: shapes, orders, pretrained weights from files."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from assignbench.config.detector import DETECTORS, PRIORS_OF, ROWS, BackboneSpec, resolve
from assignbench.config.method import CoderConfig, HeadInit
from assignbench.detectors import Detector, build_detector
from assignbench.detectors.backbones import VARIANTS, ResNet, SqueezeNet, build_backbone, load_weights, read_weights
from assignbench.detectors.deform import DeformConv
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
    assert set(FINGERPRINTS) < set(DETECTORS)
    small = {name for name in DETECTORS if name.endswith(("-slim", "-squeezenet"))}
    assert {name.rpartition("-")[0] for name in small} == {
        *("retinanet", "retinanet1", "fcos", "rpn", "fssd", "mg-retinanet", "rfbnet")
    }
    printed = (
        "fcos-resnet101 fcos-resnext101-64x4d fssd-resnet18 fssd-vgg16 mg-retinanet-vgg16 rfbnet-vgg16 rpn-resnet50"
    )
    printed += " retinanet-resnext101-64x4d retinanet1-resnext101-64x4d retinanet1-resnext152-32x8d fssd-squeezenet"
    assert set(printed.split()) <= set(DETECTORS)


# Of all tensors' names, shapes and bytes with 8 classes, an IoU head and seed 0: what these detectors were at version
# 0.1 (or when they came). A change here changes every number that was ever measured.
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
    # Those of version 0.4.
    "fssd-slim": "28392571f0186dff",
    "mg-retinanet-slim": "4db862fa74b92dbf",
    "rfbnet-slim": "8089e1089d03709e",
    "fssd-squeezenet": "4a832f6307c3bebb",
    "mg-retinanet-squeezenet": "dd75c18430267fdb",
    "rfbnet-squeezenet": "55891e9ee8cb319a",
    "retinanet1-squeezenet": "2184db70028f477b",
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_initial_weights_are_those_of_the_first_version(name) -> None:
    digest = hashlib.sha256()
    for key, value in built(name, classes=8).state_dict().items():
        digest.update(f"{key} {tuple(value.shape)} ".encode() + value.contiguous().numpy().tobytes())
    assert digest.hexdigest()[:16] == FINGERPRINTS[name]


@pytest.mark.parametrize("name", [name for name in DETECTORS if name.endswith(("-slim", "-resnet18"))])
def test_predictions_fit_the_priors(name) -> None:
    detector = built(name)
    with torch.no_grad():
        priors, predictions = detector(torch.zeros(2, 3, 128, 96, dtype=torch.uint8))
    count, spec = len(priors), DETECTORS[name]
    assert priors.kind == PRIORS_OF[spec.family] == spec.priors.kind
    assert priors.coding == PLAIN and priors.valid is None and detector.neck.strides == spec.strides
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
    sizes = [(128, 101), (70, 96), (33, 41), (128, 8)]
    free = {"clamp": False}
    for name, priors_of in (
        *(("retinanet-slim", {}), ("retinanet-slim", {"offset": 0.0}), ("fcos-slim", {}), ("rpn-slim", {})),
        *(("fcos-slim", {"offset": 0.0, "per_location": 2}), ("fssd-slim", free), ("mg-retinanet-slim", free)),
        ("rfbnet-slim", free),
    ):
        detector = built(name, priors=priors_of)
        with torch.no_grad():
            priors, _ = detector(torch.zeros(4, 3, 128, 101, dtype=torch.uint8), sizes)
        assert priors.valid.shape == (4, len(priors))
        for size, valid in zip(sizes, priors.valid, strict=True):
            alone = detector.priors(size)
            assert tuple(int(level.sum()) for level in valid.split(list(priors.level_sizes))) == alone.level_sizes
            assert torch.equal(priors.boxes[valid], alone.boxes) and torch.equal(priors.points[valid], alone.points)
        with torch.no_grad():
            assert detector(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), [(64, 64)] * 2)[0].valid is None
        with pytest.raises(ValueError, match=r"\(65, 64\) does not fit"):
            detector(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), [(65, 64), (64, 64)])


@pytest.mark.parametrize("name", ["fssd-slim", "mg-retinanet-slim", "rfbnet-slim"])
def test_anchors_held_within_the_image_take_images_of_one_size(name) -> None:
    with pytest.raises(InputError, match=r"one size; set data\.size"):
        built(name)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), [(64, 64), (64, 40)])


@pytest.mark.parametrize("name", ["fcos-slim", "fssd-slim", "mg-retinanet-slim", "rfbnet-slim"])
def test_one_cell_of_one_image_has_no_spread(name) -> None:
    detector = built(name).train()
    side = max(detector.neck.strides)
    with pytest.raises(InputError, match=f"stride {side} of one image of {side} x {side} px .*batch_size to 2"):
        detector(torch.zeros(1, 3, side, side, dtype=torch.uint8))
    detector(torch.zeros(2, 3, side, side, dtype=torch.uint8))
    detector(torch.zeros(1, 3, side + 32, side, dtype=torch.uint8))
    detector.eval()(torch.zeros(1, 3, side, side, dtype=torch.uint8))
    if name == "fcos-slim":
        detector = built("retinanet-resnet18")
        with pytest.raises(InputError, match="stride 32 of one image of 32 x 32 px"):
            detector.train()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
        frozen = built("retinanet-resnet18", backbone={"frozen_norm": "statistics"})
        frozen.train()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


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


@pytest.mark.parametrize(
    ("spec", "still", "learns"),
    [
        ({"frozen_stages": 2}, ("stages.0", "stages.1", "stages.2"), ("stages.3", "stages.4")),
        ({"frozen_norm": "statistics"}, (), ("stages.0", "stages.4")),
        ({"frozen_norm": "all"}, ("stages.0.0.1", "stages.4.1.first.1"), ("stages.0.0.0", "stages.4.1.first.0")),
        ({"frozen_stages": 1, "frozen_norm": "statistics"}, ("stages.0", "stages.1"), ("stages.2",)),
    ],
)
def test_what_is_frozen_stays_in_training(spec, still, learns) -> None:
    """No statistic of a frozen norm moves, no gradient reaches a frozen part, and the neck's own norms go on."""
    detector = built("retinanet-slim", backbone=spec).train()
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    detector(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))[1].cls_logits.sum().backward()
    named = dict(detector.backbone.named_parameters())
    frozen = {k for k in named if k.startswith(still)} if still else set()
    assert {k for k, p in named.items() if not p.requires_grad} >= frozen
    assert all(named[k].grad is None for k in frozen)
    assert all(named[k].grad is not None for k in named if k.startswith(learns))
    moved = {k for k, v in detector.state_dict().items() if not torch.equal(v, before[k])}
    statistics = {k for k in before if k.startswith("backbone") and "running" in k}
    if "frozen_norm" in spec:
        assert not moved & statistics
    else:
        still_there = {k for k in statistics if k.removeprefix("backbone.").startswith(still)}
        assert not moved & still_there and statistics - still_there <= moved
    assert any(k.startswith("neck") for k in moved)
    detector.eval().train()
    assert detector.neck.training and not any(m.training for m in detector.backbone._frozen_norms)


@pytest.mark.parametrize(("masks", "share"), [(False, 1.0), (True, 0.5)])
def test_a_deformable_convolution_begins_as_the_plain_one(masks, share) -> None:
    """With masks, which begin at one half, at half of it; of strided and grouped convolutions too."""
    torch.manual_seed(0)
    for plain in (torch.nn.Conv2d(4, 6, 3, 2, 1, bias=False), torch.nn.Conv2d(4, 4, 3, 1, 2, 2, groups=2)):
        deformed = DeformConv.instead_of(plain, masks=masks)
        missing = deformed.load_state_dict(plain.state_dict(), strict=False)
        assert not missing.unexpected_keys and all(k.startswith("offset.") for k in missing.missing_keys)
        x = torch.randn(2, 4, 9, 8)
        bias = 0 if plain.bias is None else plain.bias.view(-1, 1, 1)
        torch.testing.assert_close(deformed(x), share * (plain(x) - bias) + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masks", [True, False])
def test_a_deformable_convolution_survives_what_is_no_number(masks) -> None:
    """Such offsets are places in memory to torchvision's kernel: the process dies. Here the output says so."""
    torch.manual_seed(0)
    layer = DeformConv(16, 16, bias=False, masks=masks)
    x = torch.randn(2, 16, 12, 12, requires_grad=True)
    assert layer(x).isfinite().all()
    for bad in (float("nan"), float("inf"), float("-inf"), 1e38):
        with torch.no_grad():
            layer.offset.bias.fill_(bad)
        out = layer(x)
        out.sum().backward()
        assert out.isnan().all() if bad != bad else out.isfinite().all()
    with torch.no_grad():
        layer.offset.bias.zero_()
    broken = x.detach().clone()
    broken[0, 0, 0, 0] = float("nan")
    assert layer(broken).isnan().any()


def test_deformable_stages_and_towers() -> None:
    """Published weights still fit by their names and shapes; offsets start at zero whatever the seed."""
    with torch.device("meta"):
        plain = build_backbone(BackboneSpec(name="resnet50"))
        deformed = build_backbone(BackboneSpec(name="resnet50", dcn=("c4", "c5")))
    needed = {k: v.shape for k, v in deformed.state_dict().items() if not deformed.is_added(k)}
    assert needed == {k: v.shape for k, v in plain.state_dict().items()}
    layers = {k.partition(".")[0] for k, m in deformed.named_modules() if isinstance(m, DeformConv)}
    assert layers == {"layer3", "layer4"}
    detector = built("fcos-slim", head={"dcn": True, "depth": 2})
    last = detector.head.cls_tower.convs[-1]
    assert isinstance(last, DeformConv) and not isinstance(detector.head.cls_tower.convs[0], DeformConv)
    assert not last.offset.weight.any() and abs(float(last.weight.detach().std()) - 0.01) < 0.002
    detector.train()(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))[1].boxes.sum().backward()
    assert detector.head.box_tower.convs[-1].offset.weight.grad is not None


@pytest.mark.parametrize("place", ["box", "cls"])
def test_the_tower_of_the_quality_layer(place) -> None:
    detector = built("fcos-slim", head={"quality_on": place})
    tower = {"box": detector.head.box_tower, "cls": detector.head.cls_tower}[place]
    detector(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))[1].quality_logits.sum().backward()
    assert tower.convs[0].weight.grad is not None
    others = {id(detector.head.box_tower), id(detector.head.cls_tower)} - {id(tower)}
    assert all(
        p.grad is None
        for t in (detector.head.box_tower, detector.head.cls_tower)
        if id(t) in others
        for p in t.parameters()
    )


@pytest.mark.parametrize("family", ROWS)
def test_methods_of_one_seed_share_their_initial_weights(family) -> None:
    """All but what a method says of its head's last layers, whether there is a quality head or not."""
    plain = built(f"{family}-slim", quality=None).state_dict()
    told = ("head.cls", "head.box", "head.quality")
    for start, quality in (
        (HeadInit(prior_prob=0.2, quality_prob=0.3, zero_box=True, box_bias=4.0), "objectness"),
        (HeadInit(), "iou"),
    ):
        detector = build_detector(DETECTORS[f"{family}-slim"], PLAIN, 5, quality)
        initialise(detector, 0, start)
        state = detector.state_dict()
        assert {k for k in state if k not in plain and k.startswith("head.quality")} == set(state) - set(plain)
        changed = {k for k in plain if not torch.equal(plain[k], state[k])}
        ends = (".bias", ".weight") if start.zero_box else ()
        last = {k for k in changed if k.endswith(ends) and k.startswith(told) and "tower" not in k}
        assert changed == last and bool(changed) == start.zero_box
    other = built(f"{family}-slim", quality=None, seed=1).state_dict()
    same = {k for k in plain if torch.equal(plain[k], other[k])}
    drawn = {k for k, v in plain.items() if k.endswith("weight") and v.ndim > 1}
    assert drawn and not same & drawn


def test_a_fusing_neck_starts_as_torch_does_and_by_the_seed() -> None:
    """Uniform within 1 / sqrt(inputs of a cell), biases too; heads N(0, 0.01), class biases -ln 99 on every level."""
    one, same, other = built("fssd-slim"), built("fssd-slim"), built("fssd-slim", seed=1)
    conv, again, foreign = (d.neck.fuse[0] for d in (one, same, other))
    bound = conv.weight[0].numel() ** -0.5
    for drawn in (conv.weight, conv.bias):
        assert drawn.abs().max() <= bound and drawn.abs().max() > 0.9 * bound
    assert torch.equal(conv.weight, again.weight) and not torch.equal(conv.weight, foreign.weight)
    assert len(one.head.cls_layers) == len(one.head.quality_layers) == len(one.neck.strides)
    for cls, box in zip(one.head.cls_layers, one.head.box_layers, strict=True):
        torch.testing.assert_close(cls.bias, torch.full_like(cls.bias, -float(np.log(99))))
        assert not box.bias.any() and abs(float(box.weight.detach().std()) - 0.01) < 0.001
    assert one.neck.fuse[1].momentum == 0.01


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
