"""Tells when an assigner gives the objects nothing: such training looks healthy, but learns background alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from assignbench.contract import Assignment
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Outcome, Update

IDLE_STEPS = 200  # steps in a row whose objects got no positive prior: see docs/decisions.md, G15


class Idle(Hook):
    """Says once, to `tell`, that for `IDLE_STEPS` steps in a row (in a shorter training: all) no prior was positive.

    It counts on the learner's device, and looks at logged steps and at the end, so that no step waits for a GPU. Where
    processes share the batches, that of rank 0 counts for its share: which images these are changes with every step.
    """

    def __init__(self, learner: Learner, tell: Callable[[str], None]) -> None:
        super().__init__(learner)
        self.tell, self.most = tell, min(IDLE_STEPS, learner.steps)
        self._told = False
        self._in_a_row = torch.zeros((), dtype=torch.long, device=learner.device)
        self._reached = torch.zeros((), dtype=torch.long, device=learner.device)  # the step, counted from 1

    def before_update(self, outcome: Outcome, update: Update) -> None:
        told = [part.assignment for part in outcome.parts if bool(part.batch.objects.valid.any())]
        if not told:
            return  # steps without objects say nothing
        self._in_a_row = (self._in_a_row + 1) * ~torch.stack([_teaches(given) for given in told]).any()
        self._reached += (self._in_a_row == self.most) * (self._reached == 0) * (outcome.step + 1)

    def after_update(self, outcome: Outcome, update: Update) -> None:
        if outcome.step % self.learner.schedule.log_every == 0:
            self._look()

    def end(self) -> None:
        self._look()

    def _look(self) -> None:
        reached = 0 if self._told else int(self._reached)
        if reached:
            self._told = True
            assigner = type(self.learner.method.assigner)
            source = inspect.getsourcefile(assigner) or assigner.__module__
            line = inspect.getsourcelines(assigner)[1]
            self.tell(
                f"until step {reached - 1}, for {self.most} steps in a row, assigner {assigner.__name__} "
                f"({source}:{line}) gave no prior to any of the objects, so that nothing but background was learnt; "
                "loosen its thresholds, set `orphan: best_prior` where it has that parameter, or mend the rule, and "
                "run with --fresh"
            )


def _teaches(given: Assignment) -> Tensor:
    """Whether [] a prior of the batch learns an object."""
    found = ((given.cls.index >= 0) | (given.box.index >= 0)).any()
    return found if given.bags is None else found | given.bags.mask.any()
