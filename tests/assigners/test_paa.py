"""PAA: the mixture against scikit-learn, every separation against the vectors, losses against mmdet."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from assignbench.assigners.criteria import DenseCriterion
from assignbench.assigners.paa import PAA, fit_mixture
from assignbench.coders import coder_for
from assignbench.config.method import CoderConfig
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets, total
from assignbench.methods import PRESETS, build
from assignbench.priors import Priors
from tests.assigners.cases import anchors_of, objects_of, predictions_of, read, tensor
from tests.conftest import golden


@pytest.mark.parametrize("seed", range(6))
def test_mixture_equals_scikit_learn(seed) -> None:
    random = np.random.default_rng(seed)
    rows = [np.sort(random.gamma(2.0, 0.5, n) + (random.random(n) < 0.5) * 1.5) for n in (3, 9, 20, 45)]
    x, mask = torch.zeros(4, 45, dtype=torch.float64), torch.zeros(4, 45, dtype=torch.bool)
    for i, row in enumerate(rows):
        x[i, : len(row)], mask[i, : len(row)] = torch.from_numpy(row), True
    ours = fit_mixture(x, mask)
    for i, row in enumerate(rows):
        start = np.array([[row.min()], [row.max()]])
        theirs = GaussianMixture(2, weights_init=[0.5, 0.5], means_init=start, precisions_init=np.ones((2, 1, 1)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.fit(row[:, None])
        np.testing.assert_allclose(ours.means[i].numpy(), theirs.means_[:, 0], rtol=1e-9)
        np.testing.assert_allclose(ours.variances[i].numpy(), theirs.covariances_[:, 0, 0], rtol=1e-9)
        np.testing.assert_allclose(ours.weights[i].numpy(), theirs.weights_, rtol=1e-9)
        assert ours.iterations[i].item() == theirs.n_iter_
        np.testing.assert_array_equal(ours.component[i, : len(row)].numpy(), theirs.predict(row[:, None]))


def test_scores_by_hand() -> None:
    """Eqs. (1)-(3): p = .5 for two classes, a perfect box: focal of the right and of the other class, no GIoU loss."""
    predictions = Predictions(torch.zeros(1, 2), torch.zeros(1, 4), torch.tensor([[0.0, 0, 10, 10]]))
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    found = PAA().scores(predictions, objects, torch.tensor([[0]]))
    expected = 0.25 * 0.25 * math.log(2) + 0.75 * 0.25 * math.log(2)
    assert found.item() == pytest.approx(expected)


def test_scores_of_positives_and_negatives_by_hand() -> None:
    """Eqs. (1)-(3) and (7): with cross-entropy and the IoU loss the training loss is -ln of the scores' product.

    One class. The positive has p = .6 and IoU 1/2: S = .6 x .5^lambda. The negative has p = .2: S_neg = .8.
    """
    anchors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    priors = Priors(anchors, strides=torch.ones(2), kind="anchor")
    boxes = torch.tensor([[0.0, 0, 10, 5], [50, 50, 60, 60]])
    predictions = Predictions(torch.logit(torch.tensor([[0.6], [0.2]])), torch.zeros(2, 4), boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    index = torch.tensor([[0, -1]])
    assignment = Assignment(Targets.hard(index), Targets.hard(index))
    for power in (1.0, 1.3):
        criterion = DenseCriterion(cls="bce", box="iou", box_weight=power)
        losses = criterion(priors, predictions, objects, assignment, Context())
        positive, negative = 0.6 * 0.5**power, 1 - 0.2
        assert math.exp(-total(losses).item()) == pytest.approx(positive * negative, rel=1e-5)
    assert math.exp(-losses["loss_box"].value().item() / 1.3) == pytest.approx(0.5, rel=1e-5)  # Eq. (2)


def test_separation_by_hand() -> None:
    """Two clear groups of losses: the three low ones are positive, the three high ones negative."""
    loss = torch.tensor([[0.10, 0.11, 0.12, 2.0, 2.1, 2.2]])
    owner = torch.zeros(1, 6, dtype=torch.long)
    priors = Priors(torch.zeros(6, 4), strides=torch.ones(6), kind="anchor")

    def index(**parameters: object) -> list[int]:
        return PAA(**parameters).separate(priors, owner, loss, 1).cls.index[0].tolist()

    assert index(separation="a") == [0, 0, 0, -1, -1, -1]
    assert index(separation="c") == [0, 0, -1, -1, -1, -1]
    assert index(separation="b") == [0, 0, -2, -2, -1, -1]
    assert index(separation="count", count=2) == [0, 0, -1, -1, -1, -1]
    assert index(separation="score", score_above=0.88) == [0, 0, 0, -1, -1, -1]
    assert index(topk=1) == [0, -1, -1, -1, -1, -1]
    assert index(topk=1, lone="negative") == [-1] * 6


SCHEMES = {
    "a": {"separation": "a"},
    "a_posterior": {"separation": "a_posterior"},
    "b": {"separation": "b"},
    "c": {"separation": "c"},
    "d": {"separation": "d"},
    "d_alt": {"separation": "d_alt"},
    "fnp5": {"separation": "count", "count": 5},
    "fnp10": {"separation": "count", "count": 10},
    "fnp20": {"separation": "count", "count": 20},
    "fsr010": {"separation": "score", "score_above": 0.1},
    "fsr020": {"separation": "score", "score_above": 0.2},
    "fsr030": {"separation": "score", "score_above": 0.3},
    "fnp20_allanchors": {"separation": "count", "count": 20, "all_first": True},
    "fsr010_candidates": {"separation": "score", "score_above": 0.1, "all_first": False},
}


BY_MIXTURE = ("a", "a_posterior", "b", "c", "d", "d_alt")


def levels(case) -> Priors:
    sizes = tuple(int(n) for n in case["level_counts"])
    return Priors(torch.zeros(sum(sizes), 4), strides=torch.ones(sum(sizes)), level_sizes=sizes, kind="anchor")


@pytest.mark.parametrize("path", golden("paa_schemes/*.npz"))
@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_golden_separations(path, scheme) -> None:
    """Every scheme, exact wherever the file says that rounding does not decide."""
    case = read(path)
    owner, loss = tensor(case, "first_pass")[None], tensor(case, "anchor_loss")[None]
    found = PAA(**SCHEMES[scheme]).separate(levels(case), owner, loss, len(case["gt_boxes"])).cls.index[0].numpy()
    compared = case["out_stable"] if scheme in BY_MIXTURE else np.ones(len(found), bool)
    np.testing.assert_array_equal(found[compared], case[f"out_assigned__{scheme}"][compared])


@pytest.mark.parametrize("path", golden("paa_schemes/*.npz"))
def test_golden_mixtures(path) -> None:
    """Candidates in their order, components, densities, peaks, and the mixtures themselves to 1e-9."""
    case = read(path)
    count = len(case["gt_boxes"])
    owner, loss = tensor(case, "first_pass")[None], tensor(case, "anchor_loss")[None]
    rule = PAA()
    told = rule.separate(levels(case), owner, loss, count).diagnostics
    told = {name: value[0, :count].numpy() for name, value in told.items()}
    np.testing.assert_array_equal(told["candidates"], case["out_num_candidates"])
    for ours, theirs in (("weight", "weights"), ("mean", "means"), ("variance", "vars")):
        expected = case[f"out_gmm_{theirs}"]
        np.testing.assert_allclose(told[f"mixture_{ours}"], expected.reshape(-1, 2), rtol=1e-9, atol=1e-12)
    fitted = told["candidates"] > 1
    np.testing.assert_array_equal(told["mixture_iterations"][fitted], case["out_gmm_iters"][fitted])
    assert np.isnan(told["mixture_iterations"][~fitted]).all()
    prior, values, mask = rule._candidates(levels(case), owner, loss, max(1, count))
    mixture = fit_mixture(values, mask)
    for g in range(count):
        number = int(told["candidates"][g])
        np.testing.assert_array_equal(prior[0, g, :number].numpy(), case["out_cand_sorted_idx"][g, :number])
        if number > 1:
            shown = mixture.component[0, g, :number].numpy()
            stable = case["out_stable"][prior[0, g, :number].numpy()]
            np.testing.assert_array_equal(shown[stable], case["out_cand_component"][g, :number][stable])
            density = mixture.log_density[0, g, :number].numpy()
            np.testing.assert_allclose(density, case["out_cand_logdens"][g, :number], rtol=1e-9, atol=1e-9)


SPREAD = 5e-3  # losses of an object that lie closer together than this leave mmdet's labels to rounding


def open_cases(
    rules: PAA, priors: Priors, owner: torch.Tensor, loss: torch.Tensor, width: int
) -> tuple[set[int], set[int]]:
    """Candidates whose label rounding decides (golden README): of objects one of whose components holds exactly two
    samples, whose densities are equal; and of objects whose losses are nearly equal.
    """
    prior, values, mask = rules._candidates(priors, owner, loss, max(1, width))
    component = fit_mixture(values, mask).component
    tied: set[int] = set()
    flat: set[int] = set()
    for g in range(mask.shape[1]):
        own = mask[0, g]
        if not own.any():
            continue
        sizes = [int((own & (component[0, g] == c)).sum()) for c in (0, 1)]
        told = values[0, g][own]
        if 2 in sizes:
            tied |= set(prior[0, g][own].tolist())
        if float(told.max() - told.min()) < SPREAD:
            flat |= set(prior[0, g][own].tolist())
    return tied, flat


def check_labels(found: np.ndarray, expected: np.ndarray, owner: np.ndarray, tied: set[int], flat: set[int]) -> None:
    """Equal, but for one prior per object that is tied in a component of two, and for nearly equal losses."""
    differing = [a for a in np.flatnonzero(found != expected).tolist() if a not in flat]
    assert set(differing) <= tied
    assert len(set(owner[differing].tolist())) == len(differing)


MMDET = PRESETS["paa_mmdet"].method


@pytest.mark.parametrize("path", golden("paa/mmdet_given_*.npz"))
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_golden_mmdet_rules(path, covariance) -> None:
    """Scores are one number each, so that both kinds of covariance are the same mixture."""
    case = read(path)
    rules = replace(build(MMDET).assigner, zero_overlap="force")
    priors, objects = anchors_of(case), objects_of(case)
    owner, loss = rules.first_pass(priors, objects), tensor(case, "anchor_loss")[None]
    np.testing.assert_array_equal(owner[0].numpy(), case["out_first_pass"])
    count = len(case["gt_boxes"])
    found = rules.separate(priors, owner, loss, count).cls.index[0].numpy()
    expected = np.where(case["out_tie_sensitive"], found, case[f"out_assigned__{covariance}"])
    tied, flat = open_cases(rules, priors, owner, loss, count)
    check_labels(found, expected, owner[0].numpy(), tied, flat)
    if not (case["out_tie_sensitive"].any() or tied or flat):
        assert int((found >= 0).sum()) == int(case[f"out_num_pos__{covariance}"])


@pytest.mark.parametrize("path", golden("paa/mmdet_full_*.npz"))
def test_golden_mmdet_losses_and_gradients(path) -> None:
    """From logits and deltas to labels, scores, all three losses and their gradients, on mmdet's own labels."""
    case = read(path)
    built = build(MMDET)
    rules = replace(built.assigner, zero_overlap="force")
    priors, objects = anchors_of(case), objects_of(case)
    predictions = predictions_of(case, quality="iou_logits")
    owner = rules.first_pass(priors, objects)
    first = owner[0].numpy() >= 0
    np.testing.assert_array_equal(owner[0].numpy(), case["out_first_pass"])
    scores = rules.scores(predictions, objects, owner)
    np.testing.assert_allclose(scores[0].numpy()[first], case["out_anchor_loss"][first], rtol=1e-4, atol=1e-5)
    found = rules(priors, predictions, objects).cls.index[0].numpy()
    tied, flat = open_cases(rules, priors, owner, scores, len(case["gt_boxes"]))
    check_labels(found, case["out_assigned"], owner[0].numpy(), tied, flat)
    targets = Targets.hard(tensor(case, "out_assigned")[None])
    logits, deltas, quality = (tensor(case, n).requires_grad_() for n in ("cls_logits", "deltas", "iou_logits"))
    again = Predictions(logits, deltas, coder_for(priors).decode(priors, deltas), quality, "iou")
    terms = built.criterion(priors, again, objects, Assignment(targets, targets), Context())
    for key, name in (("loss_cls", "cls"), ("loss_box", "reg"), ("loss_quality", "iou")):
        expected = float(case[f"out_loss_{name}"])
        # Where no positive touches its object, the weights sum to 0, and mmdet's floors leave next to nothing.
        touching = key != "loss_box" or terms[key].count.item() > 0 or expected == 0
        assert terms[key].value().item() == pytest.approx(expected, rel=1e-3, abs=1e-6 if touching else 1e-3)
    total(terms).backward()
    for leaf, name in ((logits, "out_grad_cls"), (deltas, "out_grad_deltas"), (quality, "out_grad_iou")):
        expected = case[name]
        scale = max(abs(expected).max(), 1e-3)
        np.testing.assert_allclose(leaf.grad.numpy(), expected, atol=1e-3 * scale, err_msg=name)


