"""Detectors as data: a study replaces parts of a named one, and everything that is not understood is refused."""

import pytest

from assignbench.config.detector import DETECTORS, DetectorConfig, DetectorSpec, resolve
from assignbench.errors import InputError


@pytest.mark.parametrize("name", DETECTORS)
def test_a_specification_survives_json(name) -> None:
    spec = resolve(name)
    assert spec == DETECTORS[name]
    assert DetectorSpec.model_validate_json(spec.model_dump_json()) == spec
    config = DetectorConfig(name=name, label=name, spec=spec)
    assert DetectorConfig.model_validate(config.model_dump(mode="json")) == config


def test_parts_are_laid_over_entry_by_entry() -> None:
    spec = resolve("retinanet-slim", {"head": {"depth": 2}, "priors": {"scales": [2.0, 3]}})
    plain = DETECTORS["retinanet-slim"]
    assert spec.head is not None and plain.head is not None
    assert (spec.head.depth, spec.head.width, spec.head.norm) == (2, plain.head.width, plain.head.norm)
    assert spec.priors.scales == (2.0, 3.0) and spec.priors.ratios == plain.priors.ratios
    assert spec.priors.count == 6
    assert spec.neck == plain.neck and spec.backbone == plain.backbone
    assert DETECTORS["retinanet-slim"].head == plain.head
    assert resolve("fcos-slim", {"priors": {"per_location": 3}}).priors.count == 3


