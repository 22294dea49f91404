"""Hints at values of a table that may not mean what they are read as."""

import shlex
from collections import Counter

from mlops_lib.cli.init.choices import yaml_text
from mlops_lib.cli.init.table import Table

#: Texts in lower case that often stand for a missing value.
TOKENS = (
    "na", "n/a", "#n/a", "<na>", "nan", "none", "null", "nil", "?", "-", "--", "없음", "해당없음", "해당 없음", "미상",
)  # fmt: skip


def missing_values(table: Table) -> list[str]:
    """One hint for each column of text with values such as NA and None: how many,
    and the setting that makes them missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: list[str] = []
    for name in table.names:
        values = table.sample[name]
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            continue
        known = values.filter(pc.is_in(pc.utf8_lower(values), pa.array(TOKENS, values.type)))
        counts = Counter(known.to_pylist())
        if not counts:
            continue
        each = ", ".join(f"{token!r} in {count:,} rows" for token, count in counts.most_common())
        setting = f"data.missing_values=[{', '.join(map(yaml_text, sorted(counts)))}]"
        sampled = f" of {len(table.sample):,}" if table.is_sampled else ""
        found.append(
            f"{name} has {each}{sampled}, which is text. If it means a missing value, in any column: --set {shlex.quote(setting)}"
        )
    return found
