"""A disk of a few megabytes, in memory, where this process may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = "16m"  # the log of SQLite alone takes 4


@contextmanager
def small_disk(path: Path) -> Iterator[Path | None]:
    """Mount one at a path that is made; None where that may not be done."""
    path.mkdir(parents=True)
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        yield None
        return
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(path)], capture_output=True, check=False
    )
    if done.returncode:
        yield None
        return
    try:
        yield path
    except BaseException:
        # For whoever looks for the reason.
        shutil.copytree(path, path.with_name(f"{path.name}-as-it-was"), ignore_dangling_symlinks=True)
        raise
    finally:
        subprocess.run([umount, "--lazy", str(path)], check=True)
