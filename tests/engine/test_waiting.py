"""No step waits for a GPU: looked for without one, on tensors that know their device and shape but hold no numbers.

What has to be read by the host (a number, a shape that depends on numbers) is an error on such tensors, and copies
between host and device are watched. The backward pass and the optimiser need a real device: test_gpu.py has them.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from assignbench import sending
from assignbench.assigners import paa
from assignbench.config.cell import CellConfig
from assignbench.contract import Objects, total
from assignbench.data.stream import Batch
from assignbench.engine import learner as engine
from assignbench.engine.hooks import Guard, Idle, Log, Probes
from assignbench.engine.learner import Learner
from assignbench.engine.pictured import ProbeSet
from assignbench.methods import PRESETS
from tests.engine.cells import BY_CRITERION, detector_for, tiny
from tests.engine.test_cohort import own
from tests.engine.test_loop import cell

EXEMPT = {"hungarian"}  # its matching is made on the host: DESIGN, section 3


class Waits(AssertionError):
    """A step waited; the message says where."""


def told(what: str) -> Waits:
    frames = [f for f in traceback.extract_stack() if "assignbench" in Path(f.filename).parts]
    return Waits(f"{what} at {frames[-1].filename}:{frames[-1].lineno}" if frames else what)


class Copies(TorchDispatchMode):
    """Refuses what waits on a GPU: copies from it, copies to it that are waited for, and masks that choose."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned: list[Tensor] = []

    def pin(self, values: Tensor) -> Tensor:
        """In the place of pinned memory, which needs a GPU."""
        self.pinned.append(values.clone())
        return self.pinned[-1]

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, found = function.__name__, function(*args, **kwargs)
        kinds = {a.device.type for a in args if isinstance(a, Tensor)}
        if name.startswith("_to_copy") and found.device.type != args[0].device.type:
            waited = found.device.type == "cpu" or not kwargs.get("non_blocking")
            if waited or all(args[0] is not held for held in self.pinned):
                raise told(f"a copy from {args[0].device.type} to {found.device.type}")
        elif name.startswith(("copy_.", "where.")) and len(kinds) > 1:
            raise told(f"{name} of tensors of {sorted(kinds)}")
        elif name.startswith(("index.", "index_put", "_index_put")):
            for index in (i for i in args[1] if i is not None):
                if index.dtype == torch.bool or index.device.type != args[0].device.type:
                    raise told(f"{name} by {index.dtype} of {index.device.type}")
        return found


class Made(TorchFunctionMode):
    """Refuses tensors that are made of the host's numbers on the device, which are copied and waited for."""

    def __torch_function__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            raise told("a tensor of the host's numbers")
        return function(*args, **kwargs)


class NoWatch:
    """In the place of a stopwatch, which needs a device."""

    def __init__(self, device: torch.device) -> None:
        pass

    def mark(self) -> None:
        pass


