"""The rate of single steps of the papers' recipes, worked out by hand from what the papers and their codes say."""

from __future__ import annotations

import math

import pytest

from assignbench.config.recipe import Schedule, learning_rate
from assignbench.config.recipes import RECIPES

VOC = 16_551 // 32  # updates of an epoch: 16,551 images of VOC 2007 + 2012 trainval, the rest of 7 images left out
COCO_32, COCO_16 = 118_287 // 32, 118_287 // 16  # images of train2017, those without objects too (RC7)
SKU = 8_219 // 16
WARM = {"third": 0.01 / 3, "half way from a third": 0.01 * (1 / 3 + (1 - 1 / 3) / 2)}

# (step, rate); what stands in a comment was computed with a pocket calculator.
TABLES: dict[str, tuple[int, int, list[tuple[int, float]]]] = {
    # 250 epochs of 517 updates, 500 of warm-up from 1e-6, then one cosine over 128,750 updates down to 1e-6
    "mutual_guidance_voc": (
        VOC,
        129_250,
        [
            (0, 1e-6),
            (1, 2.0998e-5),  # 1e-6 + 0.009999 / 500
            (250, 0.0050005),
            (499, 0.009980002),
            (500, 0.01),
            (500 + 128_750 // 4, 0.0085357),  # 1e-6 + 0.009999 (1 + .707107) / 2
            (500 + 128_750 // 2, 0.0050005),
            (129_249, 1e-6),
        ],
    ),
    "mutual_guidance_coco": (COCO_32, 517_440, [(0, 1e-6), (500, 0.01), (258_970, 0.0050005), (517_439, 1e-6)]),
    # epochs of 7,392 updates: /10 after epoch 16 (118,272) and 18 (133,056)
    "mlc_19e": (
        COCO_16,
        140_448,
        [
            (0, WARM["third"]),
            (499, WARM["third"]),
            (500, 0.01),
            (118_271, 0.01),
            (118_272, 0.001),
            (133_055, 0.001),
            (133_056, 0.0001),
            (140_447, 0.0001),
        ],
    ),
    "mlc_24e": (COCO_16, 177_408, [(133_055, 0.01), (133_056, 0.001), (162_623, 0.001), (162_624, 0.0001)]),
    "mlc_retinanet_19e": (COCO_16, 140_448, [(0, 1e-5), (250, 0.005005), (500, 0.01), (118_272, 0.001)]),
    "mlc_retinanet_24e": (COCO_16, 177_408, [(499, 0.00998002), (500, 0.01), (133_056, 0.001), (162_624, 0.0001)]),
    "mlc_rpn_19e": (
        COCO_16,
        140_448,
        [(0, 2e-5), (250, 0.01001), (500, 0.02), (118_271, 0.02), (118_272, 0.002), (133_056, 0.0002)],
    ),
    "musu_90k": (
        COCO_16,
        90_000,
        [(0, WARM["third"]), (499, WARM["third"]), (500, 0.01), (59_999, 0.01), (60_000, 0.001), (80_000, 0.0001)],
    ),
    "musu_180k": (COCO_16, 180_000, [(119_999, 0.01), (120_000, 0.001), (159_999, 0.001), (160_000, 0.0001)]),
    "ltm_90k": (
        COCO_16,
        90_000,
        [
            (0, WARM["third"]),
            (250, WARM["half way from a third"]),
            (499, 0.01 * (1 / 3 * 0.002 + 0.998)),
            (500, 0.01),
            (59_999, 0.01),
            (60_000, 0.001),
            (79_999, 0.001),
            (80_000, 0.0001),
            (89_999, 0.0001),
        ],
    ),
    "ltm_180k": (COCO_16, 180_000, [(250, WARM["half way from a third"]), (120_000, 0.001), (179_999, 0.0001)]),
    "ltm_sku110k": (SKU, 90_000, [(0, WARM["third"]), (500, 0.01), (60_000, 0.001), (80_000, 0.0001)]),
    "paa_135k": (
        COCO_16,
        135_000,
        [(0, WARM["third"]), (499, WARM["third"]), (500, 0.01), (89_999, 0.01), (90_000, 0.001), (120_000, 0.0001)],
    ),
    "paa_180k": (COCO_16, 180_000, [(119_999, 0.01), (120_000, 0.001), (159_999, 0.001), (160_000, 0.0001)]),
}


@pytest.mark.parametrize("name", list(TABLES))
def test_rates_of_a_recipe(name) -> None:
    per_epoch, steps, table = TABLES[name]
    schedule = Schedule.model_validate(dict(RECIPES[name].schedule))
    assert schedule.total_steps(per_epoch) == steps
    assert schedule.unreached(per_epoch) == ""
    for step, rate in table:
        assert learning_rate(schedule, step, steps, per_epoch) == pytest.approx(rate, rel=1e-4, abs=2e-9), step


def test_the_first_rates_of_a_default_schedule_are_parts_of_the_whole() -> None:
    schedule = Schedule(steps=100, lr=1.0, warmup=0.1)
    assert [learning_rate(schedule, s, 100) for s in (0, 4, 9, 10)] == [1 / 11, 5 / 11, 10 / 11, 1.0]
    half = 10 + 45
    assert learning_rate(schedule, half, 100) == pytest.approx(0.01 + 0.99 / 2)
    assert learning_rate(schedule, 99, 100) == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi * 89 / 90)) / 2)
