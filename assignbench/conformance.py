"""The contract as a list of checks: `python -m assignbench.conformance my_module:MyAssigner` runs them.

Every registered assigner is put through the same checks by the tests, and so is every criterion with every assigner
that it can be composed with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace

import torch
from torch import Tensor

from assignbench import select
from assignbench.assigners import ASSIGNERS, Assigner, PerImageAssigner
from assignbench.assigners.criteria import Criterion
from assignbench.config.method import PriorKind, QualityKind
from assignbench.conformance_cases import (
    Case,
    make_case,
    padded_case,
    random_boxes,
    unpadded,
    without_room,
)
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Objects, Targets, Term, total
from assignbench.errors import BrokenRule, InputError


class ConformanceError(AssertionError):
    """An assigner breaks the contract; the message says what was expected and what came."""


Build = Callable[[], Assigner]
Check = Callable[[Build, str], None]
CHECKS: dict[str, Check] = {}


def check(run: Check) -> Check:
    """Decorator: enters a check under its name."""
    CHECKS[run.__name__] = run
    return run


def assign(build: Build, case: Case) -> Assignment:
    """The assignment of a case, by a new instance."""
    return build()(case.priors, case.predictions, case.objects, case.context)


def expect(condition: bool, message: str) -> None:
    """Raises ConformanceError unless the condition holds."""
    if not condition:
        raise ConformanceError(message)


def verify(case: Case, assignment: Assignment) -> None:
    """Shapes, types and ranges of an assignment."""
    shape = case.predictions.cls_logits.shape[:2]
    for task in ("cls", "box"):
        t: Targets = getattr(assignment, task)
        expect(t.index.dtype == torch.int64, f"{task}.index must be int64, is {t.index.dtype}")
        for name in ("index", "weight", "quality"):
            found = getattr(t, name).shape
            expect(found == shape, f"{task}.{name} must have shape {tuple(shape)}, has {tuple(found)}")
        expect(bool(torch.isfinite(t.weight).all() and (t.weight >= 0).all()), f"{task}.weight must be finite and >= 0")
        expect(bool(torch.isfinite(t.quality).all()), f"{task}.quality must be finite")
        low, high = int(t.index.min()), int(t.index.max())
        width = case.objects.labels.shape[1]
        expect(low >= IGNORE, f"{task}.index holds {low}, below IGNORE")
        expect(high < max(width, 1) and (width > 0 or high < 0), f"{task}.index names object {high} of {width}")
        if width:
            named = case.objects.valid.gather(1, t.index.clamp(min=0)) | (t.index < 0)
            expect(bool(named.all()), f"{task}.index names an object that is padding")
    _verify_diagnostics(assignment, shape, max(1, width))


def _verify_diagnostics(assignment: Assignment, shape: Sequence[int], width: int) -> None:
    images, priors = shape
    for name, value in assignment.diagnostics.items():
        fits = value.ndim == 1 or (value.ndim in (2, 3) and value.shape[1] == width)
        allowed = f"[{images}], [{images}, {width}] or [{images}, {width}, N]"
        expect(len(value) == images and fits, f"diagnostics '{name}' must be {allowed}, is {list(value.shape)}")
    for name, value in assignment.prior_diagnostics.items():
        fits = value.ndim in (2, 3) and value.shape[:2] == (images, priors)
        allowed = f"[{images}, {priors}] or [{images}, {priors}, N]"
        expect(fits, f"prior_diagnostics '{name}' must be {allowed}, is {list(value.shape)}")


def same(one: Assignment, other: Assignment, what: str) -> None:
    """Raises unless two assignments agree exactly in index and to 1e-6 in weight and quality."""
    for task in ("cls", "box"):
        a, b = getattr(one, task), getattr(other, task)
        differing = int((a.index != b.index).sum())
        expect(differing == 0, f"{what}: {task}.index differs for {differing} priors")
        for name in ("weight", "quality"):
            close = torch.allclose(getattr(a, name), getattr(b, name), atol=1e-6)
            expect(close, f"{what}: {task}.{name} differs")


def _ordinary(device: str) -> Case:
    return make_case([random_boxes(5, 1), random_boxes(2, 2), random_boxes(7, 3)], device=device)


@check
def ordinary_batches(build: Build, device: str) -> None:
    """Shapes, types and ranges, on all kinds of priors that the rule works on."""
    for kind in build().needs.priors:
        case = make_case([random_boxes(5, 1), random_boxes(2, 2)], kind=kind, device=device)
        verify(case, assign(build, case))


@check
def images_without_objects(build: Build, device: str) -> None:
    """No object in one image, and in none of the batch: nothing is positive there, nothing fails."""
    none = torch.zeros(0, 4)
    for boxes in ([random_boxes(3, 1), none], [none, none]):
        case = make_case(boxes, device=device)
        result = assign(build, case)
        verify(case, result)
        empty = [i for i, b in enumerate(boxes) if not len(b)]
        expect(bool((result.cls.index[empty] < 0).all()), "an image without objects has a positive prior")


@check
def one_object(build: Build, device: str) -> None:
    """A single object that priors overlap well."""
    case = make_case([torch.tensor([[16.0, 16, 40, 40]])], device=device)
    verify(case, assign(build, case))


@check
def more_objects_than_priors(build: Build, device: str) -> None:
    """Six priors, nine objects."""
    case = make_case([random_boxes(9, 4)], device=device)
    keep = torch.arange(6, device=device)
    cut = case.predictions.map(lambda tensor: tensor[:, keep])
    case = Case(case.priors.take(keep, (6,)), cut, case.objects, case.context)
    verify(case, assign(build, case))


@check
def difficult_objects(build: Build, device: str) -> None:
    """Identical boxes, boxes without area, one that touches no prior, one larger than the image."""
    box = [10.0, 10, 30, 34]
    boxes = torch.tensor([box, box, [5, 5, 5, 5], [500, 500, 520, 520], [-40, -40, 120, 120], [20, 8, 21, 60]])
    case = make_case([boxes], device=device)
    verify(case, assign(build, case))


@check
def untouched_objects(build: Build, device: str) -> None:
    """An object that touches no prior gets none, and takes none from the others."""
    near, far = [10.0, 10, 30, 34], [500.0, 500, 520, 520]
    case = make_case([torch.tensor([near, far])], device=device)
    alone = replace(case, objects=Objects(case.objects.boxes[:, :1], case.objects.labels[:, :1]))
    result, other = assign(build, case), assign(build, alone)
    for task in ("cls", "box"):
        index = getattr(result, task).index
        expect(bool((index != 1).all()), f"{task}: an object that touches no prior got positives")
        expect(bool((index == getattr(other, task).index).all()), f"{task}: an object far away changed the others")


@check
def half_precision(build: Build, device: str) -> None:
    """Predictions in bfloat16 and float16, also under autocast: finite, and the same as their float32 copies."""
    case = _ordinary(device)
    p = case.predictions
    for dtype in (torch.bfloat16, torch.float16):
        half = p.map(lambda tensor, dtype=dtype: tensor.to(dtype))  # type: ignore[misc]
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            result = assign(build, replace(case, predictions=half))
        verify(case, result)
        same(result, assign(build, replace(case, predictions=half.detached())), f"{dtype} against float32")


@check
def batch_is_a_list_of_images(build: Build, device: str) -> None:
    """A batch gives what its images give alone, whatever the padding."""
    case = _ordinary(device)
    whole = assign(build, case)
    for i in range(3):
        alone = assign(build, without_room(case.images(i, i + 1)))
        part = Assignment(_image(whole.cls, i), _image(whole.box, i))
        same(part, alone, f"image {i} of a batch against the image alone")


def _image(t: Targets, i: int, keep: Tensor | None = None) -> Targets:
    chosen = torch.arange(t.index.shape[1], device=t.index.device) if keep is None else keep
    return Targets(t.index[i : i + 1, chosen], t.weight[i : i + 1, chosen], t.quality[i : i + 1, chosen])


@check
def deterministic_and_pure(build: Build, device: str) -> None:
    """Two calls give the same, keep no state, and leave their inputs as they were."""
    case = _ordinary(device)
    p = case.predictions
    given = (p.cls_logits, p.boxes, case.objects.boxes, case.priors.boxes)
    before = [t.clone() for t in given]
    instance = build()
    first = instance(case.priors, p, case.objects, case.context)
    instance(case.priors, make_case([random_boxes(4, 9)], device=device).predictions, case.objects.images(0, 1))
    same(first, instance(case.priors, p, case.objects, case.context), "a second call")
    untouched = all(torch.equal(a, b) for a, b in zip(before, given, strict=True))
    expect(untouched, "the assigner changed its inputs")
    expect(not any(t.requires_grad for t in (first.cls.weight, first.box.quality)), "targets carry a gradient")


@check
def chunked_equals_unchunked(build: Build, device: str) -> None:
    """Working through the batch in slices of images, and of objects, changes nothing."""
    case = _ordinary(device)
    whole = assign(build, case)
    instance = copy(build())  # what `build` returned may be kept by the caller, and stays as it is
    object.__setattr__(instance, "MAX_PAIRS", 1)
    same(instance(case.priors, case.predictions, case.objects, case.context), whole, "image by image")
    usual = dict(select.PAIRS)
    select.PAIRS[torch.device(device).type] = 1
    try:
        same(assign(build, case), whole, "object by object")
    finally:
        select.PAIRS.clear()
        select.PAIRS.update(usual)


@check
def padding_changes_nothing(build: Build, device: str) -> None:
    """A batch of mixed sizes gives what its unpadded images give; priors in the padding learn nothing."""
    case = padded_case(device=device)
    for hw in (case.context.image_hw, (96, 96)):  # sizes per image, or known by the masks alone
        whole = assign(build, replace(case, context=replace(case.context, image_hw=hw)))
        for i in range(len(case.objects.labels)):
            alone, keep = unpadded(case, i)
            one = replace(alone.context, image_hw=hw if hw == (96, 96) else alone.context.image_hw)
            expected = assign(build, replace(alone, context=one))
            inner = Assignment(_image(whole.cls, i, keep), _image(whole.box, i, keep))
            same(inner, expected, f"image {i} of a padded batch against the image alone")
            _same_bags(whole, i, keep, expected)
        outside = case.priors.valid
        expect(outside is not None and bool((whole.cls.index[~outside] == IGNORE).all()), "padding is not ignored")
        expect(outside is not None and bool((whole.box.index[~outside] == BACKGROUND).all()), "padding learns a box")
        for task in ("cls", "box"):
            weight = getattr(whole, task).weight
            expect(outside is not None and not bool(weight[~outside].any()), f"{task}: padding has weight")


def _same_bags(whole: Assignment, i: int, keep: Tensor, alone: Assignment) -> None:
    if whole.bags is None or alone.bags is None:
        expect(whole.bags is alone.bags, "bags come and go with the padding")
        return
    count, depth = alone.bags.prior.shape[1:]
    mask = alone.bags.mask[0]
    prior, weight = whole.bags.prior[i, :count, :depth], whole.bags.weight[i, :count, :depth]
    expect(bool(torch.equal(whole.bags.mask[i, :count, :depth], mask)), f"image {i}: bags differ in size")
    expect(bool((prior == keep[alone.bags.prior[0]])[mask].all()), f"image {i}: bags differ")
    expect(
        bool(torch.allclose(weight[mask], alone.bags.weight[0][mask], atol=1e-6)), f"image {i}: weights of bags differ"
    )


@check
def orphans_are_adopted(build: Build, device: str) -> None:
    """With `orphan` = "best_prior" nobody has less than before, and an object that had nothing may have one prior."""
    instance = build()
    case = make_case([random_boxes(7, 31), random_boxes(3, 32)], device=device)
    before = instance(case.priors, case.predictions, case.objects, case.context)
    try:
        adopting = replace(instance, orphan="best_prior")
    except ValueError:
        return  # the rule refuses the word, since it cannot leave an orphan
    after = adopting(case.priors, case.predictions, case.objects, case.context)
    verify(case, after)
    for task in ("cls", "box"):
        owned = [_owners(getattr(result, task).index, case.objects.labels.shape[1]) for result in (before, after)]
        expect(not bool((owned[0] & ~owned[1]).any()), f"{task}: adopting an orphan orphaned another object")


def _owners(index: Tensor, width: int) -> Tensor:
    return (index.unsqueeze(1) == torch.arange(width, device=index.device)[:, None]).any(dim=2)


@check
def order_of_objects(build: Build, device: str) -> None:
    """Without ties, the order in which objects are listed means nothing."""
    case = make_case([random_boxes(6, 11)], device=device)
    order = torch.tensor([4, 0, 5, 2, 1, 3], device=device)
    o = case.objects
    shuffled = replace(case, objects=Objects(o.boxes[:, order], o.labels[:, order], o.valid[:, order]))
    result, other = assign(build, case), assign(build, shuffled)
    for task in ("cls", "box"):
        index = getattr(other, task).index
        back = torch.where(index >= 0, order[index.clamp(min=0)], index)
        differing = int((back != getattr(result, task).index).sum())
        expect(differing == 0, f"{task}.index changes for {differing} priors when objects are listed in another order")


@check
def ties_go_to_the_lowest_index(build: Build, device: str) -> None:
    """Priors listed twice: the first of two equal ones is at least as positive as the second."""
    case = make_case([torch.tensor([[16.0, 16, 40, 40]])], device=device)
    n = len(case.priors)
    twice = torch.arange(n, device=device).repeat_interleave(2)
    p, q = case.predictions, case.priors
    sizes = tuple(2 * s for s in q.level_sizes)
    doubled, repeated = q.take(twice, sizes), p.map(lambda tensor: tensor[:, twice])
    result = assign(build, Case(doubled, repeated, case.objects, case.context))
    for task in ("cls", "box"):
        positive = (getattr(result, task).index >= 0).view(1, n, 2)
        worse = int((positive[..., 1] & ~positive[..., 0]).sum())
        expect(worse == 0, f"{task}: of {worse} pairs of equal priors the second is positive and the first is not")


@check
def no_host_synchronisation(build: Build, device: str) -> None:
    """The rule can be traced whole (CPU) or runs with CUDA's synchronisation checks set to raise."""
    case = _ordinary(device)
    instance = build()
    if torch.device(device).type == "cuda":
        instance(case.priors, case.predictions, case.objects, case.context)
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            instance(case.priors, case.predictions, case.objects, case.context)
        except RuntimeError as problem:
            raise ConformanceError(f"waits for the host: {problem}") from problem
        finally:
            torch.cuda.set_sync_debug_mode(before)
        return

    def traced() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            result = instance.assign(case.priors, case.predictions.detached(), case.objects, case.context)
        return result.cls.index, result.box.index

    torch._dynamo.reset()
    try:
        cls, box = torch.compile(traced, fullgraph=True, backend="eager")()
    except Exception as problem:
        lines = str(problem).strip().splitlines()
        raise ConformanceError(f"cannot be traced whole, so it waits for the host: {lines[0]}") from problem
    eager = instance(case.priors, case.predictions, case.objects, case.context)
    expect(
        bool(torch.equal(cls, eager.cls.index) and torch.equal(box, eager.box.index)), "traced and eager code differ"
    )


