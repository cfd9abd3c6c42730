"""Studies that would write elsewhere, grow without end or mean nothing: refused before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from assignbench.errors import InputError
from assignbench.study.reading import find_study, read_study, variants
from assignbench.study.spec import MOST_NAME
from tests.conftest import ROOT
from tests.study.test_words import study

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
ODD = st.text("ab. /\\*?[]<>|:\"'$~\u202e\n\té", min_size=0, max_size=8) | st.just("x" * (MOST_NAME + 1))


def refusal(folder: Path, content: dict[str, Any] | str, **options: Any) -> str:
    """What is said about a study that must be refused."""
    path = folder / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(InputError) as problem:
        read_study(path, **options)
    assert [p.name for p in folder.iterdir()] == ["study.yaml"]
    return str(problem.value)


def is_plain(name: str) -> bool:
    """Whether a name may stand in a folder's name."""
    safe = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")
    return bool(name) and set(name) <= safe and name[0].isalnum() and len(name) <= MOST_NAME


NAMED = {
    "study": lambda name: study(study=name),
    "methods.0.name": lambda name: study(methods=[{"name": name, "preset": "iou"}]),
    "detectors.0.label": lambda name: study(detectors=[{"name": "retinanet-slim", "label": name}]),
    "data.0.name": lambda name: study(data={"name": name, "kind": "shapes"}),
    "areas": lambda name: study(areas={name: [0, 5]}),
    "presets": lambda name: study(presets={name: {"seeds": 2}}),
}


@pytest.mark.parametrize("place", NAMED)
@given(name=ODD.filter(lambda name: not is_plain(name)))
@SETTINGS
def test_names_that_stand_in_files(tmp_path, place, name) -> None:
    if place == "detectors.0.label" and not name:
        return  # none
    assert "line " in refusal(tmp_path, NAMED[place](name))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"methods": ["iou", {"name": "IOU", "preset": "iou"}]}, "methods.1"),
        ({"methods": [{"name": "a+b", "preset": "iou"}, {"name": "a-b", "preset": "iou"}]}, "methods.1"),
        ({"detectors": ["fcos-slim", {"name": "retinanet-slim", "label": "FCOS-slim"}]}, "detectors.1"),
        ({"data": [{"name": "a", "kind": "shapes"}, {"name": "A", "kind": "shapes"}]}, "data.1"),
        ({"areas": {"a": [0, 1], "A": [0, 1]}}, "areas.A"),
        ({"presets": {"a": {}, "A": {}}}, "presets.A"),
        ({"seeds": [1, 2, 1]}, "seeds.2"),
        ({"max_dets": [1, 10, 1]}, "max_dets.2"),
    ],
)
def test_names_that_make_one_file(tmp_path, changes, line) -> None:
    told = refusal(tmp_path, study(**changes))
    assert f": {line}: two " in told and "line " in told


@pytest.mark.parametrize("seeds", [0, -1, [], [-1], [2**32], [0, 0], [1.0], ["1"], [True], None, {}, "2", 10**9, [[]]])
def test_impossible_seeds(tmp_path, seeds) -> None:
    assert ": seeds" in refusal(tmp_path, study(seeds=seeds))


@pytest.mark.parametrize("key", ["methods", "detectors", "data"])
@pytest.mark.parametrize("value", [[], None, 5, [5], [None], [[]], {}, [{}], "", [""]])
def test_empty_grids(tmp_path, key, value) -> None:
    told = refusal(tmp_path, study(**{key: value}))
    assert "line " in told and (key in told or "data set" in told)


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"seeds": 1000, "methods": [{"name": f"m{i}", "preset": "iou"} for i in range(20)]}, "20000 cells"),
        ({"methods": [{"name": f"m{i}", "preset": "iou"} for i in range(201)]}, "200 are the most"),
        ({"presets": {f"p{i}": {} for i in range(51)}}, "50 are the most"),
        ({"detectors": [{"name": "retinanet-slim", "spec": {"priors": {"scales": [1.0] * 50}}}]}, "64 are the most"),
        (
            {"schedule": {"steps": 4, "batch_size": 64}, "data": {"name": "shapes", "train_images": 8}},
            "train_images: 8",
        ),
        ({"schedule": {"steps": 4, "decay": "step", "milestones": []}}, "needs milestones"),
        ({"schedule": {"steps": 4, "decay": "step", "milestones": [0.5, 0.5]}}, "must rise"),
        ({"max_dets": [10, 1]}, "must rise"),
        ({"areas": {"a": [5, 5]}}, "areas.a: needs two areas in rising order"),
        ({"detectors": [{"name": "retinanet-slim", "weights": "~nobody_of_this_name/x"}]}, "weights is '~nobody"),
        ({"data": {"name": "shapes", "root": "~nobody_of_this_name"}}, "root is '~nobody"),
        ({"detectors": [{"name": "retinanet-slim", "weights": "a/" + "x" * 300}]}, "longer than 255 bytes"),
        ({"detectors": [{"name": "retinanet-slim", "parameters": {"weights": "f"}}]}, "'parameters' is now written"),
        ({"presets": {"p": {"seeds": 0}}}, "seeds"),
        ({"methods": [{"name": "iou", "nms": {"kidn": "soft"}}]}, "did you mean 'kind'"),
        ({"method_defaults": {"head_init": {"prior_prob": 2}}}, "head_init.prior_prob is 2"),
    ],
)
def test_what_would_grow_or_mean_nothing(tmp_path, changes, needed) -> None:
    assert needed in refusal(tmp_path, study(**changes))


