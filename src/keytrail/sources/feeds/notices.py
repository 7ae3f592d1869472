"""The kernel's notices about a folder and all below it, gathered by a thread; they make polling quicker, no more."""

from __future__ import annotations

import threading

_MOST = 10_000
_STEP_MS = 20
_GATHER_MS = 200
_TIMEOUT_MS = 500


class Notices:
    """What was touched below `folder`. `woken` is set when there is something; `failed` says why there is nothing."""

    def __init__(self, folder: str, woken: threading.Event) -> None:
        self._folder, self._woken = folder, woken
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._touched: set[str] = set()
        self._overflowed = False
        self._thread = threading.Thread(target=self._run, name="keytrail-notices", daemon=True)
        self.failed = ""
        self._thread.start()

    def take(self) -> tuple[set[str], bool]:
        """The paths touched since the last call, and whether there were more than are remembered."""
        with self._lock:
            taken = self._touched, self._overflowed
            self._touched, self._overflowed = set(), False
        return taken

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        from watchfiles import Change, watch
        from watchfiles._rust_notify import WatchfilesRustInternalError

        try:
            for changes in watch(
                self._folder,
                watch_filter=None,
                debounce=_GATHER_MS,
                step=_STEP_MS,
                rust_timeout=_TIMEOUT_MS,
                stop_event=self._stop,
                raise_interrupt=False,
                force_polling=False,
                ignore_permission_denied=True,
            ):
                self._add({path for change, path in changes if change is not Change.deleted})
        except (OSError, WatchfilesRustInternalError) as error:
            # Too many folders for the limits of the machine, or a file system that tells nothing.
            self.failed = str(error) or type(error).__name__

    def _add(self, paths: set[str]) -> None:
        with self._lock:
            room = _MOST - len(self._touched)
            if len(paths) > room:
                self._overflowed = True
            else:
                self._touched |= paths
        if paths:
            self._woken.set()
