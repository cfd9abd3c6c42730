"""Tells when an assigner gives the objects nothing: such training looks healthy, but learns background alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from assignbench.contract import Assignment
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Outcome, Update

IDLE_STEPS = 200  # steps in a row whose objects got no positive prior: see docs/decisions.md, G15


class Idle(Hook):
    """Says once, to `tell`, that for `IDLE_STEPS` steps in a row (in a shorter training: all) no prior was positive."""

    def __init__(self, learner: Learner, tell: Callable[[str], None]) -> None:
        super().__init__(learner)
        self.tell = tell
        self._steps = 0

    def before_update(self, outcome: Outcome, update: Update) -> None:
        told = [part.assignment for part in outcome.parts if bool(part.batch.objects.valid.any())]
        if not told:
            return  # steps without objects say nothing
        self._steps = 0 if any(_teaches(given) for given in told) else self._steps + 1
        if self._steps == min(IDLE_STEPS, self.learner.steps):
            assigner = type(self.learner.method.assigner)
            source = inspect.getsourcefile(assigner) or assigner.__module__
            line = inspect.getsourcelines(assigner)[1]
            self.tell(
                f"until step {outcome.step}, for {self._steps} steps in a row, assigner {assigner.__name__} "
                f"({source}:{line}) gave no prior to any of the objects, so that nothing but background was learnt; "
                "loosen its thresholds, set `orphan: best_prior` where it has that parameter, or mend the rule, and "
                "run with --fresh"
            )


def _teaches(given: Assignment) -> bool:
    if bool(((given.cls.index >= 0) | (given.box.index >= 0)).any()):
        return True
    return given.bags is not None and bool(given.bags.mask.any())
