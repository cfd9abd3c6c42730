"""A detector of the user's own: named as module:function, checked before it is called, part of the cell's identity."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from assignbench.cli import main
from assignbench.config.cell import LocalPaths
from assignbench.config.detector import DetectorConfig, DetectorSpec, resolve
from assignbench.config.formats import formats_of
from assignbench.config.method import CoderConfig
from assignbench.config.sources import own_parts, sources_of
from assignbench.detectors import build_detector
from assignbench.engine.cell import build_cell, seeded_detector
from assignbench.engine.loop import loop
from assignbench.engine.seeding import initialise
from assignbench.errors import InputError
from tests.conftest import ROOT
from tests.engine.cells import tiny
from tests.study.test_words import study

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
PLAIN = CoderConfig()


def of_the_page() -> str:
    """The detector that CONTRIBUTING shows."""
    return PAGE.partition("## Add a detector")[2].partition("```python\n")[2].partition("```")[0]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the current folder; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    name = f"own_{tmp_path.name.replace('-', '_')}"

    def write(text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    sys.modules.pop(name, None)


def test_the_page_of_contributing_works(module, tmp_path, capsys) -> None:
    """Its module and its entry of a study, as they stand there but for the module's name; and a training."""
    path = f"{module(of_the_page())}:stacked"
    entry = PAGE.partition("## Add a detector")[2].partition("```yaml\n")[2].partition("```")[0]
    shown = yaml.safe_load(entry.replace("my_module:stacked", path))
    detectors = shown["detectors"]
    whole = {"study": "shown", "data": "shapes", "methods": ["iou", "paa"], **shown}  # says how it is trained, too
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(whole))
    assert main(["plan", "study.yaml"]) == 0, capsys.readouterr().err
    assert "stacked-paa-" in capsys.readouterr().out
    spec = resolve(path, detectors[0]["spec"])
    assert (spec.family, spec.function, spec.neck.width) == ("own", path, 48)
    assert DetectorSpec.model_validate_json(spec.model_dump_json()) == spec
    for quality in (None, "iou"):
        detector = build_detector(spec, PLAIN, 3, quality).eval()
        initialise(detector, 0)
        with torch.no_grad():
            priors, predictions = detector(torch.zeros(2, 3, 64, 96, dtype=torch.uint8))
        assert predictions.cls_logits.shape == (2, len(priors), 3)
        assert (predictions.quality_logits is None) == (quality is None)
    learns = tiny("iou").model_copy(update={"detector": DetectorConfig(name=path, label="stacked", spec=spec)})
    assert own_parts(learns) == {f"detector {path}": path.partition(":")[0]}
    assert [p.name for p in sources_of(path.partition(":")[0]).values()] == [f"{path.partition(':')[0]}.py"]
    assert formats_of(learns)["detector own"] == 1
    cell = build_cell(tmp_path, learns, LocalPaths(), "cpu")
    before = {k: v.clone() for k, v in cell.learner.detector.named_parameters()}
    loop(cell.loader.batches(0, 3), [cell.learner], [])
    assert all(not torch.equal(v, before[k]) for k, v in cell.learner.detector.named_parameters() if v.ndim > 1)


@pytest.mark.parametrize(
    "text",
    [
        "import pathlib\ndef mine(*a, **k): pathlib.Path('executed').touch()",
        "import pathlib\nclass mine:\n    def __init__(self, *a, **k): pathlib.Path('executed').touch()",
        "from functools import partial\nimport os\nmine = partial(os.mkdir, 'executed')",
        "mine = 5",
    ],
)
def test_what_no_decorator_marks_is_never_called(module, text) -> None:
    with pytest.raises(InputError, match="not marked as a detector"):
        resolve(f"{module(text)}:mine")
    assert not Path("executed").exists()


