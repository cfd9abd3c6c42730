"""Study files: what is understood, and what is said about the rest."""

import subprocess
import sys
from pathlib import Path

import pytest

from assignbench import methods
from assignbench.config.cell import CellConfig
from assignbench.config.method import differing_parts
from assignbench.errors import InputError
from assignbench.study.baselines import baselines_of, pair_lines
from assignbench.study.grid import Cell, cells_of, methods_of
from assignbench.study.reading import Study, read_study
from tests.conftest import ROOT, STUDY


def planned(study: Study, *, only: str | None = None) -> list[Cell]:
    return cells_of(study, methods, only=only)


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
        ("box: giou", "bx: giou", r"line 8: method_defaults.criterion.bx: no criterion .*'bx'; did you mean 'box'"),
        ("steps: 8", "steps: eight", r"line 11: schedule.steps is 'eight' .allowed: a whole number"),
        ("steps: 8", "steps: 8, epochs: 2", r"set exactly one of epochs and steps"),
        ("max_size: 40", "max_size: 400", r"max_size <= image_size"),
    ],
)
def test_mistakes_name_the_line_and_the_nearest_name(tmp_path, old, new, message) -> None:
    assert old in STUDY
    with pytest.raises(InputError, match=message):
        planned(read_study(write(tmp_path, STUDY.replace(old, new))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("a: [1, 2", "not a plain YAML file"),
        ("- a\n- b\n", "a study is a mapping .* found a list"),
        (
            "study: !!python/object/apply:os.system ['touch executed']\n",
            "line 1: the tag '!!python/object.* is not used",
        ),
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
    variants = STUDY + "presets:\n  long: {schedule: {lr: 0.5}}\n  bccd: {schedule: {lr: 0.25}}\n"
    path = write(tmp_path, variants)
    assert read_study(path, preset="long", data="cplid").spec.schedule.lr == 0.5
    assert read_study(path, data="bccd").spec.schedule.lr == 0.25
    with pytest.raises(InputError, match=r"bccd is a variant of its own .* the place of --preset long; leave"):
        read_study(path, preset="long", data="bccd")


def test_cell_ids_follow_the_configuration(tiny_study) -> None:
    def ids(*sets: str) -> list[str]:
        return [c.id for c in planned(read_study(tiny_study, sets=list(sets)))]

    plain = ids()
    assert len(plain) == 2 and len(set(plain)) == 2
    assert plain == ids("schedule.loader_workers=2", "data.root=/elsewhere", "title=other")
    assert not set(plain) & set(ids("schedule.lr=0.002"))
    assert not set(plain) & set(ids("schedule.threads=2"))
    changed = ids("method_defaults.criterion.box_weight=3.0")
    assert not set(plain) & set(changed)


def test_only_chooses_cells(tiny_study) -> None:
    study = read_study(tiny_study, seeds=2)
    assert [c.slug for c in planned(study, only="*mutual*/seed1".replace("/", "/*"))] == [
        "retinanet-slim/mutual_guidance/shapes/seed1"
    ]
    assert len(planned(study, only="iou")) == 2
    with pytest.raises(InputError, match="no cell matches; the cells are"):
        planned(study, only="nothing")


def test_method_entries_override_parts(tmp_path) -> None:
    entry = "methods: [iou, {name: mg3, preset: mutual_guidance, assigner: {sigma: 3.0}, nms: 0.6}]"
    cells = planned(read_study(write(tmp_path, STUDY.replace("methods: [iou, mutual_guidance]", entry))))
    method = cells[1].config.method
    assert (method.name, method.preset, method.nms.iou) == ("mg3", "mutual_guidance", 0.6)
    assert method.assigner.parameters["sigma"] == 3.0
    assert method.criterion.parameters["box"] == "giou"
    needy = STUDY.replace("methods: [iou, mutual_guidance]", "methods: [{name: iou, ranking: cls*quality}]")
    with pytest.raises(InputError, match="needs a quality head"):
        planned(read_study(write(tmp_path, needy)))


def lines_of(study: Study) -> list[str]:
    return pair_lines(study, methods_of(study, methods), baselines_of(study, methods))


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_study_reads_and_says_what_it_is_for(path) -> None:
    study = read_study(path)
    assert planned(study)
    head = path.read_text()
    for word in ("# Answers:", "# Cost:", "# Expect:"):
        assert word in head, f"{path.name} does not state its {word}"
    assert not study.spec.published or study.spec.published.startswith("none: ")
    # Printed tables compare recipes, too.
    assert study.spec.tables or not any(
        " against " in line and "atss" in line and "recipe" in line for line in lines_of(study)
    )
    for preset in study.spec.presets:
        assert planned(read_study(path, preset=preset))


def entries(tmp_path: Path, *given: str, detectors: str = "[retinanet-slim]") -> Study:
    text = STUDY.replace("methods: [iou, mutual_guidance]", f"methods: [{', '.join(given)}]")
    return read_study(write(tmp_path, text.replace("\ndetectors: [retinanet-slim]", f"\ndetectors: {detectors}")))


def test_baselines_come_from_the_entry_the_preset_or_the_first_method(tmp_path) -> None:
    study = entries(tmp_path, "iou", "paa", "iou_paa", "{name: mine, preset: paa, baseline: iou}", "atss_plain", "ltm")
    assert baselines_of(study, methods) == {
        "iou": "",
        "paa": "iou_paa",
        "iou_paa": "",
        "mine": "iou",
        "atss_plain": "iou",
        "ltm": "",
    }
    assert lines_of(study)[2].startswith("iou_paa against iou: ")
    # A preset's baseline is found by its preset too, whatever the study calls it.
    study = entries(tmp_path, "atss_plain", "paa", "{name: plain, preset: iou_paa}")
    assert baselines_of(study, methods) == {"atss_plain": "", "paa": "plain", "plain": ""}
    # Methods that meet on no detector are never compared.
    both = "[retinanet-slim, fcos-slim]"
    anchors, points = "detectors: [retinanet-slim]", "detectors: [fcos-slim]"
    study = entries(
        tmp_path,
        f"{{name: iou, {anchors}}}",
        f"{{name: fcos_plus_plus, {points}}}",
        f"{{name: musu, {points}}}",
        f"{{name: paa, {anchors}}}",
        detectors=both,
    )
    assert baselines_of(study, methods) == {"iou": "", "fcos_plus_plus": "", "musu": "fcos_plus_plus", "paa": ""}
    assert lines_of(study)[3].startswith("paa against iou: a recipe")
    apart = f"{{name: musu, baseline: iou, {points}}}"
    with pytest.raises(InputError, match=r"methods\.1\.baseline: 'iou' meets 'musu' on no detector"):
        baselines_of(entries(tmp_path, f"{{name: iou, {anchors}}}", apart, detectors=both), methods)


def test_no_pair_is_asked_twice(tmp_path) -> None:
    """iou comes last and names no baseline: it is not compared with the method that is compared with it."""
    study = entries(tmp_path, "atss_plain", "iou")
    assert baselines_of(study, methods) == {"atss_plain": "iou", "iou": ""}
    assert lines_of(study) == [
        "atss_plain against iou: the assigner alone differs",
        "iou: compared with nothing",
    ]


def test_pairs_name_what_differs_beyond_the_assigner(tmp_path) -> None:
    study = entries(
        tmp_path, "iou", "atss_plain", "{name: heavy, preset: atss_plain, criterion: {box_weight: 3.5}}", "ltm"
    )
    lines = dict(line.split(maxsplit=1) for line in lines_of(study))
    assert lines["atss_plain"] == "against iou: the assigner alone differs"
    assert lines["heavy"] == "against iou: a recipe; beyond the assigner differ criterion.box_weight 2.0 -> 3.5"
    assert "a recipe" in lines["ltm"] and "criterion dense -> ltm" in lines["ltm"]


def test_a_detector_may_change_the_schedule(tmp_path) -> None:
    """Over the study's and the data set's, for all methods of its cells alike."""
    change = "{optimizer: sgd, lr: 0.02, epochs: 3}"
    study = entries(
        tmp_path, "iou", "atss_plain", detectors=f"[retinanet-slim, {{name: rpn-slim, schedule: {change}}}]"
    )
    study = read_study(study.path, sets=["methods=[iou]", "data.schedule={lr: 0.5, weight_decay: 0.1}"])
    read = {c.config.detector.label: c.config.schedule for c in planned(study)}
    base = study.spec.schedule.model_copy(update={"lr": 0.5, "weight_decay": 0.1, "amp": study.precision})
    assert read["retinanet-slim"] == base
    wanted = {"optimizer": "sgd", "lr": 0.02, "epochs": 3.0, "steps": None}
    assert read["rpn-slim"] == base.model_copy(update=wanted)
    for wrong, told in (
        ("{lrr: 0.1}", "schedule of detector 'x': unknown key 'lrr'; did you mean 'lr'"),
        ("{momentum: 0.5}", "momentum does nothing without optimizer: sgd"),
    ):
        with pytest.raises(InputError, match=told):
            entries(tmp_path, "iou", detectors=f"[{{name: retinanet-slim, label: x, schedule: {wrong}}}]")


def test_a_method_may_be_read_differently(tmp_path) -> None:
    """Its cells have its own evaluation, and its pair is one of recipes."""
    changed = "{name: many, preset: atss_plain, evaluation: {max_detections: 300, floor: 0.05}}"
    study = entries(tmp_path, "iou", "atss_plain", changed)
    read = {c.config.method.name: c.config.evaluation for c in planned(study)}
    assert read["iou"] == read["atss_plain"] == study.spec.evaluation
    assert read["many"] == study.spec.evaluation.model_copy(update={"max_detections": 300, "floor": 0.05})
    assert lines_of(study)[2] == (
        "many against iou: a recipe; beyond the assigner differ evaluation.floor 0.01 -> 0.05, "
        "evaluation.max_detections 100 -> 300"
    )
    for wrong, told in (("{flor: 0.1}", "unknown key 'evaluation.flor'; did you mean 'floor'"), ("{floor: 2}", "is 2")):
        with pytest.raises(InputError, match=rf"line \d+: methods\.0: .*{told}"):
            entries(tmp_path, f"{{name: iou, evaluation: {wrong}}}")


def test_presets_say_what_they_are_compared_with() -> None:
    """A preset's baseline exists, and the two differ in the assigner alone."""
    for preset in methods.PRESETS.values():
        if preset.baseline:
            ours, theirs = methods.resolve(preset.name), methods.resolve(preset.baseline)
            assert differing_parts(ours, theirs) == (), f"{preset.name} and its baseline {preset.baseline}"
            assert ours.assigner != theirs.assigner, preset.name
    assert next(iter(methods.PRESETS)) == "iou"


def test_presets_without_a_baseline_are_one_or_say_why() -> None:
    named = {preset.baseline for preset in methods.PRESETS.values()}
    silent = [p.name for p in methods.PRESETS.values() if not p.baseline and p.name not in named]
    assert [name for name in silent if "No baseline: " not in methods.PRESETS[name].about] == []


def test_defaults_go_to_the_methods_that_have_the_parameter(tmp_path) -> None:
    text = STUDY.replace("box_weight: 2.0", "box_weight: 2.0, negative: eq11").replace("mutual_guidance]", "ltm]")
    one, two = (c.config.method.criterion.parameters for c in planned(read_study(write(tmp_path, text))))
    assert one["box_weight"] == 2.0 and "negative" not in one
    assert two["negative"] == "eq11" and "box_weight" not in two
    with pytest.raises(InputError, match="no criterion of the study has the parameter 'negative'"):
        planned(read_study(write(tmp_path, STUDY.replace("box_weight: 2.0", "box_weight: 2.0, negative: eq11"))))


def test_a_module_of_the_current_folder_is_found(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [p for p in sys.path if p not in ("", str(tmp_path))])
    (tmp_path / "study_own_rule.py").write_text(
        "from dataclasses import dataclass\nfrom assignbench.assigners.max_iou import MaxIoU\n"
        "@dataclass(frozen=True)\nclass Mine(MaxIoU):\n    extra: float = 1.5\n"
    )
    entry = "{name: mine, preset: iou, assigner: {name: 'study_own_rule:Mine', extra: 2.5}}"
    cells = planned(entries(tmp_path, "iou", entry))
    assert cells[1].config.method.assigner.parameters["extra"] == 2.5
    with pytest.raises(InputError, match="has no parameter 'extar'; did you mean 'extra'"):
        planned(entries(tmp_path, "iou", entry.replace("extra", "extar")))


def test_cells_survive_json(tiny_study) -> None:
    for cell in planned(read_study(tiny_study)):
        again = CellConfig.model_validate_json(cell.config.model_dump_json())
        assert again == cell.config and again.id == cell.id
        assert CellConfig.model_validate(cell.config.model_dump(mode="json")) == cell.config


def test_descriptions_load_no_torch() -> None:
    code = (
        "import sys, assignbench.study.grid, assignbench.study.baselines, assignbench.study.about\n"
        "import assignbench.launch.local\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", "1E-3", ".1e-2", "+1.e-3"])
def test_numbers_are_read_as_people_write_them(tmp_path, text) -> None:
    assert read_study(write(tmp_path, STUDY.replace("lr: 1.0e-3", f"lr: {text}"))).spec.schedule.lr == 0.001
    assert read_study(write(tmp_path, STUDY), sets=[f"schedule.lr={text}"]).spec.schedule.lr == 0.001