def pretended(module: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """The module with parameters and buffers on a GPU that is not there."""
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            moved = mode.from_tensor(value).detach().to("cuda")
            part.register_parameter(name, nn.Parameter(moved, value.requires_grad))
        for name, value in part.named_buffers(recurse=False):
            setattr(part, name, mode.from_tensor(value).to("cuda"))
    return module


def without_backward(self: Learner, terms: Any, whole: Any) -> Tensor:
    for parameter in self.model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    return total(terms, whole).detach()


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with Copies() as copies, Made():
        monkeypatch.setattr(sending, "_pinned", copies.pin)
        yield


def mixed(batch: Batch, seed: int) -> Batch:
    """The batch with images of drawn sizes, of which two at least differ."""
    drawn = random.Random(seed)
    count = len(batch.image_ids)
    sizes = tuple((32 * drawn.randint(1, 5), 32 * drawn.randint(1, 5)) for _ in range(count - 1))
    sizes = (*sizes, (sizes[0][1] + 32, sizes[0][0]))
    images = batch.images.new_zeros(count, 3, max(h for h, _ in sizes), max(w for _, w in sizes))
    return replace(batch, images=images, sizes=sizes, extents=sizes)


def there(batch: Batch, mode: FakeTensorMode) -> Batch:
    """The batch as it is sent to the GPU that is not there."""
    given = batch.objects
    objects = Objects(*(mode.from_tensor(t) for t in (given.boxes, given.labels, given.valid)))
    held = SimpleNamespace(valid=given.valid.numpy())  # what of the objects the host looks at
    return replace(batch, images=mode.from_tensor(batch.images), objects=held, placed=objects)


def step_of(
    config: CellConfig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: Callable[[Batch, int], Batch] = lambda batch, step: batch,
) -> None:
    """Two steps of a cell on the GPU that is not there, of which the second one is watched. Their batch may `change`;
    what is made once for an image size is there already in the second step, unless it does.
    """
    monkeypatch.setattr(engine, "Stopwatch", NoWatch)
    monkeypatch.setattr(paa, "fit_mixture", partial(paa.fit_mixture, iterations=3))  # a round is like the other 100
    monkeypatch.setattr(Learner, "_backward", without_backward)
    built = cell(config)
    batch, mode = built.loader.load(0), FakeTensorMode()
    first, second = (there(change(batch, step), mode) for step in (0, 1))
    with mode:
        detector = pretended(built.learner.detector, mode)
        method = replace(built.learner.method, criterion=pretended(built.learner.method.criterion, mode))
        learner = Learner("pretended", detector, method, config.schedule, 0, 80, 6)
        learner.detector.train()
        hooks = [
            *(Guard(learner, tmp_path, lazily=True), Idle(learner, lambda sentence: None)),
            *(Log(learner, tmp_path), Probes(learner, tmp_path, ProbeSet([batch]), 6)),
        ]
        with monkeypatch.context() as patched:
            patched.setattr(sending, "_pinned", lambda values: values)
            learner.learn([first], 0)
        with watched(monkeypatch):
            outcome, update = learner.learn([second], 1)
            for hook in hooks:
                hook.before_update(outcome, update)
            learner.step(1)
            for hook in hooks:
                hook.after_update(outcome, update)


ONE_OF_EACH = sorted(set(BY_CRITERION) - EXEMPT)
# Of the others one for each pair of assigner and quality head that no preset before has.
PAIRS = {(p.method.assigner.name, str(p.method.quality)): name for name, p in reversed(PRESETS.items())}
OTHERS = sorted(set(PAIRS.values()) - set(BY_CRITERION) - EXEMPT)


@pytest.mark.parametrize("name", [*ONE_OF_EACH, *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)])
def test_no_method_waits_in_a_step(name, monkeypatch, tmp_path) -> None:
    step_of(tiny(name, detector_for(name), amp="none", log_every=100), monkeypatch, tmp_path)


@pytest.mark.parametrize("name", [*ONE_OF_EACH, *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)])
def test_no_method_waits_for_images_of_several_sizes(name, monkeypatch, tmp_path) -> None:
    """The sizes of the step that is watched were never seen."""
    config = tiny(name, detector_for(name), amp="none", log_every=100)
    seed = sum(name.encode())
    step_of(config, monkeypatch, tmp_path, lambda batch, step: mixed(batch, seed + step))


@pytest.mark.parametrize("detector", ["retinanet-slim", "fcos-slim"])
@pytest.mark.parametrize("seed", range(4))
def test_no_sizes_make_it_wait(detector, seed, monkeypatch, tmp_path) -> None:
    """New ones and, of every other seed, those of the step before."""
    config = tiny("atss", detector, amp="none", log_every=100, batch_size=2 + 2 * seed)
    step_of(config, monkeypatch, tmp_path, lambda batch, step: mixed(batch, 10 * seed + step * (seed % 2)))


@pytest.mark.parametrize("changes", [{"ema": 0.9}, {"accumulate": 2, "batch_size": 2}, {"clip_grad": None}])
def test_no_schedule_makes_it_wait(changes, monkeypatch, tmp_path) -> None:
    step_of(tiny("iou", amp="none", log_every=100, **changes), monkeypatch, tmp_path)


@pytest.mark.parametrize("how", ["number", "places", "mask", "host", "copy", "made"])
def test_what_waits_is_found(how, monkeypatch, tmp_path) -> None:
    """The search finds each of the ways in which a rule can make the host wait."""
    with pytest.raises(Exception) as caught:
        step_of(own(tiny("iou", amp="none"), "Waits", how=how), monkeypatch, tmp_path)
    kind = type(caught.value).__name__
    assert kind in ("Waits", "DataDependentOutputException", "DynamicOutputShapeException"), caught.value
