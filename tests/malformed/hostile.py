"""Studies and weights that try to run code, to write elsewhere or to eat the machine."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.malformed.harness import Case, Told
from tests.malformed.studies import SOUND, put, written

_CALLS = (
    "os:system",
    "subprocess:call",
    "subprocess:Popen",
    "builtins:exec",
    "builtins:eval",
    "builtins:open",
    "builtins:print",
    "builtins:object",
    "builtins:type",
    "shutil:rmtree",
    "pathlib:Path",
    "os:remove",
    "os:_exit",
    "sys:exit",
    "posix:abort",
    "ctypes:string_at",
    "importlib:import_module",
    "code:interact",
    "webbrowser:open",
    "time:sleep",
    "assignbench.cli:main",
    "assignbench.records:write_json",
    "assignbench.assigners:Assigner",
    "torch:load",
    "os",
    ":",
    "os:",
    ":system",
    "os:path.join",
    "os:path:join",
    "nobody_has_this:X",
    "../x:Y",
    "/etc/passwd:x",
    "a b:c",
    "os\n:system",
    ".os:system",
    "os.:system",
    "canary\x1b[31m:x",
)
_PLACES: dict[str, tuple[tuple[str | int, ...], Callable[[str], Any]]] = {
    "assigner": (("methods", 1, "assigner"), lambda n: {"name": n, "command": "touch canary"}),
    "bare assigner": (("methods", 1, "assigner"), lambda n: n),
    "criterion": (("methods", 1, "criterion"), lambda n: {"name": n, "args": "touch canary"}),
    "analysis": (("analyses",), lambda n: [n]),
    "preset": (("methods", 1, "preset"), lambda n: n),
    "detector": (("detectors", 0, "name"), lambda n: n),
}


def calls() -> Iterator[Case]:
    """Names that would be called if anybody called them; a study may only name assigners, criteria and analyses."""
    for what, (place, value) in _PLACES.items():
        for number, name in enumerate(_CALLS):
            if what in ("bare assigner", "preset", "detector") and number % 4:
                continue  # every place once with every kind of name would be the same test again
            text, _ = written(put(SOUND, place, value(name)))
            shown = "control character" if "\x1b" in name else name.split("\n")[0]
            yield Case("hostile", f"{what} {name!r}", _plan(text), ("study.yaml", shown, "line "), (2,), _no_canary)


def _plan(text: str, modules: dict[str, str] | None = None) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        (folder / "study.yaml").write_text(text)
        for name, code in (modules or {}).items():
            (folder / name).write_text(code)
        return ["plan", "study.yaml"]

    return write


def _no_canary(folder: Path, told: Told) -> list[str]:
    return ["code was run"] if (folder / "canary").exists() else []


_TOUCH = "__import__('pathlib').Path('canary').touch()"
_MODULES = {
    "that ends the program": ("raise SystemExit(0)", ("SystemExit",)),
    "that ends the program by name": ("import sys\nsys.exit()", ("SystemExit",)),
    "that is interrupted": ("raise KeyboardInterrupt", ("corpus_module",)),
    "that raises": ("raise ValueError('boom\\x1b[31m [red]')", ("ValueError", "boom")),
    "with a mistake": ("class Own(:\n", ("SyntaxError",)),
    "that is missing something": ("import nobody_has_this", ("nobody_has_this",)),
    "that imports itself for ever": ("def f(n):\n    return f(n)\nf(1)", ("RecursionError",)),
    "with a base exception": ("class E(BaseException): pass\nraise E('x')", ("corpus_module",)),
    "with a plain class": (f"class Own:\n    def __init__(self, **k):\n        {_TOUCH}", ("Own", "Assigner")),
    "with a function": (f"def Own(**k):\n    {_TOUCH}", ("Own",)),
    "with an instance": (f"class A:\n    def __call__(self, **k):\n        {_TOUCH}\nOwn = A()", ("Own",)),
    "with a class of another kind": ("from assignbench.assigners.criteria import Criterion as Own", ("Own",)),
    "with an abstract class": ("from assignbench.assigners import Assigner as Own", ("Own",)),
    "that lies about its class": (
        f"class A:\n    @property\n    def __class__(self):\n        return type\n"
        f"    def __call__(self, **k):\n        {_TOUCH}\nOwn = A()",
        ("Own",),
    ),
    "without the name": ("class Owm: pass", ("Own",)),
    "whose attribute raises": ("def __getattr__(name):\n    raise RuntimeError('no ' + name)", ("Own",)),
    "that is no Python": ("\0\0\0", ("corpus_module",)),
    "that is a class that raises": (
        "from assignbench.assigners.max_iou import MaxIoU\n"
        "class Own(MaxIoU):\n    def __init__(self):\n        raise SystemExit(0)",
        ("Own", "SystemExit"),
    ),
}


def modules() -> Iterator[Case]:
    """Own modules of a user that do not work, or are no assigner."""
    text, _ = written(put(SOUND, ("methods", 1, "assigner"), {"name": "corpus_module:Own"}))
    for name, (code, needs) in _MODULES.items():
        if "interrupted" in name:  # as if somebody had pressed Ctrl-C
            yield Case(
                "hostile", f"an own assigner {name}", _plan(text, {"corpus_module.py": code}), (), (2, 130), _no_canary
            )
            continue
        yield Case(
            "hostile",
            f"an own assigner {name}",
            _plan(text, {"corpus_module.py": code}),
            ("study.yaml", "corpus_module", *needs),
            (2,),
            _no_canary,
        )
    asked, _ = written(put(SOUND, ("analyses",), ["corpus_module:own"]))
    for name, code in (
        ("a plain function", f"def own(study):\n    {_TOUCH}"),
        ("a class", "class own: pass"),
        ("a number", "own = 5"),
        ("missing", ""),
        ("ending the program", "raise SystemExit(0)"),
        ("a method of another", "own = [].append"),
    ):
        yield Case(
            "hostile",
            f"an own analysis that is {name}",
            _plan(asked, {"corpus_module.py": code}),
            ("study.yaml", "corpus_module"),
            (2,),
            _no_canary,
        )


class _Runs:
    def __reduce__(self) -> Any:
        return os.system, ("touch canary",)


def _zipped(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def _npy(shape: str, descr: str = "<f4", data: bytes = b"\0" * 64) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def _npz(**arrays: Any) -> bytes:
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


def weights() -> Iterator[Case]:
    """Weights files that hold no weights, those of another network, nothing finite, or code."""
    objects = _npz(w=np.array([_Runs()], dtype=object))
    header = b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'
    files: dict[str, tuple[str, bytes | None]] = {
        "missing": ("w.npz", None),
        "empty": ("w.npz", b""),
        "text": ("w.npz", b"hello"),
        "text called pth": ("w.pth", b"hello"),
        "text called safetensors": ("w.safetensors", b"hello"),
        "a cut zip": ("w.npz", _npz(a=np.ones(100))[:200]),
        "an empty archive": ("w.npz", _zipped({})),
        "an empty dictionary": ("w.npz", _npz()),
        "of another network": ("w.npz", _npz(a=np.ones((3, 3), np.float32))),
        "an npz with code": ("w.npz", objects),
        "a pickle with code": ("w.pth", pickle.dumps({"a": _Runs()})),
        "a zipped pickle with code": (
            "w.pth",
            _zipped({"archive/data.pkl": pickle.dumps(_Runs(), 2), "archive/version": b"3\n"}),
        ),
        "a pickle of a list": ("w.pth", pickle.dumps([1, 2])),
        "a pickle of a number": ("w.pth", pickle.dumps(5)),
        "an npz of text": ("w.npz", _npz(a=np.array(["x"]))),
        "an npz that promises terabytes": ("w.npz", _zipped({"a.npy": _npy("(1000000000000,)")})),
        "an npz of a negative shape": ("w.npz", _zipped({"a.npy": _npy("(-5,)")})),
        "an npz with a hostile header": ("w.npz", _zipped({"a.npy": _npy("__import__('os').system('touch canary')")})),
        "an npz that climbs": ("w.npz", _zipped({"../../canary": _npy("(1,)")})),
        "a safetensors that promises terabytes": ("w.safetensors", struct.pack("<Q", len(header)) + header),
        "a safetensors with a huge header": ("w.safetensors", struct.pack("<Q", 1 << 60) + b"{}"),
        "a safetensors without tensors": ("w.safetensors", struct.pack("<Q", 2) + b"{}"),
        "an ONNX file": ("w.onnx", b"\x08\x07\x12\x07pytorch"),
        "no known suffix": ("w.bin", b"\0" * 100),
        "a study": ("w.yaml", b"study: x\n"),
        "a folder": ("w.npz", b"folder"),
        "a pipe": ("w.npz", b"pipe"),
        "a joke of a name": ("[red]x[_red].npz", b"x"),
    }
    for name, (file, content) in files.items():
        yield Case(
            "weights",
            f"a weights file that is {name}",
            _doctor(file, content),
            (file,),
            (2,),
            _no_canary,
            apart="terabytes" in name or "pipe" in name or "huge" in name,
        )
    for what in ("NaN", "infinity", "a shape", "a name less", "whole numbers", "complex numbers", "all zero"):
        for suffix in ("npz", "pth", "safetensors"):
            if what == "complex numbers" and suffix == "safetensors":
                continue
            code = (0, 2) if what in ("whole numbers", "all zero") else (2,)
            yield Case(
                "weights",
                f"a {suffix} with {what}",
                _spoilt(what, suffix),
                (f"w.{suffix}",) if code == (2,) else (),
                code,
                _no_canary,
            )
    for suffix in ("npz", "pth", "safetensors"):
        yield Case("weights", f"sound: a {suffix}", _spoilt("", suffix), (), (0,))
    climbs = put(_STUDY, ("detectors", 0, "weights"), "../../../etc/passwd")
    yield Case("weights", "a path that climbs", lambda f: _written(f, climbs), ("passwd",))
    spec = put(_STUDY, ("detectors", 0, "spec"), {"backbone": {"weights": "w.npz"}})
    yield Case("weights", "weights in the spec", lambda f: _written(f, spec), ("weights", "line "))


_STUDY: dict[str, Any] = {
    "study": "corpus",
    "answers": "nothing",
    "cost": "nothing",
    "expect": "nothing",
    "detectors": [{"name": "retinanet-slim", "weights": "w.npz"}],
    "methods": ["iou"],
    "data": {
        "name": "shapes",
        "train_images": 4,
        "test_images": 2,
        "image_size": 64,
        "factors": {"image_size": 64, "max_size": 40},
    },
    "schedule": {"steps": 2},
}


def _written(folder: Path, content: dict[str, Any]) -> list[str]:
    (folder / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return ["doctor", "study.yaml"]


def _doctor(file: str, content: bytes | None) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        path = folder / file
        if content == b"folder":
            path.mkdir()
        elif content == b"pipe":
            os.mkfifo(path)
        elif content is not None:
            path.write_bytes(content)
        return _written(folder, put(_STUDY, ("detectors", 0, "weights"), file))

    return write


def _spoilt(what: str, suffix: str) -> Callable[[Path], list[str]]:
    """The slim backbone's own tensors with one thing wrong."""

    def write(folder: Path) -> list[str]:
        import torch
        from safetensors.torch import save_file

        from assignbench.detectors.backbones import BACKBONES

        tensors = {k: v.clone() for k, v in BACKBONES["slim"]().state_dict().items()}
        first = next(k for k, v in tensors.items() if v.dim() == 4)
        if what in ("NaN", "infinity"):
            tensors[first].view(-1)[3] = float("nan") if what == "NaN" else float("inf")
        elif what == "a shape":
            tensors[first] = tensors[first][:1].clone()
        elif what == "a name less":
            del tensors[first]
        elif what == "whole numbers":
            tensors[first] = tensors[first].to(torch.int32)
        elif what == "complex numbers":
            tensors[first] = tensors[first].to(torch.complex64)
        elif what == "all zero":
            tensors = {k: torch.zeros_like(v) for k, v in tensors.items()}
        path = folder / f"w.{suffix}"
        if suffix == "npz":
            np.savez(path, **{k: v.numpy() for k, v in tensors.items()})
        elif suffix == "pth":
            torch.save(tensors, path)
        else:
            save_file(tensors, path)
        return _written(folder, put(_STUDY, ("detectors", 0, "weights"), path.name))

    return write


def cases() -> Iterator[Case]:
    """Code in studies."""
    yield from (*calls(), *modules())
