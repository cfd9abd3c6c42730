"""Words that are not known are refused by `plan`: made from the registries, so that a new parameter is tested too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from assignbench import methods
from assignbench.assigners import ASSIGNERS
from assignbench.assigners.criteria import CRITERIA
from assignbench.cli import main
from assignbench.config.detector import DETECTORS, DetectorSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import CoderConfig, HeadInit, MethodConfig, Nms, Voting
from assignbench.config.recipe import Schedule
from assignbench.config.words import Word, words_of
from assignbench.study.spec import Claim, DataEntry, DetectorEntry, MethodEntry, StudySpec
from tests.study.perturb import walk, wrong_values

FAMILIES = {spec.family: name for name, spec in reversed(DETECTORS.items())}
Place = tuple[str | int, ...]


def study(**changes: Any) -> dict[str, Any]:
    """A sound study of one cell."""
    return {
        "study": "words",
        "answers": "nothing",
        "cost": "nothing",
        "expect": "nothing",
        "detectors": ["retinanet-slim"],
        "methods": ["iou"],
        "data": {"name": "shapes"},
        "schedule": {"steps": 4},
        **changes,
    }


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys) -> Callable[..., list[str]]:
    """Plans a study that must be refused; what is wrong with the refusal, in words (nothing if it is right)."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "study.yaml"

    def check(content: dict[str, Any], *needed: str, about: object = "") -> list[str]:
        path.write_text(yaml.safe_dump(content))
        code = main(["plan", str(path), "--out", str(tmp_path / "runs")])
        told = capsys.readouterr()
        problems = [f"{about}: exit code {code} instead of 2"] if code != 2 else []
        missing = [n for n in needed if n not in told.err] if code == 2 else []
        problems += [f"{about}: the message does not say {n!r}: {told.err.strip()[-400:]}" for n in missing]
        if "Traceback" in told.err or [p for p in tmp_path.iterdir() if p != path]:
            problems.append(f"{about}: a traceback, or something was written")
        return problems

    return check


