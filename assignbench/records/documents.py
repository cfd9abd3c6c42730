"""The JSON files of a cell's folder and of a study's: their keys with type, unit and meaning."""

from __future__ import annotations

from assignbench.records.columns import Column, TableSchema

EPOCH = Column("epoch", "int", "How many times the training split has been gone through, rounded down.")

_THREADS = (
    "With one thread that thread's; with several that of the whole process, which can exceed the time that passed."
)
INPUTS = TableSchema(
    "inputs",
    "inputs.json",
    "What made the cell's numbers beside config.json, as it was when training began. Where one of these differs now, "
    "the cell is stale: `assignbench run` trains it anew. Imported cells have none.",
    (
        Column("files", "object", "Per group of input_files.parquet the number of files and one hash over all."),
        Column("weights", "object", "Hash of the pretrained weights by the file's name, empty without."),
        Column("sources", "object", "Per assigner or criterion of your own the hashes of its source files."),
        Column("formats", "object", "Per component of AssignBench the making of it (config/formats.py)."),
    ),
    optional=True,
)

METRICS = TableSchema(
    "metrics",
    "metrics.jsonl",
    "One line per logged training step.",
    (
        Column("step", "int", "Training step, counted from 0."),
        EPOCH,
        Column("loss", "float", "The whole loss: the sum of the terms."),
        Column("loss_{term}", "float", "A term of the loss; which ones there are, the criterion says."),
        Column(
            "grad_norm",
            "float",
            "Norm of the gradient before it was clipped.",
            missing="where half precision overflowed, so that the update was left out",
        ),
        Column("lr", "float", "Learning rate of the head."),
        Column("images_per_second", "float", "Training speed since the line before.", "1/s"),
        Column("seconds", "float", "Time since the line before, or since training began or was resumed.", "s", True),
        Column(
            "cpu_seconds",
            "float",
            "Processor time in these seconds: of the process, all its threads; where several train, of all of them.",
            "s",
            True,
        ),
        Column(
            "assign_ms",
            "float",
            "Time of the assigner in this step; on a GPU between two events of the device.",
            "ms",
            True,
        ),
        Column("assign_cpu_ms", "float", f"Processor time of the assigner in this step. {_THREADS}", "ms", True),
        Column(
            "criterion_ms",
            "float",
            "Time of the losses in this step; on a GPU between two events of the device.",
            "ms",
            True,
        ),
        Column("criterion_cpu_ms", "float", f"Processor time of the losses in this step. {_THREADS}", "ms", True),
    ),
    optional=True,
)

STATUS = TableSchema(
    "status",
    "status.json",
    "Where a cell stands.",
    (
        Column(
            "state",
            "text",
            "One of pending, running, done, failed and diverged. Without a whole manifest.json, done is not done.",
        ),
        Column("step", "int", "Training steps done.", "", True),
        Column("steps", "int", "Training steps of the whole run.", "", True),
        Column("phase", "text", "What it does while it runs: training or evaluating.", "", True),
        Column("pid", "int", "Process that trains it.", "", True),
        Column("host", "text", "Machine that trains it.", "", True),
        Column("heartbeat", "float", "When the process last wrote.", "s since 1970", True),
        Column("reason", "text", "Why it stopped, failed or diverged.", "", True),
        Column("notes", "list", "What happened on the way: a damaged checkpoint, a process that was killed.", "", True),
    ),
)

ENVIRONMENT = TableSchema(
    "environment",
    "environment.json",
    "Where and on what a cell ran. An imported cell has `classes` and `class_agnostic` alone.",
    (
        Column("classes", "list", "Names of the classes; a label is a place in this list."),
        Column("class_agnostic", "bool", "Whether the detector sees one class only; the records keep the true labels."),
        Column("date", "text", "Day on which it ran.", "", True),
        Column("device", "text", "Kind of device: cpu or cuda.", "", True),
        Column("device_name", "text", "Name of processor or GPU.", "", True),
        Column("threads", "int", "Threads of the training process, or of each of several.", "", True),
        Column("processes", "int", "Processes that last trained it together.", "", True),
        Column("python", "text", "Version of Python.", "", True),
        Column("torch", "text", "Version of torch.", "", True),
        Column("torchvision", "text", "Version of torchvision.", "", True),
        Column(
            "data",
            "object",
            "Per split: name, images, objects, fingerprint, what was skipped, whether annotated. `test` is what was "
            "measured on, also where `evaluation.split` is val.",
            "",
            True,
        ),
        Column("parameters", "int", "Parameters of the detector.", "", True),
        Column("priors", "object", "Kind, priors per level, strides, and priors per location.", "", True),
        Column(
            "image_size",
            "list",
            "Height and width of the network's input, of an image of `short` x `long` px.",
            "px",
            True,
        ),
    ),
)

