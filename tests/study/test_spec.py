"""Study files: what is understood, and what is said about the rest."""

from pathlib import Path

import pytest

from assignbench.errors import InputError
from assignbench.study.grid import cells_of
from assignbench.study.published import PUBLISHED
from assignbench.study.spec import read_study
from tests.conftest import ROOT, STUDY


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: 1", "sedes: 1", r"line 10: unknown key 'sedes'; did you mean 'seeds'"),
        ("batch_size: 4", "batchsize: 4", r"line 11: unknown key 'schedule.batchsize'; did you mean 'batch_size'"),
        ("max_size: 40", "maxsize: 40", r"line 9: unknown key .*maxsize'; did you mean 'max_size'"),
        ("mutual_guidance", "mutual_guidence", r"unknown method 'mutual_guidence'; did you mean 'mutual_guidance'"),
        ("retinanet-slim", "retina-slim", r"unknown detector 'retina-slim'; did you mean 'retinanet-slim'"),
        ("name: shapes", "name: shape", r"unknown data set 'shape'; did you mean 'shapes'"),
        ("box: giou", "bx: giou", r"criterion 'dense' has no parameter 'bx'; did you mean 'box'"),
        ("steps: 8", "steps: eight", r"line 11: schedule.steps: .*(got 'eight')"),
        ("steps: 8", "steps: 8, epochs: 2", r"set exactly one of epochs and steps"),
        ("cost: seconds\n", "", r"the key 'cost' is missing"),
        ("max_size: 40", "max_size: 400", r"max_size <= image_size"),
    ],
)
def test_mistakes_name_the_line_and_the_nearest_name(tmp_path, old, new, message) -> None:
    assert old in STUDY
    with pytest.raises(InputError, match=message):
        cells_of(read_study(write(tmp_path, STUDY.replace(old, new))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("a: [1, 2", "not a plain YAML file"),
        ("- a\n- b\n", "a study is a mapping .* found a list"),
        ("study: !!python/object/apply:os.system ['touch executed']\n", "not a plain YAML file"),
    ],
)
def test_files_that_are_no_study(tmp_path, monkeypatch, text, message) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        read_study(write(tmp_path, text))
    assert not (tmp_path / "executed").exists()


def test_a_missing_file(tmp_path) -> None:
    with pytest.raises(InputError, match="no study file"):
        read_study(tmp_path / "gone.yaml")


def test_sets_presets_and_seeds(tmp_path) -> None:
    text = STUDY + "presets:\n  long: {schedule: {lr: 0.5}, title: Long}\n"
    path = write(tmp_path, text)
    study = read_study(path, sets=["schedule.epochs=2", "data.train_images=7"], preset="long", seeds=3)
    assert study.spec.schedule.epochs == 2 and study.spec.schedule.steps is None
    assert (study.spec.schedule.lr, study.spec.title, study.spec.seeds) == (0.5, "Long", [0, 1, 2])
    assert study.spec.data[0].train_images == 7
    with pytest.raises(InputError, match="no preset 'lang'; did you mean 'long'"):
        read_study(path, preset="lang")
    with pytest.raises(InputError, match="key=value"):
        read_study(path, sets=["schedule.epochs"])
    with pytest.raises(InputError, match=r"unknown key .schedule\.epoch."):
        read_study(path, sets=["schedule.epoch=3"])


def test_another_data_set(tmp_path) -> None:
    study = read_study(write(tmp_path, STUDY), data="bccd")
    assert study.spec.data[0].kind == "voc" and study.spec.data[0].classes == ["RBC", "WBC", "Platelets"]
    with pytest.raises(InputError, match="unknown data set 'bcd'; did you mean 'bccd'"):
        read_study(write(tmp_path, STUDY), data="bcd")


def test_cell_ids_follow_the_configuration(tiny_study) -> None:
    def ids(*sets: str) -> list[str]:
        return [c.id for c in cells_of(read_study(tiny_study, sets=list(sets)))]

    plain = ids()
    assert len(plain) == 2 and len(set(plain)) == 2
    assert plain == ids("schedule.loader_workers=2", "data.root=/elsewhere", "title=other")
    assert not set(plain) & set(ids("schedule.lr=0.002"))
    assert not set(plain) & set(ids("schedule.threads=2"))
    changed = ids("method_defaults.criterion.box_weight=3.0")
    assert not set(plain) & set(changed)


def test_only_chooses_cells(tiny_study) -> None:
    study = read_study(tiny_study, seeds=2)
    assert [c.slug for c in cells_of(study, only="*mutual*/seed1".replace("/", "/*"))] == [
        "retinanet-slim/mutual_guidance/shapes/seed1"
    ]
    assert len(cells_of(study, only="iou")) == 2
    with pytest.raises(InputError, match="no cell matches; the cells are"):
        cells_of(study, only="nothing")


def test_method_entries_override_parts(tmp_path) -> None:
    entry = "methods: [iou, {name: mg3, preset: mutual_guidance, assigner: {sigma: 3.0}, nms: 0.6}]"
    cells = cells_of(read_study(write(tmp_path, STUDY.replace("methods: [iou, mutual_guidance]", entry))))
    method = cells[1].config["method"]
    assert (method["name"], method["preset"], method["nms"]) == ("mg3", "mutual_guidance", 0.6)
    assert method["assigner"]["parameters"]["sigma"] == 3.0
    assert method["criterion"]["parameters"]["box"] == "giou"
    needy = STUDY.replace("methods: [iou, mutual_guidance]", "methods: [{name: iou, ranking: cls*quality}]")
    with pytest.raises(InputError, match="needs a quality head"):
        cells_of(read_study(write(tmp_path, needy)))


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_study_reads_and_says_what_it_is_for(path) -> None:
    study = read_study(path)
    assert cells_of(study)
    head = path.read_text()
    for word in ("# Answers:", "# Cost:", "# Expect:"):
        assert word in head, f"{path.name} does not state its {word}"
    assert not study.spec.published or study.spec.published in PUBLISHED
    for preset in study.spec.presets:
        assert cells_of(read_study(path, preset=preset))


def test_published_numbers_of_table_1() -> None:
    rows = PUBLISHED["mutual_guidance_table1"].rows
    assert len(rows) == 20
    assert rows["retinanet-resnet18", "iou"] == {"AP": 51.1, "AP50": 75.8, "AP75": 54.8}
    assert rows["rfbnet-vgg16", "mutual_guidance"] == {"AP": 57.9, "AP50": 81.5, "AP75": 62.6}
