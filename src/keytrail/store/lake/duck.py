"""DuckDB over the files of one folder and nothing else: bounded in memory, without extensions, without the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True, slots=True)
class DuckLimits:
    """What a connection may use; sorted rows that do not fit into memory lie in `temp_folder` meanwhile.

    Without a `temp_folder` nothing is written anywhere, and a query that needs more memory fails.
    """

    memory_bytes: int = 256 * 1024**2
    threads: int = 2
    temp_folder: Path | None = None


def connect(folder: Path, limits: DuckLimits) -> duckdb.DuckDBPyConnection:
    """A connection to a database in memory that can read the files below `folder` (and `temp_folder`), and no others.

    No statement can take that back: the configuration is locked.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{limits.memory_bytes}B",
        "threads": limits.threads,
        "temp_directory": "" if limits.temp_folder is None else str(limits.temp_folder.resolve()),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_persistent_secrets": False,
        # A name in a query is a name in the database, never a variable of ours.
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    # Segments never change under their names, so what their footers say is kept.
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET allowed_directories = [" + _quoted(f"{folder.resolve()}/") + "]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _quoted(text: str) -> str:
    """A string of SQL; a setting takes no parameters."""
    return "'" + text.replace("'", "''") + "'"


__all__ = ["DuckLimits", "connect"]