_NO_OBJECT = "where no object counts"
SUMMARY = TableSchema(
    "summary",
    "summary.json",
    "Numbers of a finished cell. AP and AR are shares, not per cent; definitions.md says how each is computed.",
    (
        Column("AP", "float", "COCO's AP over IoU 0.50:0.05:0.95.", missing=_NO_OBJECT),
        *(Column(f"AP{t}", "float", f"COCO's AP at IoU 0.{t}.", missing=_NO_OBJECT) for t in (50, 75)),
        *(
            Column(f"{measure}{size}", "float", f"{measure} over {told} objects.", missing=_NO_OBJECT)
            for measure in ("AP", "AR")
            for size, told in (("s", "small (area below 32²)"), ("m", "medium"), ("l", "large (area from 96² on)"))
        ),
        *(
            Column(f"AR{n}", "float", f"COCO's AR with {n} detections per image and class.", missing=_NO_OBJECT)
            for n in (1, 10, 100)
        ),
        Column(
            "AR{n}",
            "float",
            "The same with n detections: 300 and 1000 as far as max_detections reaches, and max_detections itself.",
            "",
            optional=True,
            missing=_NO_OBJECT,
        ),
        Column("per_class", "object", "AP by the name of the class, null for one without objects."),
        Column("AP07", "float", "VOC data: 11-point AP, mean of ten IoU thresholds.", "", True),
        *(Column(f"AP07_{t}", "float", f"VOC data: 11-point AP at IoU 0.{t}.", "", True) for t in (50, 75)),
        Column("AP50_area", "float", "VOC data: AP at IoU 0.5 by the area under the curve.", "", True),
        Column("train_seconds", "float", "Seconds of training, earlier tries counted in.", "s", True),
        Column(
            "cohort",
            "int",
            "How many cells the process trained that ended the training. Times are the cell's own: its steps, and the "
            "making of all batches; on a GPU an even part of what passed. Memory is that of all.",
            "",
            optional=True,
            missing="in earlier versions",
        ),
        Column(
            "train_cpu_seconds",
            "float",
            "Processor time of training, all threads of the process: train_seconds times the share in metrics.jsonl.",
            "s",
            optional=True,
            missing="where nothing was logged",
        ),
        Column(
            "images_per_second",
            "float",
            "Median training speed.",
            "1/s",
            optional=True,
            missing="where fewer than two steps were logged",
        ),
        Column("gflops", "float", "Multiply-adds of the forward pass of one image of gflops_hw.", "1e9", True),
        Column("gflops_hw", "list", "Height and width of that image: the size of the data's test images.", "px", True),
        Column(
            "peak_memory_mib", "float", "Peak memory: allocated on the GPU, or resident in the process.", "MiB", True
        ),
        Column("parameters", "int", "Parameters of the detector.", "", True),
        Column("parameters_trained", "int", "Those of them that training changes.", "", True),
        Column(
            "fps",
            "float",
            "Test images per second, one at a time: network, ranking, NMS and voting; reading them does not count.",
            "1/s",
            optional=True,
            missing="where no image was timed",
        ),
        Column(
            "fps_cpu_share",
            "float",
            f"Processor time over the time that passed in these images. {_THREADS}",
            optional=True,
            missing="where no image was timed",
        ),
        Column("fps_images", "int", "How many images were timed, after ten that were not.", "", True),
        Column("forward_ms_per_image", "float", "Time of the network per test image.", "ms", True),
        Column("forward_cpu_ms_per_image", "float", f"Processor time of the network. {_THREADS}", "ms", True),
        Column("postprocess_ms_per_image", "float", "Time of ranking, NMS and voting per test image.", "ms", True),
        Column("postprocess_cpu_ms_per_image", "float", f"Processor time of the same. {_THREADS}", "ms", True),
    ),
)

LOCAL = TableSchema(
    "local",
    "local.json",
    "Where things lie on the machine that trains. It is no part of the cell's identity.",
    (
        Column("root", "text", "Folder of the data."),
        Column("weights", "text", "File of pretrained weights, or empty."),
        Column("cache", "text", "Folder of cached scenes, or empty."),
        Column("training", "text", "Id of the cell whose training this one takes, or empty.", "", True),
        Column("processes", "int", "Processes that train the cell together; 1 where it is missing.", "", True),
        Column("meeting", "text", "HOST:PORT where these wait for it under torchrun, or empty.", "", True),
        Column("at_once", "int", "Cells or cohorts that the run may train at once; 1 where it is missing.", "", True),
    ),
    optional=True,
)

TRAINING = TableSchema(
    "training",
    "training.json",
    "Whose training this is. Cells that differ only in names, in the test split or in how a trained network is read "
    "(ranking, NMS, voting, evaluation) share one training: one of them is trained, the others copy its weights and "
    "its records of training, and only evaluate. A cell that was trained itself has no such file.",
    (
        Column("cell", "text", "Id of the cell that was trained."),
        Column("weights", "text", "Hash (sha256) of its final weights, checkpoint/weights.safetensors."),
        Column("train_seconds", "float", "Seconds of that training.", "s", True),
        Column("peak_memory_mib", "float", "Peak memory of its process, training counted in.", "MiB", True),
    ),
    optional=True,
)

