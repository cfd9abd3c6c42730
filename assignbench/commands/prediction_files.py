"""What `analyze --predictions` and `--candidates` name: methods, and a file for every trained model of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assignbench.errors import InputError


@dataclass(frozen=True)
class Given:
    """A method and its files, one per seed; the name is "" where the command line gives none."""

    name: str
    files: tuple[Path, ...]


def read_given(texts: Sequence[str], option: str) -> list[Given]:
    """The methods of `FILE` and `NAME=FILE,FILE,...`; a file that is there is meant, whatever its name holds.

    Raises InputError naming option, text and remedy for what names no file, and for a file that stands there twice.
    """
    found = [_given(text, option) for text in texts]
    for one in found:
        twice = [p for p in one.files if one.files.count(p) > 1]
        if twice:
            raise InputError(
                f"{option} {one.name}: {twice[0]} stands for two seeds; every seed is a model trained anew, name its "
                "own file"
            )
    return found


def _given(text: str, option: str) -> Given:
    name, equals, rest = text.partition("=")
    if not equals or _there(text) or "/" in name:
        name, rest = "", text
    elif not name.strip() or not name.isprintable():
        raise InputError(f"{option} '{text:.80}': no name stands before '='; write NAME=FILE,FILE")
    if _there(rest) or "," not in rest:
        return Given(name, (Path(rest),))
    pieces = rest.split(",")
    if not name:
        raise InputError(
            f"{option} '{text:.80}': no such file; several files of one method are given as NAME=FILE,FILE"
        )
    if not all(pieces):
        raise InputError(f"{option} '{text:.80}': a comma without a file; write NAME=FILE,FILE")
    return Given(name, tuple(Path(p) for p in pieces))


def _there(text: str) -> bool:
    """Whether a file has this name; not so for what can be no path."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def named(methods: Sequence[Given]) -> list[Given]:
    """Every method with a name: the one that it was given, or its file's, with the folder's where two files are called
    alike. Raises InputError for two methods of one name.
    """
    stems = [m.files[0].stem for m in methods if not m.name]
    made = []
    for method in methods:
        path = method.files[0]
        own = path.stem if stems.count(path.stem) == 1 else f"{path.resolve().parent.name}-{path.stem}"
        made.append(Given(method.name or own, method.files))
    names = [m.name for m in made]
    twice = [m for m in made if names.count(m.name) > 1]
    if twice:
        name = twice[0].name
        files = " and ".join(str(m.files[0]) for m in twice if m.name == name)
        raise InputError(f"--predictions: {files} are both called {name}; name each with NAME=FILE")
    return made


def beside(candidates: Sequence[Given], methods: Sequence[Given]) -> list[tuple[Path, ...]]:
    """The files of boxes before NMS of each method, or none. Raises InputError unless they are as many, in order."""
    if not candidates:
        return [()] * len(methods)
    files, theirs = (sum(len(m.files) for m in ms) for ms in (methods, candidates))
    if len(candidates) != len(methods) or any(
        len(c.files) != len(m.files) for c, m in zip(candidates, methods, strict=True)
    ):
        raise InputError(f"--candidates names {theirs} files for {files} prediction files; give one for each, in order")
    for one, method in zip(candidates, methods, strict=True):
        if one.name not in ("", method.name):
            raise InputError(
                f"--candidates {one.name}: stands where {method.name} is in --predictions; give both in one order"
            )
    return [c.files for c in candidates]
