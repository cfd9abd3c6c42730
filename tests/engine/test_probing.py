"""The probe tables of a detector that is no network: what a rule says of its candidates is recorded."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from assignbench.assigners.base import Assigner
from assignbench.assigners.max_iou import MaxIoU
from assignbench.assigners.paa import PAA
from assignbench.contract import Context, Objects
from assignbench.engine.probing import probe_tables
from assignbench.errors import InputError
from assignbench.examples import three_anchors
from assignbench.records.schema import PROBES


class Seen:
    """A detector that always predicts the same."""

    device = torch.device("cpu")
    head = SimpleNamespace(box_layers=[])

    def __call__(self, images: torch.Tensor, extents: object) -> tuple[object, object]:
        priors, predictions, _ = three_anchors()
        return priors, predictions

    def eval(self) -> None:
        """As networks have it."""

    def train(self) -> None:
        """As networks have it."""

    def taught(self, objects: Objects) -> Objects:
        """All classes."""
        return objects


def probed(assigner: Assigner) -> pd.DataFrame:
    """The prior table of the example's one object."""
    _, _, objects = three_anchors()
    batch = SimpleNamespace(
        images=torch.zeros(1, 3, 64, 64),
        extents=None,
        objects=objects,
        object_ids=torch.tensor([[7]]),
        image_ids=(5,),
        sizes=((64, 64),),
    )
    method = SimpleNamespace(assigner=assigner, method=SimpleNamespace(name="mine"))
    priors, _ = probe_tables(Seen(), method, [batch], Context())  # type: ignore[arg-type]
    return PROBES.table(priors, "visit").set_index("prior").sort_index()


def test_the_candidates_of_paa_are_recorded_with_its_own_cost() -> None:
    """Both near anchors are candidates; the cheaper one, whose prediction lies best, is the only positive."""
    table = probed(PAA())
    _, predictions, objects = three_anchors()
    owner = torch.tensor([[0, 0, -1]])
    cost = PAA().scores(predictions, objects, owner)[0]
    assert table.index.tolist() == [0, 1] and table.candidate.tolist() == [True, True]
    assert table.rule_loss.tolist() == pytest.approx(cost[:2].tolist())
    assert table.positive_cls.tolist() == [False, True] and table.rule_loss[1] < table.rule_loss[0]


def test_a_rule_that_judges_nothing_records_nothing_of_it() -> None:
    table = probed(MaxIoU())
    assert not {"candidate", "rule_loss"} & set(table.columns)


class Silent(MaxIoU):
    """A rule that forgets to return."""

    def assign(self, *given: object) -> None:  # type: ignore[override]
        """Nothing."""


def test_a_rule_that_returns_no_assignment_is_named_with_its_method() -> None:
    with pytest.raises(InputError, match=r"^method 'mine' \(tests\..*:Silent\) returned None, expected"):
        probed(Silent())
