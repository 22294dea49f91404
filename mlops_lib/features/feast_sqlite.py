"""Times in Feast's SQLite online store."""

import sqlite3
import sys
from datetime import datetime


def use_feasts_times() -> None:
    """Let SQLite write and read times as Feast's store has them: as seconds since 1970.

    Python has one such conversion for all connections of a process. Feast sets it once, when it is imported;
    `pandas.DataFrame.to_sql` on a connection of sqlite3 replaces it, and Feast's reads then fail.
    """
    if feast := sys.modules.get("feast.infra.online_stores.sqlite"):
        sqlite3.register_converter("timestamp", feast.convert_timestamp)
        sqlite3.register_adapter(datetime, feast.adapt_datetime_epoch)
