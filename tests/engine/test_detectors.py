"""Detectors: shapes, orders, pretrained weights from files."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from assignbench.detectors import DETECTORS
from assignbench.detectors.backbones import ResNet, SqueezeNet, load_weights, read_weights
from assignbench.detectors.necks import FPN
from assignbench.engine.seeding import initialise
from assignbench.errors import InputError


@pytest.mark.parametrize("name", list(DETECTORS))
def test_predictions_fit_the_priors(name) -> None:
    detector = DETECTORS.build(name, {"num_classes": 5, "quality_kind": "iou"}).eval()
    initialise(detector, 0)
    with torch.no_grad():
        priors, predictions = detector(torch.zeros(2, 3, 128, 96, dtype=torch.uint8))
    count = len(priors)
    assert predictions.cls_logits.shape == (2, count, 1 if detector.class_agnostic else 5)
    assert predictions.boxes.shape == predictions.deltas.shape == (2, count, 4)
    assert predictions.quality_logits.shape == (2, count)
    strides = sorted(set(priors.strides.tolist()))
    cells = [int(np.ceil(128 / s) * np.ceil(96 / s)) for s in strides]
    assert list(priors.level_sizes) == [c * priors.anchors_per_location for c in cells]
    bias = detector.head.cls.bias.sigmoid()
    torch.testing.assert_close(bias, torch.full_like(bias, 0.01))


def test_outputs_are_ordered_as_the_priors() -> None:
    """A box head that copies its position must decode to boxes that lie on their priors."""
    detector = DETECTORS.build("retinanet-slim", {"num_classes": 2}).eval()
    initialise(detector, 0)
    with torch.no_grad():
        detector.head.box.weight.zero_()
        priors, predictions = detector(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    torch.testing.assert_close(predictions.boxes[0], priors.boxes, rtol=1e-5, atol=1e-3)


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
    backbone = ResNet(18)
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
    assert not backbone.features[0].weight.requires_grad
