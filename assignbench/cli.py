"""The command line: it parses, and hands over to the file of the command."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import assignbench
from assignbench.characters import printable
from assignbench.errors import InputError, Unread

EXAMPLES = """examples:
  assignbench init --coco annotations/train.json                a study on your own images
  assignbench run studies/quickstart.yaml                       train, measure, write the report (resumes by itself)
  assignbench run studies/bccd.yaml --only '*mutual*' --seeds 3 three seeds of one method
  assignbench run studies/voc_table1.yaml --preset rehearse     the same study on embedded scenes, in minutes
  assignbench run studies/voc_table1.yaml --data voc_mini       the same study on another data set
  assignbench run studies/ltm_1x.yaml --table 3                 only the cells of the paper's Table 3
  assignbench run my.yaml --set schedule.epochs=6 --set data.root=~/data/mine
  assignbench run my.yaml --nproc 4                             four processes (GPUs) train each cell together
  assignbench tune my.yaml                                      the study's sweep: the same settings for each method
  assignbench plan studies/quickstart.yaml                      cells, ids, what is done; runs nothing
  assignbench power my.yaml --detect 1                          the seeds that a difference of 1 point needs
  assignbench doctor my.yaml                                    environment, data paths, each kind of annotation problem
  assignbench data get bccd squeezenet                          download what a study needs, check and unpack it
  assignbench list methods
  assignbench list tables                                       the papers' tables: rows, study, what was run
  assignbench analyze --gt instances.json --predictions ours.json theirs.json
  assignbench analyze --gt instances.json --predictions theirs=t0.json,t1.json,t2.json ours=o0.json,o1.json,o2.json
  assignbench compare runs/quickstart/CELL-A runs/quickstart/CELL-B
  assignbench export runs/quickstart/CELL-A --out exported      a COCO result file, and the weights
  assignbench show assign studies/quickstart.yaml --methods iou,atss --picture both.png
  assignbench show evolution runs/quickstart/CELL-A --vs runs/quickstart/CELL-B
  assignbench open studies/quickstart.yaml                      the report in the browser

