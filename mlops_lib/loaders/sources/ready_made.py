"""Folders that are split already, under any usual names: train.csv and test.csv, Training/,
data/dev-00000-of-00002."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.data_file import COMPRESSIONS, FORMATS, DataFile
from mlops_lib.loaders.splits import SPLITS, Split
from mlops_lib.wording import listed

#: Usual names of the splits; "eval" and "evaluation" are the one that is not there otherwise.
NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training", "학습", "훈련"),
    "validation": ("validation", "valid", "val", "dev", "development", "validate", "검증"),
    "test": ("test", "testing", "holdout", "테스트", "시험"),
}
EVALUATION = ("eval", "evaluation", "평가")
#: Words in a file's name that say nothing: train_set.csv, split=train, part-0.
FILL = {
    "set",
    "split",
    "data",
    "dataset",
    "df",
    "of",
    "part",
    "shard",
    "hold",
    "out",
    "fold",
    "c000",
    "snappy",
    "데이터",
}
#: Words that Korean writes without a space after the name of a split: 학습용 데이터, 평가셋.
_KOREAN = re.compile(r"(학습|훈련|검증|테스트|시험|평가)(?:용|데이터|자료|셋|세트)+")
#: train-00000-of-00002: the files of one table, the number of one, and how many there are.
_SHARD = re.compile(r"(.*?)(\d+)-of-(\d+)(?!\d)")
#: The hash in train-00000-of-00001-a09b74b3ef9c3b56.parquet.
_HASH = r"(?=.*[0-9])[0-9a-f]{8,}"
_SPLIT_OF = {name: split for split, names in NAMES.items() for name in names}


def split_named(word: str) -> Split | None:
    """The split that a word of any case names."""
    return _SPLIT_OF.get(unicodedata.normalize("NFC", word.strip().lower()))


def by_split(
    root: Path, files: Sequence[DataFile], shown: str = "", needed: Sequence[Split] = ("train", "test")
) -> dict[Split, list[DataFile]]:
    """The files of each split if the folder is split already, else nothing;
    splits that are not `needed` may be missing.

    Raises:
        DataError: The folder looks split, but a file belongs to no split, a split is there twice,
            or a needed one is missing.
    """
    shown = shown or str(root)
    _require_shards(root, files, shown)
    places = [_place(file.path.relative_to(root).parts) for file in files]
    entries = {place.entry: place for place in places}
    found = {place.split for place in places if place.split}
    exact = any(place.split and not place.rest for place in places)
    if not (exact or len(found) > 1 or "train" in found):
        return {}
    if alone := [entry for entry, place in entries.items() if not place.split]:
        named = ", ".join(entry for entry, place in entries.items() if place.split)
        raise DataError(
            f"{shown} looks split already ({named}), but {alone[0]} belongs to no split. Move it out of the folder, or "
            "set data.source to the file to split."
        )
    evaluation: Split = "test" if "test" not in found else "validation"
    splits: dict[Split, list[DataFile]] = {split: [] for split in SPLITS}
    kinds: dict[Split, set[tuple[str, ...]]] = {split: set() for split in SPLITS}
    known: dict[tuple[Split, tuple[str, ...]], str] = {}
    for file, place in zip(files, places, strict=True):
        split: Split = evaluation if place.split == "eval" else place.split  # type: ignore[assignment]
        kind = (*place.above, *place.rest)
        other = known.setdefault((split, kind), place.entry)
        if other != place.entry and not place.numbered:
            raise DataError(
                f"{shown} has the split {split!r} twice, as {other} and {place.entry}. Remove one of them."
            )
        splits[split].append(_inside(file, place))
        kinds[split].add(kind)
    present = [split for split in SPLITS if splits[split]]
    if any(kinds[split] != kinds[present[0]] for split in present):
        raise DataError(
            f"{shown} looks split already, but its files have different names: {', '.join(entries)}."
        )
    if missing := [split for split in needed if not splits[split]]:
        raise DataError(
            f"{shown} looks split already ({', '.join(entries)}), and has no {' and no '.join(missing)} split. Add it "
            f"(such as {missing[0]}.csv or the folder {missing[0]}/), or set data.source to one file, which is then "
            "split by data.split."
        )
    return splits


def _require_shards(root: Path, files: Sequence[DataFile], shown: str) -> None:
    """Check that no file of a table in numbered files is missing."""
    found: dict[tuple[str, str], set[int]] = {}
    for file in files:
        if shard := _SHARD.match(file.path.relative_to(root).as_posix()):
            found.setdefault((shard[1], shard[3]), set()).add(int(shard[2]))
    for (name, total), numbers in found.items():
        if len(numbers) < int(total):
            own = listed(sorted(numbers))
            raise DataError(
                f"{shown} has {len(numbers)} of {int(total)} files {name}...-of-{total}: {own}. Add the missing ones. If the table "
                "is complete, rename the files."
            )


class _Place(NamedTuple):
    """Where the path of a file names a split.

    Attributes:
        entry: The path up to the folder or file that names it; of another file, the first part of its path.
        split: The split, "eval", or empty.
        above: Folders above `entry`.
        rest: The other words in its name.
        numbered: Whether its name has a number, so that several of them may belong together.
    """

    entry: str
    split: str
    above: tuple[str, ...]
    rest: tuple[str, ...]
    numbered: bool


def _place(parts: tuple[str, ...]) -> _Place:
    for i, part in enumerate(parts):
        split, rest, numbered = _named(part)
        if split:
            return _Place("/".join(parts[: i + 1]), split, parts[:i], rest, numbered)
    return _Place(parts[0], "", (), (), False)


def _inside(file: DataFile, place: _Place) -> DataFile:
    """The file without the folder of its split among the partitions (split=train)."""
    own = place.entry.rpartition("/")[2].partition("=")[0]
    partition = {name: value for name, value in file.partition.items() if name != own}
    return replace(file, partition=partition)


def _named(entry: str) -> tuple[str, tuple[str, ...], bool]:
    """Split that the name of a file or folder names ("" or "eval" too), its other words,
    and whether it has numbers.

    The split is the first or the last word.
    """
    stem = entry
    while (ending := Path(stem).suffix.lower()) in FORMATS or ending in COMPRESSIONS:
        stem = Path(stem).stem
    stem = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).lower()  # churnTrain
    stem = re.sub(r"hold[ _-]out", "holdout", stem)
    stem = _KOREAN.sub(r"\1 ", unicodedata.normalize("NFC", stem))
    found = [word for word in re.split(r"[\W_]+", stem) if word and not re.fullmatch(_HASH, word)]
    every = [word for text in found for word in re.findall(r"[0-9]+|[^\W0-9]+", text)]
    words = [word for word in every if not word.isdigit() and word not in FILL]
    numbered = len(found) < len(re.findall(r"[^\W_]+", stem)) or any(word.isdigit() for word in every)
    for at in (0, -1):
        if words and (split := _SPLIT_OF.get(words[at]) or ("eval" if words[at] in EVALUATION else "")):
            rest = [*words]
            del rest[at]
            return split, tuple(rest), numbered
    return "", tuple(words), numbered
