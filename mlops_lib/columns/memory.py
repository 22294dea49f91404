"""Parts of Parquet files that fit into memory, whatever a value's size."""

from typing import Any

#: Bytes of a part in memory.
PART_BYTES = 64 << 20


def rows_at_once(stored: Any, most: int) -> int:
    """Rows of a file to read at once: `most`, or as many as fit into `PART_BYTES` on average.

    Args:
        stored: A ``pyarrow.parquet.ParquetFile``.
        most: Most rows.
    """
    footer = stored.metadata
    size = sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))
    return max(min(most, PART_BYTES * footer.num_rows // max(size, 1)), 1)
