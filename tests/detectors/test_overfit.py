"""Every family learns one batch by every assigner that makes sense on it; every other pair is refused by `plan`."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import yaml

from assignbench.cli import main
from assignbench.config.detector import DETECTORS, ROWS
from assignbench.contract import Context, Objects, total
from assignbench.detectors import build_detector
from assignbench.engine.seeding import initialise
from assignbench.errors import InputError
from assignbench.methods import PRESETS, build, check
from tests.study.test_words import study

METHODS = ("iou", "mutual_guidance", "mlc", "musu", "ltm", "paa", "atss")
# On points, the rules of anchors have no meaning (their own for points are mlc_fcos and ltm_af); MuSu is for points.
REFUSED = {("fcos", method) for method in ("mutual_guidance", "mlc", "ltm")}
REFUSED |= {(family, "musu") for family in ROWS if family != "fcos"}
SENSIBLE = [pair for pair in product(ROWS, METHODS) if pair not in REFUSED]
SENSIBLE += [("fcos", "mlc_fcos"), ("fcos", "ltm_af"), ("rpn", "mlc_rpn")]
STEPS = 60


def batch() -> tuple[torch.Tensor, Objects]:
    """Two images with two bright rectangles each."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    boxes = torch.tensor([[[4.0, 6, 28, 30], [36, 30, 60, 62]], [[10, 8, 40, 30], [30, 36, 50, 60]]])
    labels = torch.tensor([[0, 1], [1, 2]])
    for image, found, classes in zip(images, boxes.int().tolist(), labels.tolist(), strict=True):
        for (x1, y1, x2, y2), label in zip(found, classes, strict=True):
            image[label, y1:y2, x1:x2] = 240
    return images, Objects(boxes, labels)


@pytest.mark.parametrize(("family", "method"), SENSIBLE)
def test_one_batch_is_learned(family, method) -> None:
    """The loss falls below half, and by what the images show: with the two images exchanged it is far larger. Biases
    alone, of a network that sees nothing, halve it within 20 steps.
    """
    made = build(PRESETS[method].method)
    detector = build_detector(DETECTORS[f"{family}-slim"], made.method.coder, 3, made.method.quality).train()
    initialise(detector, 0, made.method.head_init)
    images, objects = batch()
    taught = detector.taught(objects)
    parameters = [*detector.parameters(), *made.criterion.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=4e-3)

    def loss(shown: torch.Tensor) -> torch.Tensor:
        priors, predictions = detector(shown)
        context = Context(image_ids=(0, 1), image_hw=(64, 64))
        assignment = made.assigner(priors, predictions, taught, context)
        return total(made.criterion(priors, predictions, taught, assignment, context))

    losses: list[float] = []
    for _ in range(STEPS):
        now = loss(images)
        losses.append(now.item())
        if losses[-1] < losses[0] / 2:
            with torch.no_grad():
                if loss(images.flip(0)).item() > 1.4 * losses[-1]:
                    return
        optimiser.zero_grad()
        now.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimiser.step()
    pytest.fail(f"the loss went from {losses[0]:.3g} to {losses[-1]:.3g} in {STEPS} steps, by what no image shows")


def test_the_same_pairs_make_sense_on_every_backbone() -> None:
    """What is refused follows from what a rule needs and a detector has, not from names."""
    for method in {method for _, method in SENSIBLE} | set(METHODS):
        for family, row in ROWS.items():
            fits = (family, method) in SENSIBLE
            for name in (f"{family}-{backbone}" for backbone in ("slim", "squeezenet", *row.backbones)):
                if fits:
                    check(PRESETS[method].method, DETECTORS[name])
                else:
                    with pytest.raises(
                        InputError, match=r"works on .*keep the method to|is for detectors of one class"
                    ):
                        check(PRESETS[method].method, DETECTORS[name])


@pytest.mark.parametrize(("family", "method"), sorted(REFUSED))
def test_the_other_pairs_are_refused(family, method, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(detectors=[f"{family}-slim"], methods=[method])))
    assert main(["plan", "study.yaml"]) == 2
    told = capsys.readouterr().err
    assert f"on detector '{family}-slim'" in told and "works on" in told