DIVERGED = TableSchema(
    "diverged",
    "diverged.json",
    "What was known when a loss stopped being finite.",
    (
        Column("step", "int", "Training step."),
        Column("losses", "object", "The terms of the loss; null for one that is not finite."),
        Column("grad_norm", "float", "Norm of the gradient.", missing="where it is not finite"),
        Column("image_ids", "list", "The images of the batch."),
    ),
    optional=True,
)

MANIFEST = TableSchema(
    "manifest",
    "manifest.json",
    "The files of a finished cell, written last. A cell is done only if every file is what this one says.",
    (
        Column("format", "int", "Format of the records."),
        Column(
            "files",
            "object",
            "Per file `bytes`, `sha256`, `modified` (ns since 1970) and, for tables and lines, `rows`. Left out are "
            "manifest.json itself, status.json, claim.json, local.json, queued.json, log.txt and error.txt.",
        ),
    ),
)

CLAIM = TableSchema(
    "claim",
    "claim.json",
    "Who trains a cell, or is about to: one process at a time. It is gone when the process is done with the cell.",
    (
        Column("host", "text", "Machine of the process."),
        Column("boot", "text", "Id of the machine's last start; empty where there is none."),
        Column("pid", "int", "The process."),
        Column("began", "int", "When the process began, in clock ticks since the machine's start."),
        Column("launcher", "int", "Process that launched it."),
        Column("launcher_began", "int", "When that one began."),
        Column("since", "float", "When the cell was claimed.", "s since 1970"),
        Column("renewed", "float", "When the holder last said that it lives, for other machines.", "s since 1970"),
    ),
    optional=True,
)

QUEUED = TableSchema(
    "queued",
    "queued.json",
    "The job of a cell that waits in the queue of a cluster or runs there. It stays when the job has ended.",
    (
        Column("scheduler", "text", "Whose job it is: slurm."),
        Column("job", "text", "Number of the job there."),
        Column("since", "float", "When it was submitted.", "s since 1970"),
    ),
    optional=True,
)

STUDY = TableSchema(
    "study",
    "../study.json",
    "What was asked. It lies beside the cells' folders.",
    (
        Column("study", "text", "Name of the study."),
        Column("title", "text", "Title of its report.", "", True),
        Column("answers", "text", "The question that it answers."),
        Column("expect", "text", "What is expected.", "", True),
        Column("cost", "text", "What it costs to run.", "", True),
        Column("version", "text", "Version of AssignBench that wrote it."),
        Column("cells", "list", "Ids of its cells in the study's order."),
        Column("grid", "object", "Per id data set, detector and method.", "", True, missing="in earlier versions"),
        Column("baselines", "object", "Per method its baseline's name, empty for none.", "", True),
        Column("analyses", "list", "Names of the analyses, empty for all.", "", True),
        Column("claims", "list", "The claims that get a verdict.", "", True),
        Column("claims_elsewhere", "int", "How many more the study makes of methods outside of `table`.", "", True),
        Column("primary", "text", "The measure that answers the question, AP if absent.", "", True),
        Column("precision", "text", "What `amp: auto` stands for in its cells.", "", True, missing="bf16"),
        Column("least_objects", "int", "Objects in a group that a trend rests on, 30 if absent.", "", True),
        Column("areas", "object", "Ranges of area by name, in px².", "", True),
        Column("max_dets", "list", "Detections per image for recall, empty for 1, 10 and 100.", "", True),
        Column("pictures", "list", "Images and objects that the report shows: image, object, data.", "", True),
        Column(
            "printed",
            "object",
            "Per printed table that the study answers to: its title, its head (source, settings, errata), its columns "
            "with our measure, and its rows as printed with split, origin, parameters, legible, values and cells.",
            "",
            True,
            missing="in earlier versions",
        ),
        Column("unpublished", "text", "Why the study's rows are printed nowhere, empty where they are.", "", True),
        Column("table", "text", "The printed table that alone the page is about, empty for all.", "", True),
        Column("tuned", "object", "What `tune` chose, with the sweep and its numbers.", "", True, missing="untuned"),
        Column("left_out", "list", "Imported: what of the files counts in no number.", "", True),
        Column("notes", "list", "Imported: what looks wrong in the files, or is counted in a peculiar way.", "", True),
        Column("imported", "bool", "Whether the cells are predictions that were read from files.", "", True),
        Column("stale", "list", "Cells made from other inputs than those of now: reasons and ids.", "", True),
        Column("accepted", "list", "Stale cells that --accept-stale kept: reasons and ids.", "", True),
        Column("unchecked", "list", "Inputs that could not be compared, such as data that is not there.", "", True),
    ),
)

DOCUMENTS = (METRICS, STATUS, INPUTS, TRAINING, ENVIRONMENT, SUMMARY, MANIFEST, CLAIM, QUEUED, LOCAL, DIVERGED, STUDY)