MARK = """
import torch
from assignbench.config.detector import BackboneSpec, NeckSpec, PriorSpec, detector
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import LevelHead
from assignbench.detectors.necks import Neck, build_neck
@detector(backbone=BackboneSpec(name="slim"), neck=NeckSpec(width=8, extra=0), priors=PriorSpec(kind="point"))
def mine(spec, backbone, num_classes, *, quality):
    neck = build_neck(spec.neck, backbone)
"""
MADE = "    return Parts(neck, LevelHead((8, 8, 8), num_classes, 1, quality=quality))"
GIVEN = "    return Parts(neck, head)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("    raise SystemExit(3)", "raised SystemExit"),
        ("    1 / 0", "raised ZeroDivisionError"),
        ("    return 5", "gave 5; return assignbench.detectors.base.Parts"),
        ("    return Parts(neck, torch.nn.Identity())", "its head is a Identity; derive from .*Head"),
        ("    return Parts(torch.nn.Identity(), LevelHead((8, 8, 8), num_classes, 1))", "its neck is a Identity"),
        ("    return Parts(Neck(), LevelHead((8, 8, 8), num_classes, 1))", "neck.strides is None; set a tuple"),
        ("    return Parts(neck, LevelHead((8, 8, 8), num_classes, 1))", "has no layer `quality`"),
        ("    neck.strides = (8, 16)\n" + MADE, r"\(3, 5\)\] cells; neck.strides \(8, 16\) ask for"),
        ("    neck.strides = (16, 32, 64)\n" + MADE, r"cells; neck.strides \(16, 32, 64\) ask for"),
        ("    neck.lateral[1] = torch.nn.Conv2d(9, 8, 1)\n" + MADE, "fails on an image of 96 x 160 px: RuntimeError"),
        (MADE.replace("num_classes", "num_classes + 1"), r"gives \[\(1, 315, 4\), .* must be \[\(1, 315, 3\)"),
        (MADE.replace(", 1,", ", 2,"), r"must be \[\(1, 315, 3\).* \(1 priors at each place"),
        (
            "    head = LevelHead((8, 8, 8), num_classes, 1, quality=quality)\n    head.cls = None\n" + GIVEN,
            "last layer `cls`",
        ),
        (
            "    head = LevelHead((8, 8, 8), num_classes, 1, quality=quality)\n    head.quality[1].bias = None\n"
            + GIVEN,
            "last layer `quality`, a convolution with a bias",
        ),
    ],
)
def test_what_a_function_gives_is_looked_at(module, text, told) -> None:
    spec = resolve(f"{module(MARK + text)}:mine")
    with pytest.raises(InputError, match=told):
        build_detector(spec, PLAIN, 3, "iou")


def test_quality_that_nobody_asked_for(module) -> None:
    spec = resolve(f"{module(MARK + MADE.replace('quality=quality', 'quality=True'))}:mine")
    build_detector(spec, PLAIN, 3, "iou")
    with pytest.raises(InputError, match=r"gives .*\(1, 315\)\].* must be .*None\]"):
        build_detector(spec, PLAIN, 3)


LAYERS = """
class Odd(Neck):
    def __init__(self, channels, strides):
        super().__init__()
        self.channels, self.strides = (8,) * len(channels), strides
        self.layers = torch.nn.ModuleList([torch.nn.Conv2d(c, 8, 1) for c in channels])
        self.up, self.act = torch.nn.ConvTranspose2d(8, 8, 2, 2), torch.nn.PReLU(8)
        self.attention, self.place = torch.nn.MultiheadAttention(8, 2), torch.nn.Parameter(torch.randn(8, 1, 1))
    def forward(self, maps):
        fine, middle, coarse = [self.act(layer(x)) for layer, x in zip(self.layers, maps)]
        return [fine, middle + self.up(coarse)[..., : middle.shape[-2], :] + self.place, coarse]
"""


def test_layers_of_every_kind_start_by_the_seed(module) -> None:
    text = (
        MARK.replace("@detector", LAYERS + "@detector") + "    neck = Odd(backbone.channels, backbone.strides)\n" + MADE
    )
    path = f"{module(text)}:mine"
    config = DetectorConfig(name=path, label="mine", spec=resolve(path))
    states = []
    for method, seed in (("ltm_af", 0), ("ltm_af", 0), ("fcos", 0), ("ltm_af", 1)):
        torch.rand(1)  # what was drawn before does not matter
        before = torch.get_rng_state()
        cell = tiny(method).model_copy(update={"detector": config, "seed": seed})
        states.append(seeded_detector(cell, 3).state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    first, again, paired, other = states
    assert all(torch.equal(first[k], again[k]) for k in first)
    shared = set(first) & set(paired)
    drawn = {"neck.up.weight", "neck.attention.in_proj_weight", "neck.layers.0.weight", "neck.place"}
    assert drawn < shared and "head.quality.0.weight" in paired
    told = {k for k in shared if k.startswith(("head.cls", "head.box")) and k.endswith("bias")}  # by the methods
    assert all(torch.equal(first[k], paired[k]) for k in shared - told)
    assert all(not torch.equal(first[k], other[k]) for k in drawn)


def test_a_study_without_it_imports_nothing(module, tmp_path, monkeypatch) -> None:
    """`status` reads a study without running what it names."""
    name = module("raise SystemExit(7)")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(detectors=[f"{name}:mine"])))
    run: Callable[[list[str]], int] = main
    assert run(["status", "study.yaml"]) in (0, 2) and name not in sys.modules
    assert run(["plan", "study.yaml"]) == 2
