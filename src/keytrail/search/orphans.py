"""Worker processes that end with the one that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """End this worker when its parent is gone: one that was killed could not say so, and its workers would wait on.

    They hold the queues' ends themselves, so they would never see them closed.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="keytrail-parent", daemon=True).start()