exit codes: 0 every requested cell is done · 1 a cell failed · 2 something that you have to mend
Data lies below the folder that ASSIGNBENCH_DATA names (default: assignbench/data in the user's cache)."""


# Where the function of a command's file is not called like the command.
_FUNCTIONS = {"list": "listing", "open": "open_report", "init": "initialise"}


# As a shell tells of a program that ended because nobody read on, e.g. behind `| head -1`: 128 + SIGPIPE.
UNREAD = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    try:
        code = _obeyed(arguments)
    except Unread:
        _written()
        return UNREAD
    except SystemExit:  # argparse's, whose help need not have been written yet
        if not _written():
            return UNREAD
        raise
    return code if _written() else UNREAD


def _written() -> bool:
    """Writes out what was printed; False where it reaches nobody. Then the rest goes nowhere, lest Python complain."""
    reached = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as problem:  # other than a closed pipe e.g. a full disk, of which the command told
            reached = reached and not isinstance(problem, BrokenPipeError)
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return reached


def _obeyed(arguments: Sequence[str] | None) -> int:
    """The exit code of the command, after its errors were told."""
    options = _parser().parse_args(arguments)
    from assignbench.commands.terminal import terminal

    console, errors = terminal(), terminal(stderr=True)
    try:
        if "out" in options:
            from assignbench.commands.folders import check_out

            check_out(options.out)
        # A command imports what it needs when it runs: help and most errors come without loading torch.
        module = import_module(f"assignbench.commands.{options.command}")
        code: int = getattr(module, _FUNCTIONS.get(options.command, options.command))(options, console)
    except InputError as problem:
        errors.print(f"assignbench: {problem}")
        return 2
    except KeyboardInterrupt:
        errors.print("assignbench: stopped; the same command goes on from here")
        return 130
    except OSError as problem:
        if isinstance(problem, Unread):
            raise
        if problem.filename is None and problem.strerror is None:
            raise  # raised by code, not by the system: a traceback says more
        errors.print(f"assignbench: {_file_told(problem)}")
        return 1
    return code


def _file_told(problem: OSError) -> str:
    """What the system refused, where, and what to do about it."""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "make room on that disk"
    elif problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = "check the rights of file and folder, or name another folder"
    else:
        remedy = "check that file or folder"
    where = f"{problem.filename}: " if problem.filename else ""
    return f"{where}{problem.strerror}; {remedy}, then give the same command again"


class _Parser(argparse.ArgumentParser):
    """A parser that repeats what was typed wrong as text, never as an instruction to the terminal."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and leaves with exit code 2."""
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="assignbench",
        description="Is this label assigner better, where, why, and is the difference real?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"assignbench {assignbench.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _beginning(commands)

    run = _command(commands, "run", "train every cell of a study that is not done, then write the report")
    _study_options(run, table=True)
    _training_options(run)
    run.add_argument(
        "--profile", action="store_true", help="say where the time of a training step goes, and train nothing"
    )

    tune = _command(commands, "tune", "train a study's sweep and choose a setting for each method on val")
    _study_options(tune)
    _training_options(tune)

    _planning(commands)

    status = _command(commands, "status", "show where the cells of a study stand")
    _study_options(status, table=True)

    report = _command(commands, "report", "write the report again from the run folder")
    _study_options(report, table=True)
    report.add_argument(
        "--publish",
        type=Path,
        metavar="DIR",
        help="write report.md, figures and the numbers of every cell there, without pictures of data sets",
    )

    _listing(commands)

    _showing(commands)

    analyze = _command(commands, "analyze", "analyse the predictions of any detector of any framework")
    files: dict[str, Any] = {"nargs": "+", "metavar": "[NAME=]FILE[,FILE...]"}
    analyze.add_argument("--gt", type=Path, required=True, metavar="FILE", help="ground truth, a COCO instances JSON")
    of_method = "result JSONs; the first is the baseline; several files of a method are its seeds, paired in order"
    analyze.add_argument("--predictions", required=True, **files, help=of_method)
    analyze.add_argument("--candidates", **files, help="boxes before NMS, one file per prediction file, in order")
    analyze.add_argument(
        "--format",
        choices=("auto", "coco", "mmdet", "ultralytics", "huggingface"),
        default="auto",
        help="whose files these are (default: auto, by what they hold)",
    )
    analyze.add_argument("--classes", metavar="A,B", help="the classes in the order of the detector's own numbers")
    analyze.add_argument(
        "--nms", type=_share, default=0.5, metavar="IOU", help="IoU of the detector's NMS (default: 0.5)"
    )
    analyze.add_argument("--name", metavar="NAME", help="name of the report's folder (default: the ground truth's)")
    analyze.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="run folder (default: runs)")

    compare = _command(commands, "compare", "compare two finished cells by group and image by image")
    compare.add_argument("cells", type=Path, nargs=2, metavar="CELL", help="folders of finished cells, baseline first")
    compare.add_argument("--images", type=Path, metavar="DIR", help="folder of pictures, for imported predictions")
    compare.add_argument(
        "--out", type=Path, default=Path("comparison"), metavar="DIR", help="where it is written (default: comparison)"
    )

    export = _command(
        commands, "export", "write a finished cell's detections as a COCO result file, and its weights as safetensors"
    )
    export.add_argument("cell", type=Path, metavar="CELL", help="folder of a finished cell")
    export.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where it is written: a new folder")
    export.add_argument(
        "--images", type=Path, metavar="FILE", help="detect on the images of this COCO file, which needs no annotations"
    )
    export.add_argument(
        "--root", type=Path, metavar="DIR", help="folder of these images; without --images: where the data set lies now"
    )
    export.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to detect (default: auto)"
    )

    doctor = _command(commands, "doctor", "check the environment and, for a study, its data")
    _study_options(doctor, required=False)

    data = _command(commands, "data", "download public data sets and weights, or list what there is")
    data.add_argument("what", choices=("get", "list"))
    data.add_argument("names", nargs="*", metavar="NAME", help="what to get, e.g. voc2007 squeezenet; see `data list`")
    return parser


def _beginning(commands: argparse._SubParsersAction[_Parser]) -> None:
    """From annotations to a study."""
    init = _command(commands, "init", "write a study on your own annotations, which runs as it is")
    data = init.add_mutually_exclusive_group(required=True)
    data.add_argument("--coco", type=Path, metavar="FILE", help="a COCO instances JSON to train on")
    data.add_argument("--voc", type=Path, metavar="DIR", help="a VOC folder, with or without lists of images")
    init.add_argument("--images", type=Path, metavar="DIR", help="where the pictures lie (default: found nearby)")
    init.add_argument(
        "--test", type=Path, metavar="FILE", help="a COCO file to test on (default: found nearby, else parted)"
    )
    init.add_argument("--test-images", type=Path, metavar="DIR", help="where its pictures lie (default: found nearby)")
    init.add_argument("--detector", default="retinanet-slim", metavar="NAME", help="default: retinanet-slim, for CPUs")
    init.add_argument("--weights", metavar="FILE", help="of its backbone: a file, or torchvision (default: random)")
    init.add_argument("--methods", metavar="A,B", help="presets; the first is the baseline (default: three light ones)")
    init.add_argument("--seeds", type=_positive, metavar="N", help="default: 3")
    init.add_argument("--name", metavar="NAME", help="of study and data set (default: after the folder of the data)")
    init.add_argument("--study", type=Path, metavar="FILE", help="where the study is written (default: NAME.yaml)")


def _listing(commands: argparse._SubParsersAction[_Parser]) -> None:
    """What there is."""
    listing = _command(commands, "list", "list what there is")
    kinds = ("detectors", "methods", "datasets", "recipes", "analyses", "studies", "tables")
    listing.add_argument("what", choices=kinds)
    where = "for tables: the run folder (default: runs)"
    listing.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help=where)


