"""What a study still costs: hours by device, images of an epoch, room on the disk, and what has to be downloaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assignbench.commands import room
from assignbench.commands.opening import Opened
from assignbench.config.cell import CellConfig
from assignbench.config.detector import FROM_TORCHVISION
from assignbench.config.images import AspectSize
from assignbench.config.words import plain_number
from assignbench.data.presence import absent, images_of
from assignbench.downloads import Offer, brought, offer_of, offers_of
from assignbench.errors import InputError
from assignbench.records import CellRecord
from assignbench.study.grid import Cell
from assignbench.study.speeds import Speed, estimated

MEASURED = "measured"
LEAST_TOLD = 0.1  # hours or minutes


@dataclass
class Costs:
    """What trainings take, added up: hours by device and by where their speed is from, and how many are not known."""

    speeds: dict[tuple[str, int | AspectSize], Speed]
    hours: dict[str, float] = field(default_factory=dict)
    origins: dict[str, dict[str, None]] = field(default_factory=dict)
    unknown: int = 0

    def add(self, cell: Cell) -> str:
        """Counts the training of a cell; returns what it takes, for people."""
        config = cell.config
        speed = self.speeds.get((config.detector.name, config.data.size)) or estimated(
            config.detector, config.data.size
        )
        images = _drawn(cell)
        if speed is None or images is None:
            self.unknown += 1
            return ""
        hours = images / speed.images_per_second / 3600
        self.hours[speed.device] = self.hours.get(speed.device, 0.0) + hours
        self.origins.setdefault(speed.device, {})[speed.origin] = None
        return f"{_about(hours)} at {plain_number(speed.images_per_second)} images/s"

    def lines(self) -> Iterator[str]:
        """The sums, one device after the other."""
        for device, hours in self.hours.items():
            told = f"{_about(hours)} on one {device}"
            if "CPU" not in device:
                told = f"{_about(hours, 'GPU hours')} of a {device}"
            yield f"left: {told}, one training at a time ({'; '.join(self.origins[device])}); tests come on top"
        if self.unknown:
            yield f"left: {self.unknown} trainings whose speed or number of images is not known before one has run"
        elif not self.hours:
            yield "left: nothing"


def measured_speeds(out: Path) -> dict[tuple[str, int | AspectSize], Speed]:
    """Of finished cells below a run folder, by detector and image size; older records are passed over."""
    speeds = {}
    for path in out.glob("*/*/summary.json"):
        record = CellRecord(path.parent)
        speed = record.summary.get("images_per_second")
        try:
            config = record.trained
            about = record.environment
        except InputError:
            continue
        if speed:
            device = "CPU" if about.get("device") != "cuda" else str(about.get("device_name", "GPU"))
            speeds[config.detector.name, config.data.size] = Speed(float(speed), device, MEASURED)
    return speeds


def data_lines(cells: Sequence[Cell]) -> Iterator[str]:
    """Of each data set: the images of an epoch and how that is known, and how to get what is not there."""
    for config, root in _data_sets(cells):
        found = images_of(config.data, "train", root)
        told = f"{found[0]:,} images in an epoch ({found[1]})" if found else "images in an epoch are not known yet"
        yield f"data set {config.data.name}: {told}"
        gone = absent(config.data, config.splits, root)
        if gone:
            yield f"  not there: {gone[0]}; {config.data.obtain or 'put it there, or set data.root'}{_size(config)}"
    for path, named in {Path(c.paths.weights): c.config.detector.weights for c in cells if c.paths.weights}.items():
        if not path.exists():
            told = "; a run downloads it" if named == FROM_TORCHVISION else remedy(path)
            yield f"weights: not there: {path}{told}"


def remedy(weights: Path) -> str:
    """How to get a weights file that is not there, where that is known; begins with a semicolon."""
    offer, by_hand = offer_of(weights), brought(weights)
    if by_hand:
        return f"; {by_hand}"
    return f"; `assignbench data get {offer.name}` downloads it" if offer else ""


def disk_lines(opened: Opened, out: Path) -> Iterator[str]:
    """What the records of the cells that are not done take, what is free, and a warning where that is less."""
    images = {}
    for config, root in _data_sets(opened.cells):
        found = images_of(config.data, config.evaluation.split, root)
        images[config.data.name] = found[0] if found else 0
    need = room.needed(opened.cells, opened.folder, images, room.parameters(opened.cells))
    free = room.free(out)
    yield f"disk: about {room.told(need)} for the records of what is not done, {room.told(free)} free at {out}"
    if need > free:
        yield f"warning: {room.lacking(need, free, out)}"


def _data_sets(cells: Sequence[Cell]) -> list[tuple[CellConfig, Path]]:
    """One configuration of each data set of the cells, and its root."""
    return [*{c.config.data.name: (c.config, Path(c.paths.root)) for c in cells}.values()]


def _drawn(cell: Cell) -> int | None:
    """Images that training a cell draws, or None where nothing says how many its data set has."""
    schedule = cell.config.schedule
    if schedule.steps:
        return schedule.steps * schedule.update_size
    found = images_of(cell.config.data, "train", Path(cell.paths.root))
    return None if found is None else schedule.total_steps(schedule.epoch_steps(found[0])) * schedule.update_size


def _size(config: CellConfig) -> str:
    """How much is to be downloaded for a data set."""
    try:
        offers: list[Offer] = offers_of(config.data.name)
    except InputError:
        return ""
    return f" ({room.told(sum(o.size for o in offers))})"


def _about(hours: float, unit: str = "hours") -> str:
    """Hours for people: minutes of a short time, unless they are counted as `unit` says; never a rounded nothing."""
    number, digits = hours, 0 if hours >= 10 else 1
    if unit == "hours" and hours < 1.5:
        number, unit, digits = 60 * hours, "minutes", 1 if hours < 0.15 else 0
    return f"about {number:,.{digits}f} {unit}" if number >= LEAST_TOLD else f"< {LEAST_TOLD} {unit}"
