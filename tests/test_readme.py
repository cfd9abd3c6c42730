"""Every command and every example of the README, of the pages beside it and of CONTRIBUTING runs."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from assignbench.cli import main
from assignbench.conformance import run_checks
from assignbench.contract import Context
from assignbench.examples import three_anchors
from assignbench.methods import build_method
from assignbench.study.reading import read_study
from tests.conftest import ROOT
from tests.in_process import trained_here

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
STUDIES, PREDICTIONS, PYTHON, RUNNING, METHODS = (
    (ROOT / "docs" / f"{name}.md").read_text() for name in ("studies", "predictions", "python", "running", "methods")
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


COMMANDS = [
    line
    for page in (README, RUNNING, PREDICTIONS)
    for block in blocks(page, "console")
    for line in block.splitlines()
    if line.strip()
]
# What makes a command end in seconds: fewer scenes, fewer steps. Everything else of it stays as written.
SHORT = ["--set", "schedule.steps=3", "--set", "data.train_images=16", "--set", "data.test_images=4", "--only", "*iou*"]


def timed(line: str) -> object:
    """A command; one that trains a whole grid, or starts many processes, is a slow test."""
    slow = "rehearse" in line or "--nproc" in line
    return pytest.param(line, marks=pytest.mark.slow) if slow else line


@pytest.fixture(scope="module")
def short_runs(tmp_path_factory) -> Path:
    """A run folder with the quick start in short, which several commands look at."""
    folder = tmp_path_factory.mktemp("short") / "runs"
    study = str(ROOT / "studies" / "quickstart.yaml")
    with trained_here():
        assert main(["run", study, *SHORT[:-2], "--quiet", "--out", str(folder), "--set", "analyses=[averages]"]) == 0
    return folder


@pytest.mark.parametrize("line", [timed(c) for c in dict.fromkeys(COMMANDS) if c.startswith("assignbench")])
def test_commands_of_the_pages(line, tmp_path, monkeypatch, request, in_process) -> None:
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    _, command, *rest = shlex.split(line)
    if command in ("status", "report", "open") or "*-" in line:
        shutil.copytree(request.getfixturevalue("short_runs"), "runs")
        rest = [name for word in rest for name in (map(str, Path().glob(word)) if "*" in word else [word])]
    if "photos" in line:
        write_photos(Path("photos"))
    if line.endswith("plan photos.yaml"):
        assert main(["init", "--coco", "photos/train.json"]) == 0
    if command == "analyze":
        write_predictions()
    short = [*SHORT, "--quiet"] if command == "run" else SHORT if command in ("plan", "status", "report") else []
    assert main([command, *rest, *([] if "photos" in line else short)]) == 0


def write_photos(folder: Path) -> None:
    """The annotations that the README's `init` names, and their pictures."""
    (folder / "images").mkdir(parents=True)
    box = {"category_id": 1, "bbox": [4, 4, 20, 20], "area": 400, "iscrowd": 0}
    for i in range(8):
        Image.fromarray(np.full((48, 64, 3), 20 * i, np.uint8)).save(folder / "images" / f"{i}.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(8)],
        "annotations": [{"id": i + 1, "image_id": i, **box} for i in range(8)],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "train.json").write_text(json.dumps(content))


def write_predictions() -> None:
    """The files that the README's `analyze` names, made with the recipe of the page by a detector of two boxes."""

    def model(images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        boxes = torch.tensor([[1.0, 2, 11, 12], [20, 20, 40, 40]])
        return [{"boxes": boxes, "labels": torch.tensor([3, 90]), "scores": torch.tensor([0.9, 0.4])} for _ in images]

    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 10], "area": 100, "iscrowd": 0}
    content = {
        "images": [{"id": 7, "file_name": "7.png", "width": 64, "height": 64}],
        "annotations": [{"id": 1, **box}, {"id": 2, **box, "bbox": [30, 30, 20, 20], "area": 400}],
        "categories": [{"id": 3, "name": "car"}, {"id": 90, "name": "kite"}],
    }
    Path("instances.json").write_text(json.dumps(content))
    (recipe,) = blocks(PREDICTIONS, "python")
    exec(compile(recipe, "README", "exec"), {"images": [(7, torch.zeros(3, 64, 64))], "model": model})
    for name in ("theirs", *(f"{method}{seed}" for method in "to" for seed in range(3))):
        shutil.copy("ours.json", f"{name}.json")


