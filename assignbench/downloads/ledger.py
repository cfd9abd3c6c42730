"""What every download was: checksums that were published, and those of first use where none were."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from assignbench.errors import InputError
from assignbench.records import read_json, write_json

FILE = ".downloads.json"
BLOCK = 1 << 20


class Wrong(InputError):
    """A file that is not the one that was published, or not the one of the first download."""


@dataclass(frozen=True)
class Checked:
    """A file that is what it should be as far as is known: `told` is a sentence that says how that was found."""

    told: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Ledger:
    """The file of a data folder that remembers each download by its address."""

    path: Path

    def check(self, file: Path, address: str, published: str) -> Checked:
        """Compares a file with its published checksum, else with that of the first download of this address.

        Raises Wrong.
        """
        found = _digests(file, {"sha256", published.partition(":")[0]} - {""})
        entry = read_json(self.path).get(address, {})
        earlier = entry.get("sha256", "") if isinstance(entry, dict) else ""
        kind, _, expected = published.partition(":")
        if published and not found[kind].startswith(expected):
            raise Wrong(f"{file}: its {kind} is {found[kind]}, published is {expected}")
        if not published and earlier and found["sha256"] != earlier:
            told = f"{file}: its sha256 is {found['sha256']}, that of the first download was {earlier}"
            raise Wrong(f"{told}; if the new file is right, remove its entry from {self.path}")
        told = f"no checksum is published; its sha256 {found['sha256']} is kept in {self.path}"
        if published:
            told = f"its {kind} is the published one"
        elif earlier:
            told = "its sha256 is that of the first download (no checksum is published)"
        return Checked(f"{file.name}: {told}", found["sha256"], file.stat().st_size)

    def keep(self, address: str, checked: Checked) -> None:
        """Remembers a file that turned out to be a whole archive."""
        entry = {"sha256": checked.sha256, "bytes": checked.size}
        write_json(self.path, read_json(self.path) | {address: entry})


def _digests(file: Path, kinds: set[str]) -> dict[str, str]:
    """Several hashes of a file, read once."""
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with file.open("rb") as content:
        while block := content.read(BLOCK):
            for one in hashes.values():
                one.update(block)
    return {kind: one.hexdigest() for kind, one in hashes.items()}