def fits(assigner: Assigner, criterion: Criterion) -> bool:
    """Whether there is any detector that an assigner and a criterion can share."""
    return bool(fitting(assigner, criterion))


def fitting(assigner: Assigner, criterion: Criterion) -> list[tuple[PriorKind, QualityKind | None]]:
    """Kinds of priors and of quality heads that suit both; none if the criterion needs what the assigner lacks."""
    a, c = assigner.needs, criterion.needs
    if (c.bags and "bags" not in assigner.gives) or (c.soft and "soft" not in assigner.gives):
        return []
    kinds = [kind for kind in a.priors if kind in c.priors]
    return [(kind, quality) for kind in kinds for quality in a.quality if quality in c.quality]


def losses_add_up(build: Build, criterion: Criterion) -> None:
    """A padded batch costs what its unpadded images cost, and what its halves cost: 1e-6, summed Term by Term."""
    assigner = build()
    for kind, quality in fitting(assigner, criterion):
        case = padded_case(kind=kind, quality=quality)
        whole = _terms(assigner, criterion, case)
        images = [_terms(assigner, criterion, unpadded(case, i)[0]) for i in range(len(case.objects.labels))]
        halves = [_terms(assigner, criterion, _part(case, *part)) for part in ((0, 2), (2, 4))]
        for what, parts in (("its unpadded images", images), ("its halves", halves)):
            summed = {name: sum((p[name] for p in parts[1:]), parts[0][name]) for name in parts[0]}
            expect(set(summed) == set(whole), f"{kind}, {quality}: {what} have other losses than the batch")
            for name in (*whole, "total"):
                ours, theirs = _value(whole, name), _value(summed, name)
                close = abs(ours - theirs) <= 1e-6 * max(1.0, abs(ours))
                expect(close, f"{kind}, {quality}: {name} is {ours} for a padded batch, {theirs} for {what}")


