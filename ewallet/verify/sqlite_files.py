"""What guards and logs in SQLite files share: waiting for another process without sleeping long."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

PATIENCE: Final = 5.0
"""Seconds to wait for another process."""

_STEP: Final = 0.0003
"""Seconds between two tries: a transaction takes one to three thousandths.

SQLite's own waiting sleeps up to a tenth of a second, and a waiter that woke too late sleeps again: with two
busy processes some calls wait for hundreds of transactions.
"""


def begin_immediate(database: sqlite3.Connection, patience: float = PATIENCE) -> None:
    """Begins a transaction that writes: nobody else writes until it ends.

    Raises:
        sqlite3.Error: another process held the file all the time, or it cannot be written.
    """
    until = time.monotonic() + patience
    database.execute("pragma busy_timeout = 0")
    try:
        while True:
            try:
                database.execute("begin immediate")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            else:
                return
            time.sleep(_STEP)
    finally:
        database.execute(f"pragma busy_timeout = {int(patience * 1000)}")