def placed(content: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """The study with a value at a place; mappings on the way are made."""
    target: Any = content
    for step in place[:-1]:
        target = target[step] if isinstance(step, int) else target.setdefault(step, {})
    target[place[-1]] = value
    return content


def perturbed(
    refused: Callable[..., list[str]], words: tuple[Word, ...], base: Callable[[], dict[str, Any]], at: Place
) -> int:
    """Every parameter of `words` at a place of the study, every wrong value and a wrong name; how many were tried."""
    problems, tried = [], 0
    for place, word in walk(words):
        whole = (*at, *place)
        for wrong in wrong_values(word):
            tried += 1
            name = place[-1] if wrong.near or wrong.what != "no mapping" else ""
            problems += refused(
                placed(base(), whole, wrong.value), name, wrong.near, about=(whole, wrong.what, wrong.value)
            )
        if word.name not in ("name", "parameters"):
            tried += 1
            unknown = (*whole[:-1], f"{word.name}x")
            near = f"did you mean '{word.name}'?" if len(word.name) > 2 else ""
            problems += refused(placed(base(), unknown, 1), f"{word.name}x", near, about=(unknown, "unknown name"))
    assert not problems, f"{len(problems)} of {tried}:\n" + "\n".join(problems[:20])
    return tried


def test_the_sound_study_is_planned(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study()))
    assert main(["plan", "study.yaml"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize(("part", "name"), [("assigner", n) for n in ASSIGNERS] + [("criterion", n) for n in CRITERIA])
def test_every_parameter_of_every_part(refused, part, name) -> None:
    words = {"assigner": ASSIGNERS, "criterion": CRITERIA}[part].words(name)
    for word in words.values():
        assert word.options or word.kinds or word.item, f"{part} '{name}': '{word.name}' has no annotation to check"
        assert set(word.kinds) <= {bool, int, float, str}, f"{part} '{name}': '{word.name}' is {word.kinds}"
    tried = perturbed(
        refused,
        tuple(words.values()),
        lambda: study(methods=[{"name": "probe", "preset": "iou", part: {"name": name}}]),
        ("methods", 0, part),
    )
    assert tried > 3 * len(words)


@pytest.mark.parametrize(
    ("key", "model"), [("nms", Nms), ("voting", Voting), ("head_init", HeadInit), ("coder", CoderConfig)]
)
def test_every_entry_of_a_method(refused, key, model) -> None:
    base = lambda: study(methods=[{"name": "probe", "preset": "paa"}])  # noqa: E731
    assert perturbed(refused, words_of(model), base, ("methods", 0, key)) > 10


def test_every_word_of_a_method(refused) -> None:
    words = {w.name: w for w in words_of(MethodConfig)}
    own = tuple(words[name] for name in ("quality", "ranking", "floor_on"))
    base = lambda: study(methods=[{"name": "probe", "preset": "paa"}])  # noqa: E731
    assert perturbed(refused, own, base, ("methods", 0)) > 10
    rest = tuple(w for w in words_of(MethodEntry) if w.name in ("name", "preset", "baseline", "detectors"))
    assert perturbed(refused, rest, base, ("methods", 0)) > 5


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_parameter_of_a_detector(refused, family) -> None:
    name = FAMILIES[family]
    base = lambda: study(detectors=[{"name": name}], methods=["rpn" if family == "rpn" else "iou"])  # noqa: E731
    # A part that the family does not have is refused as a whole.
    words = tuple(w for w in words_of(DetectorSpec) if getattr(DETECTORS[name], w.name) is not None)
    assert perturbed(refused, words, base, ("detectors", 0, "spec")) > 40
    own = tuple(w for w in words_of(DetectorEntry) if w.name != "spec")
    assert perturbed(refused, own, base, ("detectors", 0)) > 5


def test_every_parameter_of_the_data(refused) -> None:
    words = tuple(w for w in words_of(DataEntry) if w.name != "name")
    assert perturbed(refused, words, study, ("data",)) > 100


def test_every_parameter_of_the_schedule(refused) -> None:
    assert perturbed(refused, words_of(Schedule), study, ("schedule",)) > 100
    base = lambda: study(data={"name": "shapes", "schedule": {}})  # noqa: E731
    assert perturbed(refused, words_of(Schedule), base, ("data", "schedule")) > 100


def test_every_parameter_of_the_evaluation(refused) -> None:
    assert perturbed(refused, words_of(Evaluation), study, ("evaluation",)) > 20


def test_every_key_of_a_study(refused) -> None:
    done = ("detectors", "methods", "data", "schedule", "evaluation", "presets", "claims", "seeds")
    words = tuple(w for w in words_of(StudySpec) if w.name not in done)
    assert perturbed(refused, words, study, ()) > 20
    base = lambda: study(claims=[{"claim": "divergence predicts AP"}])  # noqa: E731
    assert perturbed(refused, words_of(Claim), base, ("claims", 0)) > 5


@pytest.mark.parametrize("seeds", [0, -1, True, "2", 1.0, [], [-1], [0, 0], ["1"], float("nan"), 10**9])
def test_impossible_seeds(refused, seeds) -> None:
    assert not refused(study(seeds=seeds), "seeds")


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"claims": [{"claim": "atsss > iou on AP"}], "methods": ["iou", "atss_plain"]}, ("claims.0", "method")),
        ({"claims": [{"claim": "divergence predicts APP"}]}, ("claims.0", "did you mean 'AP'")),
        ({"claims": [{"claim": "iou beats all"}]}, ("claims.0", "none of the known forms")),
        ({"claims": [{"claim": "divergence predicts AP", "data": ["shape"]}]}, ("claims.0.data", "'shapes'")),
        ({"analyses": ["nsm"]}, ("analyses.0", "did you mean 'nms'")),
        ({"analyses": ["no_such_module:run"]}, ("analyses.0", "no_such_module")),
        (
            {"tables": {"mutual_guidance_tabel1": {"retinanet-slim/iou": [1]}}},
            ("tables", "did you mean 'mutual_guidance_table1'"),
        ),
        ({"methods": ["iuo"]}, ("methods.0", "did you mean 'iou'")),
        ({"detectors": ["retinanet-slin"]}, ("detectors.0", "did you mean 'retinanet-slim'")),
        ({"data": {"name": "shapse"}}, ("line", "did you mean 'shapes'")),
        ({"methods": ["iou", {"name": "x", "preset": "iou", "baseline": "iuo"}]}, ("methods.1.baseline", "'iou'")),
        ({"methods": ["iou", {"name": "x", "preset": "iou", "baseline": "x"}]}, ("methods.1.baseline", "own baseline")),
        ({"methods": [{"name": "iou", "detectors": ["retina-slim"]}]}, ("methods.0.detectors", "'retinanet-slim'")),
        ({"methods": ["iou", "iou"]}, ("two methods are called 'iou'",)),
        (
            {"method_defaults": {"criterion": {"focal_alpa": 0.5}}},
            ("method_defaults.criterion.focal_alpa", "focal_alpha"),
        ),
        ({"method_defaults": {"criterion": {"focal_alpha": 5}}}, ("focal_alpha", "nearest is 1")),
        ({"method_defaults": {"nsm": 0.5}}, ("method_defaults", "nsm")),
        ({"methods": [{"name": "iou", "nms_kind": "soft"}]}, ("nms_kind", "nms: {kind: ...}")),
        ({"methods": [{"name": "iou", "prior_prob": 0.1}]}, ("prior_prob", "head_init: {prior_prob: ...}")),
        ({"methods": [{"name": "iou", "zero_box": True}]}, ("zero_box", "head_init: {zero_box: ...}")),
        ({"methods": [{"name": "paa", "voting": 0.02}]}, ("voting", "voting: {sigma: ...}")),
        ({"detectors": [{"name": "retinanet-slim", "parameters": {"width": 8}}]}, ("parameters", "spec: {")),
        ({"methods": [{"name": "iou", "ranking": "cls*quality"}]}, ("methods.0", "needs a quality head")),
        ({"methods": [{"name": "iou", "nms": {"kind": "iou_guided"}}]}, ("methods.0", "needs a quality head")),
        ({"methods": [{"name": "iou", "nms": 1.5}]}, ("methods.0", "nms.iou", "just below 1")),
        ({"methods": [{"name": "iou", "assigner": {"positive": 0.2}}]}, ("methods.0", "negative <= positive")),
    ],
)
def test_names_and_old_keys(refused, changes, needed) -> None:
    assert not refused(study(**changes), *needed)