def _planning(commands: argparse._SubParsersAction[_Parser]) -> None:
    """What is asked before a run."""
    plan = _command(commands, "plan", "show the cells of a study, their ids, what is done and the cost")
    _study_options(plan, table=True)
    plan.add_argument("--detect", type=_difference, metavar="D", help="also say how many seeds a difference of D needs")

    power = _command(commands, "power", "say how many seeds a study needs to resolve differences")
    _study_options(power)
    power.add_argument("--detect", type=_difference, metavar="D", help="a difference in points (default: 0.5, 1 and 2)")


def _showing(commands: argparse._SubParsersAction[_Parser]) -> None:
    """What is looked at: one image or object, or the whole report."""
    show = _command(commands, "show", "draw what methods assign on an image, or what a cell recorded of one")
    show.add_argument(
        "what",
        choices=("assign", "anchors", "detections", "maps", "evolution", "scores"),
        help="assign, anchors: what a rule does now; the others: what a finished cell recorded",
    )
    show.add_argument(
        "target", type=Path, metavar="CELL|STUDY", help="a finished cell's folder, or a study (untrained)"
    )
    show.add_argument(
        "--methods", metavar="A,B", help="methods of the study, or presets; two are compared (default: the study's)"
    )
    show.add_argument("--image", metavar="NAME", help="file name or id of an image")
    show.add_argument("--object", type=_whole, metavar="N", help="one object of the image alone, counted from 0")
    show.add_argument("--vs", type=Path, metavar="CELL", help="a second finished cell beside the first")
    show.add_argument("--data", metavar="NAME", help="another data set for a study")
    show.add_argument("--picture", type=Path, metavar="FILE", help="where the PNG goes (default: e.g. maps.png)")

    opening = _command(commands, "open", "open the report of a study in the browser")
    opening.add_argument("study", type=Path, metavar="STUDY", help="a study file, or a run folder")
    opening.add_argument("--preset", metavar="NAME", help="the report of one of the study's variants")
    opening.add_argument("--data", metavar="NAME", help="the report of another data set")
    opening.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="run folder (default: runs)")


def _command(commands: argparse._SubParsersAction[_Parser], name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _study_options(parser: argparse.ArgumentParser, *, required: bool = True, table: bool = False) -> None:
    parser.add_argument("study", type=Path, metavar="STUDY", nargs=None if required else "?", help="a study file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
                        help="change an entry of the study, e.g. schedule.steps=500 (repeatable)")  # fmt: skip
    parser.add_argument("--only", metavar="GLOB", help="only cells whose slug, id or method matches")
    parser.add_argument("--seeds", type=_positive, metavar="N", help="seeds 0 to N-1 instead of the study's")
    parser.add_argument("--data", metavar="NAME", help="another data set: see `assignbench list datasets`")
    parser.add_argument("--preset", metavar="NAME", help="one of the study's own variants, e.g. rehearse")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="run folder (default: runs)")
    if table:
        parser.add_argument("--table", metavar="N", help="only the cells of one printed table, e.g. 3 (`list tables`)")


def _training_options(parser: argparse.ArgumentParser) -> None:
    devices = ("auto", "cpu", "cuda")
    parser.add_argument("--device", choices=devices, default="auto", help="where to train (default: auto)")
    parser.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="cells or cohorts side by side (default: by cores, one per GPU; clusters: all)",
    )
    parser.add_argument(
        "--launcher",
        choices=("local", "slurm", "ray"),
        default="local",
        help="who starts the cells: processes here, jobs of Slurm, tasks of Ray (default: local)",
    )
    parser.add_argument(
        "--cluster",
        type=Path,
        metavar="FILE",
        help="what a cell or cohort asks of the cluster (default: the study's `cluster:`)",
    )
    parser.add_argument(
        "--cohort",
        "--per-device",
        type=_cohort,
        default="auto",
        metavar="auto|off|N",
        help="cells that see the same images in one process and on one device, N at most (default: auto; on a cluster "
        "that is off, but on GPUs with --workers)",
    )
    parser.add_argument(
        "--nproc",
        type=_positive,
        default=1,
        metavar="N",
        help="processes that train each cell together, each with a share of every batch and a GPU of its own "
        "(default: 1; under torchrun: all that it has started)",
    )
    old = parser.add_mutually_exclusive_group()
    old.add_argument(
        "--fresh", action="store_true", help="forget finished and half-finished cells and train them again"
    )
    old.add_argument(
        "--accept-stale", action="store_true", help="keep finished cells whose inputs have changed; the report says so"
    )
    _loudness(parser)


def _loudness(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--quiet", action="store_true", help="only the closing table")
    group.add_argument("--verbose", action="store_true", help="name every cell's folder and device too")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got '{text:.60}'")
    return value


def _difference(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.001 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected a difference from 0.001 to 100 points, got '{text:.60}'")
    return value


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got '{text:.60}'")
    return number


def _cohort(text: str) -> str:
    if text in ("auto", "off"):
        return text
    try:
        return str(_positive(text))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"expected auto, off or a whole number of at least 1, got '{text:.60}'"
        ) from None


def _whole(text: str) -> int:
    """A whole number as people write it; Python would also take `1_000`, other digits, and refuse 5000 of them."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number, got '{text:.60}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