def test_no_object_at_all() -> None:
    """`first_pass`, `scores` and `separate` by themselves, with a batch that has no object."""
    priors = Priors(torch.tensor([[0.0, 0, 10, 10], [5, 5, 20, 20]]), strides=torch.ones(2), kind="anchor")
    none = Objects(torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.long))
    predictions = Predictions(torch.zeros(1, 2, 3), boxes=priors.boxes[None])
    for separation in ("c", "count", "score"):
        rule = PAA(separation=separation)
        owner = rule.first_pass(priors, none)
        assert owner.tolist() == [[-1, -1]]
        loss = rule.scores(predictions, none, owner)
        assert torch.isfinite(loss).all()
        assert rule.separate(priors, owner, loss, 0).cls.index.tolist() == [[-1, -1]]


def test_released_pixels_reach_the_first_pass() -> None:
    """A box of 4 x 4 px in an object of 4 x 8 has IoU 1/2; counted inclusively they are 5 x 5 and 5 x 9: IoU 5/9."""
    objects = Objects(torch.tensor([[0.0, 0, 4, 8]]), torch.tensor([0]))
    found = {}
    for convention in ("none", "paa"):
        priors = Priors(
            torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 8]]),
            strides=torch.ones(2),
            kind="anchor",
            coding=CoderConfig(legacy_plus_one=convention),
        )
        found[convention] = PAA(overlap=0.53).first_pass(priors, objects).tolist()
    assert found == {"none": [[-1, 0]], "paa": [[0, 0]]}


def test_presets_differ_from_their_baseline_in_the_assigner_alone() -> None:
    named = [p for name, p in PRESETS.items() if name.startswith("paa") and p.baseline]
    assert {p.name for p in named} >= {"paa", "paa_voting", "paa_mmdet", "paa_fixed", "paa_range", "paa_centerness"}
    for preset in named:
        base = PRESETS[preset.baseline].method
        changes = {"name": preset.name, "preset": preset.name, "assigner": preset.method.assigner}
        assert base.model_copy(update=changes) == preset.method


def test_the_vectors_say_what_they_were_made_with() -> None:
    """The parameters of the preset are those of the vectors."""
    for path in golden("paa/mmdet_full_rnd5.npz"):
        if hasattr(path, "marks") and path.values[0] is None:
            pytest.skip("no golden vectors")
        told = json.loads(str(read(path.values[0])["meta_json"]))
        rule, losses = MMDET.assigner.parameters, MMDET.criterion.parameters
        assert (told["reg_weight"], told["iou_weight"]) == (losses["box_weight"], losses["quality_weight"])
        assert told["reg_weight"] == rule["giou_weight"]
        assert told["topk"] == PAA().topk