@pytest.mark.parametrize(
    "option",
    [
        *("", "=5", "a", "schedule..lr=1", ".=1", "a" + ".a" * 40 + "=1", "1=2", "schedule.1=2", "Study=x"),
        *("schedule.lr=.inf", "schedule.lr=1e400", "schedule.steps=" + "9" * 5000, "schedule.steps.a=3", "schedule=5"),
        *(
            "data=",
            "data=[]",
            "data.0=5",
            "data.7.image_size=64",
            "data.name=5",
            "data.name=[1]",
            "data.²=3",
            "data.0.²=1",
        ),
        *(
            "data.99999999999999999999.x=3",
            "methods=[]",
            "methods.0.nms=0.4",
            "methods.9.nms=0.4",
            "seeds=[]",
            "seeds=0",
        ),
        *(
            "title=&a [*a]",
            "title=" + "[" * 50,
            "title={a: 1, a: 2}",
            "title=!!set {a}",
            'title="\\e[31m"',
            "title=\x1b[31m",
        ),
        *("study=../x", "presets=5", "title=2024-01-01", "title=[", "title=\ud800", "data.factors.max_size=1e9"),
        "title=[&a [" + "x," * 100 + "], " + ", ".join(["*a"] * 100) + "]",
    ],
)
def test_options(tmp_path, option) -> None:
    told = refusal(tmp_path, study(), sets=[option])
    assert told.startswith(f"--set {option:.150}")


def test_an_option_may_name_one_data_set(tmp_path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study(data=["shapes", {"name": "more", "kind": "shapes"}])))
    sizes = [d.data_set().size for d in read_study(path, sets=["data.1.image_size=64"]).spec.data]
    assert sizes == [128, 64]
    assert "more" in [d.name for d in read_study(path).spec.data]
    with pytest.raises(InputError, match=r"--set data\.1\.image_size=5: data\.1\.image_size is 5"):
        read_study(path, sets=["data.1.image_size=5"])
    with pytest.raises(InputError, match=r"--set data\.image_size=5: data\.1\.image_size is 5"):
        read_study(path, sets=["data.image_size=5"])


def test_files_that_are_no_text(tmp_path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#\n" * 200_000)
    needed = {
        tmp_path / "folder.yaml": "is a folder",
        tmp_path / "pipe.yaml": "is no regular file",
        Path("/dev/zero"): "is no regular file",
        tmp_path / "loop.yaml": "cannot be read",
        tmp_path / "huge.yaml": "larger than",
        tmp_path / ("x" * 300): "cannot be read",
        tmp_path / "huge.yaml" / "x": "cannot be read",
        tmp_path / "gone.yaml": "no study file",
    }
    for path, said in needed.items():
        for ask in (read_study, lambda p: variants(find_study(p))):
            with pytest.raises(InputError, match=said):
                ask(path)


def test_a_study_is_read_and_refused_without_torch(tmp_path) -> None:
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(study(detectors=[{"name": "retinanet-slim", "spec": {"neck": 5}}]))
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom assignbench.study.reading import read_study\n"
        "from assignbench.errors import InputError\n"
        "try:\n    read_study(Path('study.yaml'))\n"
        "except InputError as problem:\n    print(problem, 'torch' in sys.modules, 'pandas' in sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "neck is 5" in done.stdout and done.stdout.endswith("False False\n")
