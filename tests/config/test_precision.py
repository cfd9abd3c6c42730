"""`amp: auto`: what the processor computes in, one for all cells of a study, also where it goes on elsewhere."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from assignbench import methods
from assignbench.cli import main
from assignbench.commands import devices, precisions, run
from assignbench.config.cell import CellConfig
from assignbench.config.precision import INSTRUCTIONS, precision_here
from assignbench.records import read_json, write_json
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study
from tests.conftest import ROOT

OTHERS = ("fpu", "avx512f", "avx512_vnni", "avx512_bf16x", "asimd", "i8mm", "bf")
# What oneDNN calls its levels, and whether bf16 products are among their instructions.
LEVELS = {
    "SSE41": False,
    "AVX2": False,
    "AVX2_VNNI": False,
    "AVX512_CORE": False,
    "AVX512_CORE_VNNI": False,
    "AVX512_CORE_BF16": True,
    "AVX512_CORE_FP16": True,
    "AVX512_CORE_AMX": True,
    "ALL": True,
    "": True,
}
STUDY = """
study: precise
methods: [iou, {{name: own, preset: iou, baseline: iou, schedule: {{{own}}}}}]
detectors: [retinanet-slim]
data: {{name: shapes, train_images: 16, test_images: 4, size: 64, factors: {{image_size: 64, max_size: 40}}}}
seeds: 1
schedule: {{steps: 2{more}}}
analyses: [averages]
"""


def written(folder, more="", own=""):
    path = folder / "precise.yaml"
    path.write_text(STUDY.format(more=more, own=own))
    return path


@given(
    st.lists(st.tuples(st.sets(st.sampled_from(OTHERS)), st.sets(st.sampled_from(sorted(INSTRUCTIONS)))), max_size=4)
)
def test_every_core_must_have_the_instructions(tmp_path_factory, cores) -> None:
    path = tmp_path_factory.mktemp("cores") / "cpuinfo"
    path.write_text("".join(f"processor\t: {k}\nflags\t\t: {' '.join(a | b)}\n\n" for k, (a, b) in enumerate(cores)))
    expected = "bf16" if cores and all(b for _, b in cores) else "none"
    assert precision_here({}, path) == expected


@pytest.mark.parametrize("key", ["flags\t\t", "Features\t"])
@pytest.mark.parametrize(("level", "there"), LEVELS.items())
def test_a_limit_of_the_library_counts(tmp_path, key, level, there) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"{key}: fpu avx512_bf16 bf16\n")
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        assert precision_here({name: level.lower()}, path) == ("bf16" if there else "none")


def test_a_processor_that_cannot_be_asked_computes_in_float32(tmp_path) -> None:
    assert precision_here({}, tmp_path / "missing") == "none"


@pytest.mark.parametrize("here", ["bf16", "none"])
@pytest.mark.parametrize("more", ["", ", amp: auto"])
def test_all_cells_have_what_auto_stands_for(tmp_path, monkeypatch, here, more) -> None:
    monkeypatch.setattr("assignbench.study.reading.precision_here", lambda: here)
    cells = cells_of(read_study(written(tmp_path, more, "amp: auto")), methods)
    assert {c.config.schedule.amp for c in cells} == {here}


@pytest.mark.parametrize("named", ["none", "bf16", "fp16"])
def test_what_a_study_names_holds_anywhere(tmp_path, monkeypatch, named) -> None:
    monkeypatch.setattr("assignbench.study.reading.precision_here", lambda: "bf16" if named == "none" else "none")
    path = written(tmp_path, f", amp: {named}")
    assert {c.config.schedule.amp for c in cells_of(read_study(path), methods)} == {named}


def test_no_cell_is_undecided(tmp_path) -> None:
    content = cells_of(read_study(written(tmp_path)), methods)[0].config.model_dump(mode="json")
    content["schedule"]["amp"] = "auto"
    with pytest.raises(ValueError, match="none, bf16 or fp16"):
        CellConfig.model_validate(content)


@pytest.mark.parametrize(("begun", "elsewhere"), [("bf16", "none"), ("none", "bf16")])
def test_a_study_goes_on_as_it_was_begun(tmp_path, monkeypatch, capsys, in_process, begun, elsewhere) -> None:
    """Also on another kind of machine; so its cells never mix, and none of them is trained again."""
    arguments = ["run", str(written(tmp_path)), "--out", str(tmp_path / "runs"), "--quiet", "--device", "cpu"]
    monkeypatch.setattr(precisions, "precision_for", lambda device: begun)
    assert main([*arguments, "--only", "*-iou-*"]) == 0, capsys.readouterr()
    monkeypatch.setattr(precisions, "precision_for", lambda device: elsewhere)
    assert main(arguments) == 0, capsys.readouterr()
    folder = tmp_path / "runs" / "precise"
    found = [read_json(p)["schedule"]["amp"] for p in folder.glob("*/config.json")]
    assert found == [begun, begun] and read_json(folder / "study.json")["precision"] == begun
    assert main(["plan", *arguments[1:4]]) == 0
    out = capsys.readouterr().out
    assert ("precision: bf16" in out) == (begun == "bf16") and "pending" not in out


def asked(**more: object) -> SimpleNamespace:
    """Options of a command."""
    return SimpleNamespace(**{"device": "auto", "launcher": "local", "cluster": None, "cohort": "auto"} | more)


def test_a_folder_of_before_was_begun_in_bf16(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(precisions, "precision_for", lambda device: "none")
    study = read_study(written(tmp_path))
    write_json(tmp_path / "study.json", {"study": "precise"})
    assert precisions.precision_of(asked(), study, tmp_path) == "bf16"
    write_json(tmp_path / "study.json", {"study": "precise", "precision": "float8"})
    assert precisions.precision_of(asked(), study, tmp_path) == "none"
    assert precisions.precision_of(asked(), study, tmp_path / "nowhere") == "none"


@pytest.mark.parametrize(
    ("more", "gpus", "expected"),
    [
        ({}, None, "none"),
        ({}, 1, "bf16"),
        ({}, 0.5, "bf16"),
        ({"device": "cuda"}, None, "bf16"),
        ({"device": "cpu"}, None, "none"),
    ],
)
def test_the_machine_that_hands_cells_to_a_cluster_is_not_asked_for_gpus(
    tmp_path, monkeypatch, more, gpus, expected
) -> None:
    monkeypatch.setattr(devices, "choose_device", None)
    monkeypatch.setattr(precisions, "precision_here", lambda: "none")
    path = written(tmp_path)
    if gpus:
        path.write_text(f"{path.read_text()}cluster: {{gpus: {gpus}}}\n")
    options = asked(launcher="slurm", **more)
    study = replace(read_study(path), precision=expected)
    assert precisions.precision_of(options, study, tmp_path / "nowhere") == expected
    line = precisions.precision_line(options, study, tmp_path / "nowhere")
    assert line.startswith("precision: bf16 (amp: auto, and cells ask for GPUs" if gpus or more.get("device") == "cuda"
                           else "precision: float32 (amp: auto, and cells ask for no GPU")  # fmt: skip


def test_a_plan_says_what_a_cluster_would_take(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(precisions, "precision_for", lambda device: "none")
    path = written(tmp_path)
    path.write_text(f"{path.read_text()}cluster: {{gpus: 1}}\n")
    assert main(["plan", str(path), "--out", str(tmp_path / "runs")]) == 0
    assert "precision: float32" in (out := capsys.readouterr().out) and "--launcher slurm or ray: bf16" in out


def test_of_two_runs_begun_together_on_unlike_machines_one_is_refused(tmp_path, monkeypatch, capsys) -> None:
    """Both had looked before the other one began; no cell of the second one's precision is made."""
    study, folder = written(tmp_path), tmp_path / "runs" / "precise"
    arguments = ["run", str(study), "--out", str(tmp_path / "runs"), "--quiet", "--device", "cpu"]
    monkeypatch.setattr(run, "build_report", lambda folder, tell=None, say=None: folder / "report")
    monkeypatch.setattr(run.Jobs, "run", lambda *given: None)
    monkeypatch.setattr(precisions, "precision_for", lambda device: "none")

    def faster(mine, folder) -> None:
        real(mine, folder)
        monkeypatch.setattr(run, "_check_data", real)
        monkeypatch.setattr(precisions, "precision_for", lambda device: "bf16")
        assert main(arguments) == 1
        (folder_of_run / "study.json").unlink()  # it has got as far as the small file

    real, folder_of_run = run._check_data, folder
    monkeypatch.setattr(run, "_check_data", faster)
    assert main(arguments) == 2
    assert "begun this study in bf16, where this machine takes float32" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(precisions, "precision_for", lambda device: "none")
    assert main(arguments) == 1 and read_json(folder / "study.json")["precision"] == "bf16"
    study.write_text(study.read_text().replace("steps: 2", "steps: 2, amp: none"))  # leaves nothing open
    precisions.agree(folder, replace(read_study(study), precision="none"))


def test_the_studies_of_the_package_leave_it_to_the_machine() -> None:
    for path in sorted((ROOT / "studies").glob("*.yaml")):
        assert read_study(path).spec.schedule.amp in ("auto", "none"), path
