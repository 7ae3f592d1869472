"""The thread that keeps a queue's messages ours while they are under way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from keytrail.errors import KeytrailError
from keytrail.sources.feeds.sqs import BATCH, Queue
from keytrail.text import for_terminal

_log = logging.getLogger(__name__)


class Keeper:
    """Says to the queue, three times in each visibility time-out, that the messages of `handles()` are worked on."""

    def __init__(self, queue: Queue, handles: Callable[[], Sequence[str]], visibility_seconds: int) -> None:
        self._queue, self._handles, self._visibility_seconds = queue, handles, visibility_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.problem: KeytrailError | None = None

    def start(self) -> None:
        """Begin, if it has not."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="keytrail-visibility", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def extend(self) -> None:
        """Say it once. A failure is kept as `problem`: the messages may come again, which does no harm but work."""
        handles = self._handles()
        try:
            for at in range(0, len(handles), BATCH):
                self._queue.hide(handles[at : at + BATCH], self._visibility_seconds)
        except KeytrailError as error:
            if self.problem is None:
                _log.warning("%s", for_terminal(error.what))
            self.problem = error
        else:
            self.problem = None

    def _run(self) -> None:
        while not self._stop.wait(self._visibility_seconds / 3):
            self.extend()
