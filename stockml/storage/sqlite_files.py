"""Whether another program's SQLite file is intact; nothing that was committed is changed."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote


def fault_of(path: Path, table: str, *, thorough: bool = False) -> str | None:
    """What is wrong with the file, which must have `table`; None if nothing, or no file. thorough:
    check all pages.

    A file that another program has locked is in use, and so not wrong.
    """
    if not path.exists():
        return None
    if path.stat().st_size == 0:
        return "an empty file"
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=1)
        ) as database:
            if table not in {
                name for name, _ in database.execute("SELECT name, sql FROM sqlite_master")
            }:
                return f"no table `{table}`"
            [answer] = database.execute("PRAGMA quick_check(1)").fetchone() if thorough else ["ok"]
    except sqlite3.Error as error:
        is_locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        return None if is_locked else str(error)
    return None if answer == "ok" else str(answer)
