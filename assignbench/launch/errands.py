"""What a task of Ray does on its node, and what the launching machine does for it.

Where a node sees the run folder, cells work in it as on the launching machine. Where it does not, they work in folders
of their own there, and what they record comes back after every checkpoint: a lost node costs no more than the last
steps.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assignbench.launch.parcels import Files, Parcels, unpack
from assignbench.records import write_json
from assignbench.records.claim import EXIT_CLAIMED, EXIT_FAILED, Claimed, release, renewing, take_patiently
from assignbench.starting import end, start

LOOK_SECONDS = 0.5  # between two looks at a cell's process
SEND_SECONDS = 5.0  # between two parcels without a new checkpoint
ENDED_BY_FORCE_SECONDS = 75.0  # how long a process that was asked to end may take


@dataclass(frozen=True)
class Errand:
    """What a task gets: the folders of its cells on the launching machine, that of the cell whose training they take,
    where things lie for each (`local.json`), and a file with a word by which the launching machine's folder is known.
    """

    folders: tuple[str, ...]
    after: str
    local: tuple[dict[str, Any], ...]
    device: str
    threads: int
    marker: str
    word: str

    @property
    def shared(self) -> bool:
        """Whether this machine sees the folder of the launching one."""
        try:
            return Path(self.marker).read_text() == self.word
        except OSError:
            return False


class Desk:
    """An actor on the launching machine: holds the cells that are trained without its folder, and writes what comes
    back of them."""

    def __init__(self) -> None:
        self._held: set[Path] = set()
        self._renewals = ExitStack()
        self._renewals.enter_context(renewing(lambda: list(self._held)))

    def begin(self, folder: str, after: str) -> dict[str, Files] | None:
        """Claims a cell; by their names its files, and those of `after`. None if another one has the cell."""
        try:
            take_patiently(Path(folder))
        except Claimed:
            return None
        self._held.add(Path(folder))
        wanted = [Path(folder), *([Path(after)] if after else [])]
        return {path.name: Parcels(path).next()[0] for path in wanted}

    def store(self, folder: str, files: Files, names: list[str]) -> None:
        """Writes what a cell recorded."""
        if Path(folder) in self._held:
            unpack(Path(folder), files, names)

    def end(self, folder: str) -> None:
        """Gives a cell back."""
        self._held.discard(Path(folder))
        release(Path(folder))


def run_there(errand: Errand, desk: Any) -> int:
    """What a task does on its node: the engine's command line, of which it returns the exit code."""
    if errand.shared:
        return _watched(errand, [Path(folder) for folder in errand.folders], lambda: None)
    import ray

    place = Path(tempfile.mkdtemp(prefix="assignbench-"))
    parcels: dict[str, Parcels] = {}
    try:
        for home, local in zip(errand.folders, errand.local, strict=True):
            sent = ray.get(desk.begin.remote(home, errand.after))
            if sent is None:
                continue
            parcels[home] = Parcels(place / Path(home).name)
            for name, files in sent.items():
                unpack(place / name, files)
            write_json(parcels[home].folder / "local.json", {**local, "cache": str(place / "cache")})
            parcels[home].next()  # what came from there need not go back
        if not parcels:
            return EXIT_CLAIMED

        def send() -> None:
            ray.get([desk.store.remote(home, *each.next()) for home, each in parcels.items()])

        code = _watched(errand, [each.folder for each in parcels.values()], send)
        return EXIT_CLAIMED if len(parcels) < len(errand.folders) and code in (0, EXIT_FAILED) else code
    finally:
        ray.get([desk.end.remote(home) for home in parcels])
        shutil.rmtree(place, ignore_errors=True)


def _watched(errand: Errand, folders: Sequence[Path], send: Callable[[], object]) -> int:
    """The exit code of the process of cells; `send` is called after every checkpoint, now and then, and in the end.

    Ray cancels a task by a KeyboardInterrupt: the process then writes its checkpoints.
    """
    with (folders[0] / "log.txt").open("ab") as log:
        process = start(folders, errand.device, errand.threads, log)
    try:
        sent, newest = time.monotonic(), _newest(folders)
        while process.poll() is None:
            time.sleep(LOOK_SECONDS)
            if _newest(folders) != newest or time.monotonic() - sent > SEND_SECONDS:
                newest = _newest(folders)
                send()
                sent = time.monotonic()
    except KeyboardInterrupt:
        pass  # it is asked to end below, and once: a second signal would kill it while it ends
    finally:
        code = end(process, ENDED_BY_FORCE_SECONDS)
        send()
    return code


def _newest(folders: Sequence[Path]) -> list[str]:
    """The newest checkpoint of each cell."""
    return [max((p.name for p in (f / "checkpoint").glob("step-*.json")), default="") for f in folders]
