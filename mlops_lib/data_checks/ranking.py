"""Check that rows can be learned and judged as a ranking: each has a group and a relevance,
and no group is divided."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import DataError
from mlops_lib.loaders.splits import SPLITS, Split

KINDS = ("number", "integer", "boolean")


def require(
    schema: Schema,
    label: Column,
    files: Mapping[Split, Path],
    slices: Mapping[str, Literal["all"] | Collection[str]],
) -> None:
    """Check the written splits of a ranking.

    Args:
        schema, label: Of the dataset.
        files: The rows of each split.
        slices: As of ``evaluation.gate.slices``; functions among them are checked when the gate is asked.

    Raises:
        DataError: There is no group, or a weight; a group is in several splits or slices;
            a relevance is no number or negative; or a split has no group that can be ranked.
    """
    import pyarrow.parquet as pq

    if not schema.key:
        raise DataError(
            "evaluation.task ranking orders the rows of each group, and data.key names no column. Set data.key to the "
            "column of the group, such as query_id."
        )
    if schema.weight:
        raise DataError("evaluation.task ranking counts all groups alike. Remove data.weight.")
    if label.kind not in KINDS:
        raise DataError(
            f"The relevance {label.name!r} holds {label.kind} values, and a ranking takes numbers: 0 for a row without "
            "use, and more for a relevant one. Write numbers in the source or in data.prepare."
        )
    seen: dict[object, str] = {}
    sliced = [name for name in slices if name in schema.used]
    for split in SPLITS:
        rows = pq.read_table(files[split], columns=[*{schema.key, label.name, *sliced}]).to_pandas()
        relevance = rows[label.name].astype(float)
        if (negative := relevance < 0).any():
            raise DataError(
                f"Split {split!r}, row {negative.to_numpy().argmax()} (counted from 0): the relevance {label.name!r} is "
                f"{relevance[negative].iloc[0]:g}. It is 0 for a row without use, and more for a relevant one."
            )
        of_group = relevance.gt(0).groupby(rows[schema.key]).agg(["size", "any"])
        if divided := [group for group in of_group.index if group in seen]:
            raise DataError(
                f"{len(divided)} groups have rows in {split!r} and in another split; the first is {schema.key!r} "
                f"{divided[0]!r}, in {seen[divided[0]]!r} too. A group must be whole. Set data.split: {{by: key}}, or "
                "divide the ready-made splits by group."
            )
        seen |= dict.fromkeys(of_group.index, split)
        if not ((of_group["size"] > 1) & of_group["any"]).any():
            raise DataError(
                f"No group of the {split} split has two rows or more, one of them relevant ({label.name!r} above 0), so "
                f"there is nothing to rank. It has {len(of_group)} groups with {len(rows)} rows; check data.key."
            )
        for name in sliced:
            values = rows[name]
            if (asked := slices[name]) != "all":
                values = values.where(values.astype(str).isin(asked))  # the others are in no slice
            values = values.groupby(rows[schema.key]).nunique(dropna=False)
            if len(cut := values[values > 1]):
                raise DataError(
                    f"evaluation.gate.slices names {name!r}, which divides {len(cut)} groups of the {split} split; the first is "
                    f"{schema.key!r} {cut.index.tolist()[0]!r}, with {cut.iloc[0]} values. A part of a group is no ranking: name a "
                    "column with one value in each group."
                )
