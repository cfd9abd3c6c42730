"""What a report asks of finished cells, worked out while others still train, on cores that have nothing else to do."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from assignbench.launch.progress import Progress
from assignbench.report import prepare_report


class Ahead:
    """Watches the cells of a run folder, as `Jobs.run` lets them be watched.

    While fewer of them run than there are `cores` (None: they run on other machines), a thread works out what is kept
    of those that have ended. Nothing depends on it: what it did not come to, or could not do, the report does itself,
    and tells.
    """

    def __init__(self, folder: Path, cores: int | None) -> None:
        self.folder, self.cores = folder, cores
        self._seen = 0
        self._thread: threading.Thread | None = None

    def watch(self, running: Sequence[Progress], ended: int) -> None:
        """Starts the thread where cells have ended since it last started, and a core has nothing to do."""
        busy = self._thread is not None and self._thread.is_alive()
        idle = self.cores is None or len(running) < self.cores
        if ended > self._seen and running and idle and not busy:
            self._seen = ended
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Until it is done with what it has begun, which the report will ask for."""
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        with suppress(Exception):
            prepare_report(self.folder)