def test_every_mismatch_of_detector_and_method(refused, tmp_path, capsys) -> None:
    """What the parts say that they need decides, and every refusal says why and what to do."""
    problems, bad = [], 0
    for family, name in FAMILIES.items():
        spec = DETECTORS[name]
        for preset in methods.PRESETS:
            built = methods.build(methods.resolve(preset))
            reads = [built.assigner.needs, built.criterion.needs]
            fits = all(
                spec.priors.kind in n.priors
                and (spec.class_agnostic or not n.one_class)
                and built.method.quality in n.quality
                and (not n.bags or "bags" in built.assigner.gives)
                and (not n.soft or "soft" in built.assigner.gives)
                for n in reads
            )
            content = study(detectors=[name], methods=[preset])
            if fits:
                (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
                if main(["plan", str(tmp_path / "study.yaml")]) != 0:
                    problems.append(f"{preset} on {name} is refused: {capsys.readouterr().err[-300:]}")
                capsys.readouterr()
                continue
            bad += 1
            problems += refused(content, "methods.0", f"'{name}'", preset, about=(family, preset))
    assert not problems, "\n".join(problems[:20])
    assert bad > 20


@pytest.mark.parametrize(
    ("preset", "detector"),
    [
        *((p, "retinanet-slim") for p in ("musu", "mlc_fcos", "ltm_af", "rpn", "fcos", "autoassign", "mlc_rpn")),
        *((p, "fcos-slim") for p in ("ltm", "freeanchor", "mutual_guidance", "retinanet")),
    ],
)
def test_wrong_compositions_that_were_once_accepted(refused, preset, detector) -> None:
    assert not refused(study(detectors=[detector], methods=[preset]), preset, "detectors: [...]")


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"criterion": "ltm"}, ("bags", "assigner ltm")),
        ({"criterion": "musu", "quality": "centerness"}, ("'musu'", "set quality to one of: none, implicit")),
        ({"quality": "implicit"}, ("quality: implicit", "set quality to one of")),
        ({"criterion": "soft_module:Soft"}, ("learns soft targets, which the assigner 'max_iou'", "for a reason")),
    ],
)
def test_parts_that_do_not_go_together(refused, tmp_path, monkeypatch, changes, needed) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-modules"
    elsewhere.mkdir()
    (elsewhere / "soft_module.py").write_text(SOFT)
    monkeypatch.syspath_prepend(str(elsewhere))
    assert not refused(study(methods=[{"name": "probe", "preset": "iou", **changes}]), "methods.0", *needed)


SOFT = """
from assignbench.assigners.criteria import DenseCriterion
from assignbench.config.method import Needs
class Soft(DenseCriterion):
    needs = Needs(soft=True, why="for a reason")
"""
MODULE = """
import pathlib
class Mine:
    def __init__(self, **given):
        pathlib.Path("executed").touch()
def made(**given):
    pathlib.Path("executed").touch()
"""


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("os:system", "os is a module of Python itself"),
        ("subprocess:Popen", "subprocess is a module of Python itself"),
        ("numpy:array", "does not derive from"),
        ("word_module:Mine", "does not derive from"),
        ("word_module:made", "does not derive from"),
        ("word_module:Mien", "did you mean 'Mine'"),
        ("no_module_of_this_name:X", "cannot be imported"),
        ("leaving_module:X", "SystemExit"),
        ("raising_module:X", "ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("part", ["assigner", "criterion"])
def test_only_classes_of_the_right_base_are_called(tmp_path, monkeypatch, capsys, part, name, needed) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for file, text in (("word", MODULE), ("leaving", "raise SystemExit(0)"), ("raising", "1 / 0")):
        (tmp_path / f"{file}_module.py").write_text(text)
    entry = {"name": "probe", "preset": "iou", part: {"name": name, "command": "touch executed"}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(methods=[entry])))
    assert main(["plan", "study.yaml"]) == 2
    assert needed in capsys.readouterr().err
    assert not Path("executed").exists() and not Path("runs").exists()