def test_make_runs_what_the_readme_says() -> None:
    assert [c for c in COMMANDS if c.startswith("make")] == ["make run", "make test"]
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    for target, part in (("run", "assignbench run studies/quickstart.yaml"), ("test", "-m pytest")):
        told = subprocess.run([make, "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert part in told
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_study_of_the_page_is_understood(tmp_path) -> None:
    (text,) = blocks(STUDIES, "yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    study = read_study(path)
    assert [m.name for m in study.spec.methods] == ["iou", "mine"]
    assert yaml.safe_load(text)["seeds"] == 3


def test_the_python_of_the_page_runs() -> None:
    (code,) = blocks(PYTHON, "python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[[0, 0, -1]]" in done.stdout.replace(" ", "").replace(",", ", ")


def test_the_assigner_of_the_readme_conforms_and_its_study_runs(tmp_path, monkeypatch, in_process) -> None:
    (code,), (study,) = blocks(README, "python"), blocks(README, "yaml")
    (tmp_path / "my_rule.py").write_text(code)
    (tmp_path / "mine.yaml").write_text(study)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_checks(lambda: build_method("iou", assigner={"name": "my_rule:Nearest"}).assigner) == {}
    short = ["--set", "schedule.steps=3", "--set", "data.train_images=12", "--set", "data.test_images=4", "--quiet"]
    assert main(["run", "mine.yaml", "--only", "nearest", "--seeds", "1", *short]) == 0


def test_every_study_is_on_the_page() -> None:
    for path in (ROOT / "studies").glob("*.yaml"):
        assert f"`{path.stem}`" in STUDIES, path.name


def test_the_readme_is_short_and_names_every_file_of_a_rule() -> None:
    assert len(README.splitlines()) <= 150
    files = {p.name for p in (ROOT / "assignbench" / "assigners").glob("*.py") if "PRESETS: tuple" in p.read_text()}
    assert {name for name in files if f"`{name}`" not in README} == set()


def test_the_assigner_of_contributing_conforms(tmp_path, monkeypatch) -> None:
    code = blocks(re.sub(r"(?m)^   ", "", CONTRIBUTING), "python")[0]
    unregistered = re.sub(r"@\w+\.register\(.*\)\n", "", code)
    (tmp_path / "my_module.py").write_text(unregistered)
    monkeypatch.syspath_prepend(tmp_path)
    parts = {"assigner": {"name": "my_module:MyRule", "threshold": 0.4}, "criterion": {"name": "my_module:MyLosses"}}
    built = build_method("iou", **parts)
    assert run_checks(lambda: build_method("iou", **parts).assigner) == {}
    priors, predictions, objects = three_anchors()
    plain = replace(predictions, quality_logits=None, quality_kind=None)
    terms = built.criterion(priors, plain, objects, built.assigner(priors, plain, objects), Context())
    assert {name: torch.isfinite(term.value()).item() for name, term in terms.items()} == {
        "loss_cls": True,
        "loss_box": True,
    }


def test_the_presets_of_contributing_name_their_baseline(tmp_path) -> None:
    """Run in a process of its own, so that the example's names do not stay in the registries."""
    code = blocks(re.sub(r"(?m)^   ", "", CONTRIBUTING), "python")[0]
    told = "\nprint([(p.name, p.baseline) for p in PRESETS])"
    done = subprocess.run([sys.executable, "-c", code + told], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "('my_rule', 'my_rule_iou')" in done.stdout


def test_the_analysis_of_contributing_runs(tmp_path) -> None:
    code = blocks(CONTRIBUTING, "python")[-1]
    told = (
        "\nfrom pathlib import Path\nfrom assignbench.analysis.base import ANALYSES, read_study_record"
        f"\nprint(ANALYSES['missed'].run(read_study_record(Path({str(tmp_path)!r})))[0].key)"
        "\nimport sys; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code + told], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["missed", "False"]


def test_conformance_command(capsys) -> None:
    from assignbench import conformance

    assert conformance.main(["atss"]) == 0
    assert capsys.readouterr().out.count("ok ") == len(conformance.CHECKS)
    assert conformance.main([]) == 2


def test_no_host_in_the_lock() -> None:
    texts = [(ROOT / name).read_text() for name in ("requirements.lock", "requirements-ray.lock")]
    assert all("://" not in text and "--hash=sha256:" in text for text in texts)
    pins = [dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)) for text in texts]
    assert all(pins[0].get(name, version) == version for name, version in pins[1].items())  # one environment has both


def test_public_names() -> None:
    import assignbench

    for name in assignbench.__all__:
        assert getattr(assignbench, name) is not None
        assert name.strip("_") == "version" or name in (assignbench.__doc__ or "")
    assert dir(assignbench) == sorted(assignbench.__all__)
    assert (Path(assignbench.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError):
        assignbench.nothing  # noqa: B018


def test_a_page_names_every_preset_and_the_readme_no_other() -> None:
    from assignbench.methods import PRESETS

    assert set(PRESETS) - set(re.findall(r"`([a-z_]+)`", METHODS)) == set()
    table = README[README.index("| paper | file") : README.index("## Your own assigner")]
    shown = {
        name for line in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", line.rsplit("|", 2)[-2:][0])
    }
    assert shown and shown <= set(PRESETS)


def test_the_page_shows_the_keys_of_a_method() -> None:
    from assignbench.config import MethodConfig

    table = STUDIES[STUDIES.index("| key of a method |") :]
    table = table[: table.index("\n\n")]
    shown = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    of_the_study = {"evaluation", "schedule"}  # which an entry changes for its own cells
    assert shown == set(MethodConfig.model_fields) - {"name", "preset"} | of_the_study


def test_the_page_shows_the_keys_of_a_schedule() -> None:
    from assignbench.config import Schedule

    table = STUDIES[STUDIES.index("| key of `schedule` |") : STUDIES.index("**Reading ahead.**")]
    shown = {name for line in table.splitlines()[2:-1] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    aside = {"threads", "log_every", "checkpoint_every", "probe_visits"}  # change no recipe
    assert shown == set(Schedule.model_fields) - aside


def test_the_page_shows_the_keys_of_an_evaluation_and_of_images() -> None:
    from assignbench.config import Evaluation
    from assignbench.config.data import DataSpec

    def keys(head: str, end: str) -> set[str]:
        table = STUDIES[STUDIES.index(head) : STUDIES.index(end)]
        return {name for line in table.splitlines()[2:-1] for name in re.findall(r"`(\w+)`", line.split("|")[1])}

    assert keys("| key of `evaluation` |", "Unknown keys, values") == set(Evaluation.model_fields)
    assert keys("| key of `data` |", "A detector is `<family>-<backbone>`") < set(DataSpec.model_fields)


def examples(head: str, end: str, column: int) -> list[tuple[str, str]]:
    """Key and example of every row of a table, where the row names one key and one example."""
    table = STUDIES[STUDIES.index(head) : STUDIES.index(end)]
    rows = [[re.findall(r"`([^`]+)`", part) for part in line.split("|")] for line in table.splitlines()[2:-1]]
    return [(row[1][0], one) for row in rows if len(row) > column and len(row[1]) == 1 for one in row[column]]


def test_the_examples_of_its_tables_are_accepted() -> None:
    from assignbench.config import Evaluation
    from assignbench.config.data import DataSpec
    from assignbench.config.detector import resolve
    from assignbench.config.recipe import Schedule, laid_over

    seen = 0
    for key, text in examples("| key of `schedule` |", "**What a study may execute.**", 3):
        own = {key: yaml.safe_load(text), "optimizer": "sgd", "decay": "cosine" if key == "lr_end" else "step"}
        Schedule.model_validate(laid_over({"steps": 100_000}, own))
        seen += 1
    for key, text in examples("| key of `evaluation` |", "Unknown keys, values", 3):
        Evaluation.model_validate({key: yaml.safe_load(text)})
        assert Evaluation.model_fields[key].default == yaml.safe_load(text)  # the table's column
        seen += 1
    for key, text in examples("| key of `data` |", "A detector is `<family>-<backbone>`", 3):
        DataSpec.model_validate({"name": "mine", "kind": "coco", key: yaml.safe_load(text)})
        seen += 1
    for key, text in examples("| key of a detector |", "How the test split", 3):
        if key.startswith("spec."):
            anchors = "scales" in text or "offset" in text
            resolve("retinanet1-resnet50" if anchors else "fcos-resnet50", {key[5:]: yaml.safe_load(text)})
            seen += 1
    assert seen >= 19
