"""Whatever a study may write of a detector: it is refused, or it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from assignbench.coders import coder_for
from assignbench.config.detector import ROWS, resolve
from assignbench.config.method import CoderConfig
from assignbench.detectors import build_detector
from assignbench.engine.seeding import initialise
from assignbench.errors import InputError

NECK = {
    "width": st.sampled_from([1, 7, 16, 33]),
    "extra": st.integers(0, 4),
    "extra_from": st.sampled_from(["p5", "p5", "c5"]),
    "extra_by": st.sampled_from(["conv", "conv", "pool"]),
    "finest": st.sampled_from(["c3", "c3", "c2"]),
    "norm": st.booleans(),
}
BACKBONE = {"frozen_stages": st.integers(0, 4), "frozen_norm": st.sampled_from(["none", "statistics", "all"])}
HEAD = {
    "width": st.sampled_from([1, 5, 16, 40]),
    "depth": st.integers(0, 2),
    "norm": st.sampled_from(["none", "bn", "gn"]),
    "level_scale": st.booleans(),
    "quality_on": st.sampled_from(["box", "cls"]),
    "dcn": st.booleans(),
}
ANCHORS = {
    "scales": st.sampled_from([[2.0], [0.3, 5.0], [1.0, 2.0, 3.0]]),
    "ratios": st.sampled_from([[1.0], [0.2, 3.0]]),
    "order": st.sampled_from(["scale", "scale", "ratio"]),
    "rounding": st.sampled_from(["none", "torchvision", "freeanchor"]),
    "inclusive": st.booleans(),
    "clamp": st.booleans(),
    "offset": st.sampled_from([0.0, 0.25, 0.5]),
}
POINTS = {"per_location": st.integers(1, 4), "offset": ANCHORS["offset"]}


def some(entries: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=entries)


@pytest.mark.parametrize("family", ROWS)
@given(data=st.data(), hw=st.sampled_from([(64, 64), (75, 101), (33, 130)]), quality=st.sampled_from([None, "iou"]))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_it_learns_or_it_is_refused(family, data, hw, quality) -> None:
    """Outputs for every prior of the description, all finite, and a gradient for all that is not frozen."""
    parts = {"neck": NECK, "backbone": BACKBONE, "priors": POINTS if family == "fcos" else ANCHORS}
    if ROWS[family].head is not None:
        parts["head"] = HEAD
    written = {name: data.draw(some(entries), name) for name, entries in parts.items()}
    try:
        spec = resolve(f"{family}-slim", written)
    except InputError as problem:
        assert f"detector '{family}-slim': " in str(problem)
        return
    detector = build_detector(spec, CoderConfig(), 3, quality)
    initialise(detector, 0)
    priors, found = detector.train()(torch.randint(0, 256, (2, 3, *hw), dtype=torch.uint8))
    assert detector.neck.strides == spec.strides
    assert found.cls_logits.shape[1] == found.deltas.shape[1] == len(priors)
    targets = coder_for(priors).encode(priors, torch.tensor([[5.0, 5, 30, 20]]).expand(len(priors), 4))
    assert targets.isfinite().all() and found.boxes.isfinite().all()
    loss = found.cls_logits.sum() + (found.deltas - targets).square().sum()
    if found.quality_logits is not None:
        loss = loss + found.quality_logits.sum()
    loss.backward()
    for name, parameter in detector.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
