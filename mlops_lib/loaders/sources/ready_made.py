"""Folders that are split already, under any usual names: train.csv and test.csv, Training/, data/dev-00000-of-00002."""

import re
from collections.abc import Sequence
from pathlib import Path

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.data_file import COMPRESSIONS, FORMATS, DataFile
from mlops_lib.loaders.splits import SPLITS, Split

#: Usual names of the splits; "eval" and "evaluation" are the one that is not there otherwise.
NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development", "validate"),
    "test": ("test", "testing", "holdout"),
}
EVALUATION = ("eval", "evaluation")
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
}
_SPLIT_OF = {name: split for split, names in NAMES.items() for name in names}


def split_named(word: str) -> Split | None:
    """The split that a word of any case names."""
    return _SPLIT_OF.get(word.strip().lower())


def by_split(root: Path, files: Sequence[DataFile], shown: str = "") -> dict[Split, list[DataFile]]:
    """The files of each split if the folder is split already, else nothing; validation may be missing.

    Raises:
        DataError: The folder looks split, but a file belongs to no split, a split is there twice, or train or test
            is missing.
    """
    shown = shown or str(root)
    names = [file.path.relative_to(root).parts for file in files]
    while (
        names and len({parts[0] for parts in names}) == 1 and len(names[0]) > 1 and not _named(names[0][0])[0]
    ):
        names = [parts[1:] for parts in names]  # data/train-00000-of-00001.parquet
        if any(not parts for parts in names):
            return {}
    entries = {parts[0]: _named(parts[0]) for parts in names}
    found = {split for split, *_ in entries.values() if split}
    exact = any(split and not rest for split, rest, _ in entries.values())
    if not (exact or len(found) > 1 or "train" in found):
        return {}
    if alone := [name for name, (split, *_) in entries.items() if not split]:
        raise DataError(
            f"{shown} looks split already ({', '.join(sorted(set(entries) - set(alone)))}), but {alone[0]} belongs to "
            "no split. Move it out of the folder, or set data.source to the file to split."
        )
    evaluation: Split = "test" if "test" not in found else "validation"
    splits: dict[Split, list[DataFile]] = {split: [] for split in SPLITS}
    kinds: dict[Split, set[tuple[str, ...]]] = {split: set() for split in SPLITS}
    numbered: dict[tuple[Split, tuple[str, ...]], str] = {}
    for file, parts in zip(files, names, strict=True):
        named, rest, has_number = entries[parts[0]]
        split: Split = evaluation if named == "eval" else named  # type: ignore[assignment]
        other = numbered.setdefault((split, rest), parts[0])
        if other != parts[0] and not has_number:
            raise DataError(
                f"{shown} has the split {split!r} twice, as {other} and {parts[0]}. Remove one of them."
            )
        splits[split].append(_inside(file, root, parts))
        kinds[split].add(rest)
    present = [split for split in SPLITS if splits[split]]
    if any(kinds[split] != kinds[present[0]] for split in present):
        raise DataError(
            f"{shown} looks split already, but its files have different names: {', '.join(entries)}."
        )
    if missing := [split for split in ("train", "test") if not splits[split]]:
        raise DataError(
            f"{shown} looks split already ({', '.join(entries)}), and has no {' and no '.join(missing)} split. Add it "
            f"(such as {missing[0]}.csv or the folder {missing[0]}/), or set data.source to one file, which is then "
            "split by data.split."
        )
    return splits


def _inside(file: DataFile, root: Path, parts: tuple[str, ...]) -> DataFile:
    """The file without the folder of its split among the partitions (split=train)."""
    above = file.path.relative_to(root).parts[: -len(parts)]
    outer = {part.partition("=")[0] for part in (*above, parts[0]) if "=" in part}
    partition = {name: value for name, value in file.partition.items() if name not in outer}
    return DataFile(file.path, file.shown, file.format, file.compression, partition)


def _named(entry: str) -> tuple[str, tuple[str, ...], bool]:
    """Split that an entry of a folder names ("" or "eval" too), the other words of its name, and whether it has numbers.

    The split is the first or the last word.
    """
    stem = entry.lower()
    while Path(stem).suffix in FORMATS or Path(stem).suffix in COMPRESSIONS:
        stem = Path(stem).stem
    every = re.findall(r"[a-z]+|[0-9a-f]{8,}|[0-9]+|[^\W_]+", stem)
    words = [
        word for word in every if word not in FILL and not re.fullmatch(r"[0-9]+|(?=.*[0-9])[0-9a-f]+", word)
    ]
    if "hold" in every and "out" in every:
        words.append("holdout")
    for place in (0, -1):
        if words and (split := _SPLIT_OF.get(words[place]) or ("eval" if words[place] in EVALUATION else "")):
            rest = [*words]
            del rest[place]
            return split, tuple(rest), any(word not in FILL and word not in words for word in every)
    return "", tuple(words), False