@pytest.mark.parametrize(
    ("name", "overrides", "told"),
    [
        ("retinanet-slimm", {}, "unknown detector 'retinanet-slimm'; did you mean 'retinanet-slim'"),
        ("retinanet-slim", {"haed": {}}, "unknown key 'haed'; did you mean 'head'"),
        ("retinanet-slim", {"head": {"detph": 2}}, "unknown key 'head.detph'; did you mean 'depth'"),
        ("retinanet-slim", {"head": {"norm": "gnn"}}, "head.norm is 'gnn'; did you mean 'gn'"),
        ("retinanet-slim", {"head": {"depth": 9}}, "head.depth is 9; the nearest is 8"),
        ("retinanet-slim", {"head": {"depth": True}}, "head.depth is True"),
        ("retinanet-slim", {"head": {"depth": "2"}}, "head.depth is '2'"),
        ("retinanet-slim", {"head": None}, "needs a head"),
        ("retinanet-slim", {"head": 2}, "head is 2"),
        ("retinanet-slim", {"neck": {"extra_from": "c6"}}, "neck.extra_from is 'c6'"),
        ("retinanet-slim", {"neck": {"width": 0}}, "neck.width is 0; the nearest is 1"),
        ("retinanet-slim", {"backbone": {"name": "resnet19"}}, "backbone.name is 'resnet19'; did you mean 'resnet18'"),
        ("retinanet-slim", {"priors": {"scales": []}}, "at least one of scales"),
        ("retinanet-slim", {"priors": {"scales": [0.0]}}, "priors.scales.0 is 0.0"),
        ("retinanet-slim", {"priors": {"ratios": [float("nan")]}}, "priors.ratios.0 is nan"),
        ("retinanet-slim", {"priors": {"per_location": 3}}, "per_location is for points"),
        ("retinanet-slim", {"priors": {"kind": "point", "scales": [], "ratios": []}}, "works on anchors"),
        ("retinanet-slim", {"family": "retinant"}, "family is 'retinant'; did you mean 'retinanet'"),
        ("fcos-slim", {"priors": {"scales": [4.0]}}, "scales and ratios are for anchors"),
        ("fcos-slim", {"priors": {"per_location": 10}}, "priors.per_location is 10; the nearest is 9"),
        ("rpn-slim", {"head": {"depth": 2}}, "family 'rpn' has no towers"),
        ("fssd-slim", {"head": {"depth": 2}}, "family 'fssd' has no towers"),
        ("fssd-slim", {"neck": {"norm": False}}, "has batch norms behind every convolution; set neck.norm: true"),
        ("mg-retinanet-slim", {"neck": {"extra_from": "c5"}}, "set neck.extra_from: p5"),
        ("rfbnet-slim", {"neck": {"finest": "c2"}}, "begins at stride 8; set neck.finest: c3"),
        ("fssd-slim", {"priors": {"kind": "point", "scales": [], "ratios": []}}, "clamp is for anchors"),
        ("fcos-slim", {"priors": {"rounding": "freeanchor"}}, "rounding is for anchors"),
        ("retinanet1-slim", {"priors": {"order": "ratio"}}, "order 'ratio' has no meaning with one scale"),
        ("rpn-slim", {"neck": {"extra_by": "pool"}}, "neck.extra_by 'pool' has no meaning without extra levels"),
        ("fcos-slim", {"neck": {"extra_by": "pool", "extra_from": "c5"}}, "set neck.extra_from: p5"),
        ("retinanet-resnet18", {"head": {"bias": True}}, "have biases anyway"),
        ("retinanet-slim", {"head": {"dcn": True, "depth": 0}}, "head.dcn needs a tower"),
        ("retinanet-slim", {"head": {"depth": 0}}, "head.norm needs a tower; set head.depth to 1"),
        ("fcos-resnet50", {"head": {"depth": 0, "norm": "none", "quality_on": "cls"}}, "head.quality_on needs a tower"),
        ("fcos-resnet50", {"head": {"depth": 0, "norm": "none", "width": 64}}, "set head.width: 256"),
        ("retinanet-slim", {"priors": {"scales": [2.0, 4, 2]}}, "priors.scales names a value twice: 2, 4, 2"),
        ("retinanet-slim", {"priors": {"ratios": [1, 1.0]}}, "priors.ratios names a value twice: 1, 1"),
        (
            "retinanet-slim",
            {"priors": {"scales": [0.1], "rounding": "torchvision"}},
            "at stride 8 an anchor has a side of 0",
        ),
        (
            "retinanet-slim",
            {"priors": {"ratios": [1000], "rounding": "freeanchor"}},
            "a side of 0 px; raise priors.scales",
        ),
        (
            "retinanet-slim",
            {"priors": {"scales": [0.1], "inclusive": True}},
            "at stride 8 an anchor has a side of -0.4",
        ),
        (
            "rpn-resnet50",
            {"priors": {"scales": [0.2], "rounding": "torchvision"}},
            "at stride 4 an anchor has a side of 0",
        ),
        ("rfbnet-slim", {"neck": {"width": 15}}, "set neck.width: 16"),
        (
            "fcos-resnet50",
            {"backbone": {"frozen_stages": 2, "dcn": ["c3", "c4"]}},
            "set backbone.frozen_stages to 1 or",
        ),
        ("fcos-resnet50", {"backbone": {"frozen_stages": 4, "frozen_norm": "all"}}, "holds all norms of resnet50"),
        ("fssd-vgg16", {"backbone": {"frozen_stages": 3, "frozen_norm": "statistics"}}, "holds all norms of vgg16"),
        ("retinanet-slim", {"head": {"dcn_masks": False}}, "head.dcn_masks has no meaning without dcn"),
        ("retinanet-slim", {"backbone": {"dcn_masks": False}}, "dcn_masks has no meaning without dcn"),
        ("retinanet-resnet18", {"backbone": {"dcn": ["c5"]}}, "resnet18 has no bottlenecks for dcn"),
        ("retinanet-resnet50", {"backbone": {"dcn": ["c5", "c5"]}}, "dcn names a stage twice"),
        ("retinanet-resnet50", {"backbone": {"dcn": ["c2"]}}, "backbone.dcn.0 is 'c2'; did you mean 'c5'"),
        ("fssd-vgg16", {"backbone": {"frozen_stages": 4}}, "vgg16 has 3 stages"),
        ("fssd-vgg16", {"backbone": {"frozen_stages": 5}}, "backbone.frozen_stages is 5; the nearest is 4"),
        ("fssd-squeezenet", {"backbone": {"frozen_stages": 1}}, "set backbone.freeze_first: false"),
        ("fssd-squeezenet", {"backbone": {"frozen_norm": "all"}}, "squeezenet has no batch norms"),
        ("fssd-slim", {"family": "own"}, "family 'own' and function go together"),
        ("fssd-slim", {"function": "my_module:mine"}, "family 'own' and function go together"),
    ],
)
def test_what_is_not_understood_is_refused(name, overrides, told) -> None:
    with pytest.raises(InputError) as problem:
        resolve(name, overrides)
    assert told in str(problem.value)


@pytest.mark.parametrize(
    ("weights", "spec", "beginning", "warning"),
    [
        ("", {}, "starts without pretrained weights (backbone: random)", ""),
        (
            "",
            {"freeze_first": True},
            "starts without pretrained weights (backbone: random)",
            "its first convolution of its resnet50",
        ),
        ("", {"frozen_stages": 2, "frozen_norm": "all"}, "starts without", "its first 2 stages and its norms of its"),
        ("own.pth", {"frozen_stages": 1, "frozen_norm": "statistics"}, "starts from own.pth", ""),
        ("torchvision", {}, "starts from torchvision's resnet50-0676ba61.pth", ""),
    ],
)
def test_what_a_detector_starts_from_is_told(weights, spec, beginning, warning) -> None:
    found = resolve("fcos-resnet50", {"backbone": spec})
    config = DetectorConfig(name="fcos-resnet50", label="mine", spec=found, weights=weights)
    assert config.beginning.startswith(beginning)
    assert (warning in config.warning) if warning else not config.warning
