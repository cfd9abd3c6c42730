"""Studies whose names are impossible or unknown, and whose entries do not fit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.malformed.harness import Case
from tests.malformed.studies import SHORT, SOUND, case, put, written


def names() -> Iterator[Case]:
    """Names that no table, folder or claim can hold, or that nothing is known by."""
    bad = {
        "climbs": "../x",
        "is absolute": "/tmp/x",
        "has a slash": "a/b",
        "has a backslash": "a\\b",
        "is a dot": ".",
        "is two dots": "..",
        "has an escape": "a\x1b[31m",
        "has a line break": "a\nb",
        "has a NUL": "a\0b",
        "has a wild card": "a*",
        "is a space": " ",
        "is empty": "",
        "is a script": "<script>",
        "is markup": "[red]x[/red]",
        "is long": "x" * 300,
        "turns right to left": "a\u202eb",
        "is a dash": "-rf",
    }
    for what, place in (
        ("study", ("study",)),
        ("label", ("detectors", 0, "label")),
        ("method", ("methods", 1, "name")),
        ("data set", ("data", "name")),
    ):
        for name, value in bad.items():
            if what == "label" and not value:
                continue
            content = put(SOUND, place, value)
            if what == "data set":
                content = put(content, ("data", "kind"), "shapes")
                content["claims"] = []
            if what == "method":
                content["claims"] = []
            text, line = written(content, place)
            yield case(
                f"the name of the {what} {name}",
                text,
                "study.yaml",
                str(place[-1]),
                f"line {line}",
                family="study names",
            )
    for name, value in (("area", "a/b"), ("area", "../x"), ("area", "a\x1b[0m")):
        text, line = written(put(SOUND, ("areas",), {value: [0, 5]}), ("areas",))
        yield case(f"{name} {value!r}", text, "study.yaml", "areas", family="study names")
    for name, value in (("climbs", "../x"), ("has an escape", "a\x1b[0m"), ("has a slash", "a/b")):
        yield case(
            f"a preset {name}",
            written(put(SOUND, ("presets",), {value: {"schedule": {"steps": 2}}}))[0],
            "study.yaml",
            "presets",
            family="study names",
            options=("--preset", value),
        )
    near = {
        ("detectors", 0, "name"): ("retinanet-slin", "retinanet-slim"),
        ("methods", 1, "preset"): ("mutual_guidence", "mutual_guidance"),
        ("methods", 1, "baseline"): ("iuo", "iou"),
        ("methods", 1, "assigner", "name"): ("mutual_guidanc", "mutual_guidance"),
        ("methods", 1, "detectors", 0): ("slin", "slim"),
        ("data", "name"): ("shape", "shapes"),
        ("analyses", 0): ("averags", "averages"),
        ("claims", 0, "claim"): ("guided > iuo on AP", "iou"),
        ("claims", 0, "data", 0): ("shaps", "shapes"),
        ("published",): ("mutual_guidance_table", ""),
        ("methods", 1, "criterion", "name"): ("dens", "dense"),
    }
    for place, (value, remedy) in near.items():
        text, line = written(put(SOUND, place, value), place)
        wrong = "iuo" if "claim" in place else value
        yield case(
            f"unknown {'.'.join(map(str, place))}",
            text,
            "study.yaml",
            wrong,
            remedy,
            f"line {line}",
            family="study names",
        )
    for claim in (
        "guided > guided on AP",
        "guided > nobody on AP",
        "guided > iou on APX",
        "gain grows with size of moon",
        "",
        "guided>>iou on AP",
        "gain of nobody grows with area",
        "AP gain of guided > APX gain",
        "x" * 5000,
        "guided > iou on AP; rm -rf",
        "divergence predicts nothing",
    ):
        text, line = written(put(SOUND, ("claims", 0, "claim"), claim), ("claims", 0, "claim"))
        shown = claim.split()[-1] if claim else "claim"
        yield case(
            f"claim {claim[:30]!r}",
            text,
            "study.yaml",
            "claim",
            (shown[:40], claim[:40]),
            ("line ",),
            family="study names",
        )


def compositions() -> Iterator[Case]:
    """Entries that fit alone and not together."""
    changes: dict[str, tuple[tuple[str | int, ...], Any, tuple[Any, ...]]] = {
        "steps and epochs": (("schedule", "epochs"), 2, ("epochs", "steps")),
        "milestones of two kinds": (("schedule", "milestones"), [0.5, 6], ("milestones", "0.5", "6")),
        "milestones in two units": (
            ("schedule", "milestones"),
            {"steps": [3], "epochs": [1]},
            ("milestones", "epochs"),
        ),
        "milestones of nothing": (("schedule", "milestones"), {}, ("milestones", "{}")),
        "milestones behind the end": (("schedule", "milestones"), [60_000, 80_000], ("milestones", "60000")),
        "warm-up in steps and as a share": (("schedule", "warmup_steps"), 3, ("warmup", "warmup_steps")),
        "an end of the rate in steps": (("schedule", "lr_end"), 1e-6, ("lr_end", "cosine")),
        "a larger update than all images": (("schedule", "accumulate"), 7, ("accumulate", "7", "24")),
        "a misspelt recipe": (("recipe",), "paa_135", ("recipe", "paa_135k")),
        "milestones that fall": (("schedule", "milestones"), [0.8, 0.5], ("milestones",)),
        "milestones twice": (("schedule", "milestones"), [0.5, 0.5], ("milestones",)),
        "momentum for adamw": (("schedule", "optimizer"), "adamw", ("momentum",)),
        "areas that fall": (("areas", "tiny"), [256, 0], ("areas", "0")),
        "an area of one bound": (("areas", "tiny"), [5], ("areas",)),
        "an empty area": (("areas", "tiny"), [5, 5], ("areas",)),
        "an area of three": (("areas", "tiny"), [1, 2, 3], ("areas",)),
        "two equal seeds": (("seeds",), [1, 1], ("seeds", "1")),
        "no seeds": (("seeds",), [], ("seeds",)),
        "zero seeds": (("seeds",), 0, ("seeds", "0")),
        "a negative number of seeds": (("seeds",), -1, ("seeds", "-1")),
        "ten million seeds": (("seeds",), 10_000_000, ("seeds",)),
        "a seed of 65 bits": (("seeds",), [2**64], ("seeds",)),
        "no methods": (("methods",), [], ("methods",)),
        "no detectors": (("detectors",), [], ("detectors",)),
        "no data": (("data",), [], ("data",)),
        "a method twice": (
            ("methods",),
            ["iou", "iou"],
            (
                "iou",
                "twice",
            )[:1],
        ),
        "a detector twice": (("detectors",), ["retinanet-slim", "retinanet-slim"], ("retinanet-slim",)),
        "a data set twice": (("data",), [{"name": "shapes"}, {"name": "shapes"}], ("shapes",)),
        "max_dets twice": (("max_dets",), [10, 10], ("max_dets", "10")),
        "max_dets that fall": (("max_dets",), [100, 1], ("max_dets",)),
        "an analysis twice": (("analyses",), ["averages", "averages"], ("averages",)),
        "its own baseline": (("methods", 1, "baseline"), "guided", ("baseline", "guided")),
        "a method on no detector": (("methods", 1, "detectors"), ["nobody"], ("nobody",)),
        "points for an anchor method": (("detectors",), ["fcos-slim"], ("fcos-slim",)),
        "stds of one": (("methods", 1, "coder", "stds"), [0.1], ("stds",)),
        "stds of three": (("methods", 1, "coder", "stds"), [0.1, 0.1, 0.1], ("stds",)),
        "positive below negative": (("methods", 1, "assigner", "positive"), 0.2, ("positive", "0.2")),
        "a parameter of another assigner": (("methods", 1, "assigner", "topk"), 9, ("topk",)),
        "quality without a head": (("methods", 1, "ranking"), "quality", ("ranking", "quality")),
        "a threshold of soft NMS": (("methods", 1, "nms", "kind"), "soft", ("nms.iou",)),
        "classes of scenes": (("data", "classes"), ["a"], ("classes",)),
        "train of scenes": (("data", "train"), [["a", "b"]], ("train",)),
        "objects larger than the scene": (("data", "factors", "max_size"), 100, ("max_size", "100")),
        "min above max": (("data", "factors", "min_size"), 50, ("min_size", "50")),
        "ssd and zoom": (("data", "augment", "ssd"), True, ("zoom",)),
        "no scales": (("detectors", 0, "spec", "priors"), {"scales": []}, ("scales",)),
        "infinite scales": (("detectors", 0, "spec", "priors"), {"scales": [float("inf")]}, ("scales", "inf")),
        "a billion channels": (("detectors", 0, "spec", "neck", "width"), 10**9, ("width",)),
        "a head for an rpn": (("detectors", 0, "name"), "rpn-slim", ("head",)),
        "the old key parameters": (("detectors", 0, "parameters"), {"weights": "f"}, ("parameters", "spec")),
        "a preset of itself": (("presets", "short"), {"presets": {}}, ("presets",)),
        "a million threads": (("schedule", "threads"), 10**6, ("threads",)),
        "a million loaders": (("schedule", "loader_workers"), 10**6, ("loader_workers",)),
        "ten to the twelve images": (("data", "train_images"), 10**12, ("train_images",)),
        "a batch larger than all images": (("schedule", "batch_size"), 10**9, ("batch_size",)),
        "prior_prob 2": (("methods", 1, "head_init", "prior_prob"), 2, ("prior_prob", "2")),
        "a negative loss weight": (("methods", 1, "criterion", "box_weight"), -1.0, ("box_weight", "-1")),
        "no loss at all": (("methods", 1, "criterion", "focal_alpha"), 2.0, ("focal_alpha", "2")),
        "an infinite clip": (("schedule", "clip_grad"), float("inf"), ("clip_grad", "inf")),
    }
    for name, (place, value, needs) in changes.items():
        options = SHORT if place[0] == "presets" else ()
        yield case(
            name,
            written(put(SOUND, place, value))[0],
            "study.yaml",
            *needs,
            family="study compositions",
            options=options,
        )
