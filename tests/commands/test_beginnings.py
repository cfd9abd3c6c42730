"""What a network starts from: layers that are held still need weights, and absent files are told with where they go."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from assignbench import methods
from assignbench.cli import main
from assignbench.commands.weights import absent_weights, check_frozen
from assignbench.errors import InputError
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study
from tests.conftest import ROOT
from tests.study.test_words import study

FILE = "resnext152-weights/resnext152_32x8d_imagenet5k.pth"
FROZEN = [{"frozen_stages": 1}, {"frozen_norm": "all"}, {"frozen_norm": "statistics"}]
FROZEN += [{"frozen_stages": 2, "frozen_norm": "all"}]


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASSIGNBENCH_DATA", str(tmp_path / "data"))


def written(folder: Path, **changes: object) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study(**changes), sort_keys=False))
    return path


@pytest.mark.parametrize(("command", "frozen"), [*(("run", f) for f in FROZEN), ("doctor", FROZEN[-1])], ids=str)
def test_untrained_layers_are_not_held_still(tmp_path, capsys, command, frozen) -> None:
    path = written(tmp_path, detectors=[{"name": "retinanet-resnet18", "spec": {"backbone": frozen}}])
    out = ["--out", str(tmp_path / "runs")]
    assert main(["plan", str(path), *out]) == 0
    assert "stay as they were drawn at random, which `run` refuses" in capsys.readouterr().out
    assert main([command, str(path), *out]) == 2
    told = "".join(capsys.readouterr())
    for key, value in frozen.items():
        assert f"{key}: {value}" in told
    assert "line " in told and "name its weights (torchvision or a file)" in " ".join(told.split())
    assert not (tmp_path / "runs").exists()


def test_what_learns_needs_no_weights(tmp_path) -> None:
    """The first convolution of a small network may stay as it is, and anything that comes from a file."""
    entries = [
        "retinanet-slim",
        "retinanet-squeezenet",
        {"name": "retinanet-resnet18", "weights": "own.pth", "spec": {"backbone": {"frozen_stages": 2}}},
    ]
    found = read_study(written(tmp_path, detectors=entries))
    check_frozen(found, cells_of(found, methods))


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_no_study_holds_still_what_was_never_trained(path) -> None:
    for preset in [None, *read_study(path).spec.presets]:
        found = read_study(path, preset=preset)
        check_frozen(found, cells_of(found, methods))


def test_the_user_is_told_which_weights_to_bring_and_how(tmp_path, capsys) -> None:
    """Without COCO both are told at once; with data there, the file alone. The other networks need none of it."""
    path, out = str(ROOT / "studies" / "paa_testdev.yaml"), ["--out", str(tmp_path / "runs")]
    assert main(["run", path, *out]) == 2
    told = capsys.readouterr().err
    assert "`assignbench data get coco2017` downloads it" in told
    assert f"no weights file {tmp_path / 'data' / FILE}; put it there; it is made by hand from Detectron's" in told
    assert main(["run", path, *out, "--only", "paa"]) == 2
    assert FILE not in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    found = read_study(Path(path))
    cells = cells_of(found, methods)
    assert len(absent_weights(found, cells)) == 1
    (tmp_path / "data" / FILE).parent.mkdir(parents=True)
    (tmp_path / "data" / FILE).write_bytes(b"x")
    assert not absent_weights(found, cells)


def test_a_file_alone_that_is_not_there(tmp_path, capsys) -> None:
    path = written(tmp_path, detectors=[{"name": "retinanet1-resnext152-32x8d", "weights": FILE}])
    assert main(["run", str(path), "--out", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err
    assert "detectors.0.weights" in told and str(tmp_path / "data" / FILE) in told and "X-152-32x8d-IN5k.pkl" in told


def test_frozen_layers_name_the_file_where_torchvision_has_none(tmp_path) -> None:
    entry = {"name": "retinanet1-resnext152-32x8d", "spec": {"backbone": {"frozen_stages": 1}}}
    found = read_study(written(tmp_path, detectors=[entry]))
    with pytest.raises(InputError, match="a file of resnext152-32x8d's ImageNet weights"):
        check_frozen(found, cells_of(found, methods))