def _part(case: Case, start: int, stop: int) -> Case:
    part = case.images(start, stop)
    valid = case.priors.valid
    return replace(part, priors=replace(case.priors, valid=None if valid is None else valid[start:stop]))


def _terms(assigner: Assigner, criterion: Criterion, case: Case) -> dict[str, Term]:
    given = (case.priors, case.predictions, case.objects)
    found: dict[str, Term] = criterion(*given, assigner(*given, case.context), case.context)
    return found


def _value(terms: dict[str, Term], name: str) -> float:
    return float((total(terms) if name == "total" else terms[name].value()).detach())


def run_checks(build: Build, device: str = "cpu") -> dict[str, str]:
    """Runs all checks; returns the failed ones with their messages. Exempt checks are left out (see `exempt`)."""
    failed = {}
    for name, run in CHECKS.items():
        if name in exempt(build()):
            continue
        try:
            run(build, device)
        except ConformanceError as problem:
            failed[name] = str(problem)
        except BrokenRule as problem:
            failed[name] = problem.fault
        except Exception as problem:
            failed[name] = f"{type(problem).__name__}: {problem}"
    return failed


def exempt(assigner: Assigner) -> tuple[str, ...]:
    """Checks that an assigner declares not to meet (`exempt_from`); per-image ones loop over images by nature."""
    declared: tuple[str, ...] = getattr(assigner, "exempt_from", ())
    return (*declared, "no_host_synchronisation") if isinstance(assigner, PerImageAssigner) else declared


def main(arguments: Sequence[str]) -> int:
    """Prints one line per check; returns 0 if all hold, 2 where there is nothing to check."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stdout.write("usage: python -m assignbench.conformance NAME | my_module:MyAssigner\n")
        return 2
    name = arguments[0]
    try:
        left_out = exempt(ASSIGNERS.build(name))
    except InputError as problem:
        sys.stderr.write(f"conformance: {problem}\n")
        return 2
    failed = run_checks(lambda: ASSIGNERS.build(name))
    for check_name in CHECKS:
        state = "exempt" if check_name in left_out else "FAILED" if check_name in failed else "ok"
        sys.stdout.write(f"{state:7} {check_name}{': ' + failed[check_name] if check_name in failed else ''}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
