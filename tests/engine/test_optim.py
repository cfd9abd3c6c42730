"""The optimisers of learners are torch's own, without the compiler that these load."""

import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import nn

from assignbench.config.recipe import Schedule
from assignbench.engine.optim import build_optimiser, set_rate
from tests.conftest import ROOT

FIRST_STEP = """
import os, sys
from pathlib import Path
from assignbench.engine import run
from assignbench.engine.learner import Learner
from tests.engine.cells import place, tiny

def told(learner, step):
    learned(learner, step)
    print(*(name for name in ("torch._dynamo", "torchvision", "sympy", "numba") if name in sys.modules), flush=True)
    os._exit(0)

learned, Learner.step = Learner.step, told
run.run_cell(place(tiny(METHOD, optimizer=OPTIMIZER, ema=0.9), Path(sys.argv[1])), "cpu")
"""


def torchs(optimiser: torch.optim.Optimizer, net: nn.Module) -> torch.optim.Optimizer:
    """torch's own one, with the groups of ours over another network's parameters."""
    own = dict(zip((p for g in optimiser.param_groups for p in g["params"]), _in_groups(optimiser, net), strict=True))
    groups = [{**group, "params": [own[p] for p in group["params"]]} for group in optimiser.param_groups]
    return {"SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW}[type(optimiser).__name__](groups)


def _in_groups(optimiser: torch.optim.Optimizer, net: nn.Module) -> list[nn.Parameter]:
    schedule = Schedule(steps=1, weight_decay=0.01)
    return [p for g in build_optimiser(net.named_parameters(), schedule).param_groups for p in g["params"]]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("seed", range(3))
def test_steps_are_those_of_torch(name, seed) -> None:
    """Also after a state was taken up, in the middle."""
    torch.manual_seed(seed)
    ours = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1))
    theirs = deepcopy(ours)
    optimiser = build_optimiser(ours.named_parameters(), Schedule(steps=1, weight_decay=0.01, optimizer=name))
    other = torchs(optimiser, theirs)
    for step in range(8):
        images = torch.randn(4, 5)
        for net, each in ((ours, optimiser), (theirs, other)):
            each.zero_grad(set_to_none=True)
            net(images).square().sum().backward()
            set_rate(each, 0.01 * (step + 1))
            each.step()
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
        if step == 4:
            optimiser.load_state_dict(deepcopy(other.state_dict()))


def test_steps_are_no_part_of_the_graph() -> None:
    net = nn.Linear(2, 2)
    optimiser = build_optimiser(net.named_parameters(), Schedule(steps=1))
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    assert all(p.is_leaf and p.requires_grad for p in net.parameters()) and torch.is_grad_enabled()


@pytest.mark.parametrize(("method", "optimizer"), [("iou", "sgd"), ("paa", "adamw")])
def test_no_compiler_is_loaded_until_the_first_step(tmp_path, method, optimizer) -> None:
    """Nor torchvision, which loads it; each takes a cell's process a second."""
    code = FIRST_STEP.replace("METHOD", repr(method)).replace("OPTIMIZER", repr(optimizer))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "\n"
