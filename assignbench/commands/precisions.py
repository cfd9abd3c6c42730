"""What `amp: auto` stands for in the cells of a run folder: decided once, by whoever begins it first."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import get_args

from assignbench.commands.devices import precision_for
from assignbench.commands.launchers import device_of, wanted_cluster
from assignbench.config.precision import Precision, precision_here
from assignbench.errors import InputError
from assignbench.records import read_json
from assignbench.records.files import write_new
from assignbench.study.reading import Study

FILE = ".precision"  # in the run folder, from before its first cell is made; study.json tells the report
NAMES: dict[Precision, str] = {"bf16": "bf16", "none": "float32"}


def precision_of(options: argparse.Namespace, study: Study, folder: Path) -> Precision:
    """What `amp: auto` stands for: as the study was begun, also elsewhere, so that its cells never mix; else what suits
    the device that the options mean. The machines of a cluster are not asked, and this one only for its processor.
    """
    begun = begun_in(folder)
    if begun is not None:
        return begun
    if getattr(options, "launcher", "local") == "local":
        return precision_for(getattr(options, "device", "auto"))
    return "bf16" if _on_gpus(options, study) else precision_here()


def begun_in(folder: Path) -> Precision | None:
    """What the study of a run folder was begun in; None where it was not, or nobody can tell."""
    try:
        about = read_json(folder / "study.json")
    except InputError:  # it is written anew, and whoever reads it for more than this says what is wrong with it
        about = {}
    if about:
        return _known(about.get("precision", "bf16"))
    with suppress(OSError, ValueError):
        return _known((folder / FILE).read_text().strip())
    return None


def agree(folder: Path, study: Study) -> None:
    """Makes a run folder's precision that of the study, before its first cell is made.

    Raises InputError where another run, on a machine of another kind, was faster.
    """
    if not _left_open(study):
        return
    if begun_in(folder) is None:
        with suppress(FileExistsError):
            write_new(folder / FILE, study.precision.encode())
    begun = begun_in(folder)
    if begun is not None and begun != study.precision:
        raise InputError(
            f"{folder}: another run has just begun this study in {NAMES[begun]}, where this machine takes "
            f"{NAMES[study.precision]} (amp: auto); give the command again: it goes on in that"
        )


def precision_line(options: argparse.Namespace, study: Study, folder: Path) -> str:
    """Says what the cells compute in, and why; "" for a study that names it itself."""
    if study.spec.schedule.amp != "auto":
        return ""
    told = f"precision: {NAMES[study.precision]} (amp: auto, and"
    if getattr(options, "launcher", "local") != "local":
        why = "cells ask for GPUs" if _on_gpus(options, study) else "cells ask for no GPU; as this machine's processor"
        return f"{told} {why}, or the study was begun so)"
    here = "the processor or GPU computes in it" if study.precision == "bf16" else "nothing here computes in bf16"
    line = f"{told} {here}, or the study was begun so)"
    elsewhere = study.spec.cluster is not None and study.spec.cluster.gpus and begun_in(folder) is None
    more = "; begun with --launcher slurm or ray: bf16, for cells ask for GPUs (cluster.gpus)"
    return line + more if elsewhere and study.precision != "bf16" else line


def _on_gpus(options: argparse.Namespace, study: Study) -> bool:
    return device_of(options, wanted_cluster(options, study))[0] == "cuda"


def _known(told: object) -> Precision | None:
    return next((name for name in get_args(Precision) if name == told), None)


def _left_open(study: Study) -> bool:
    """Whether any cells of the study take what `amp: auto` stands for."""
    spec = study.spec
    changes = [entry.schedule for entries in (spec.data, spec.detectors, spec.methods) for entry in entries]
    return spec.schedule.amp == "auto" or any(change.get("amp") == "auto" for change in changes if change)
