"""The type of a column of a text file, from all of its cells."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_lib.loaders.formats.spellings import words_of

if TYPE_CHECKING:
    import pyarrow as pa

#: Cells without a value in a column of numbers; in a column of text they are text.
TOKENS = ("NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "-NaN", "-nan", "#N/A", "#NA", "<NA>", "NULL", "Null",
          "null", "NONE", "None", "none", "")  # fmt: skip
BOOLEANS = {"true": ("true", "false"), "True": ("True", "False"), "TRUE": ("TRUE", "FALSE")}

_EXPONENT = r"([eE][+-]?[0-9]+)?"
_INFINITE = r"-?[Ii]nf(inity)?"
#: What every cell of a column must match to be read in a way. Each integer matches the other three as well,
#: but that "thousands" are written in groups.
PATTERNS = {
    "integer": r"^-?(0|[1-9][0-9]*)$",
    "point": rf"^(-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+){_EXPONENT}|{_INFINITE})$",
    "comma": rf"^(-?((0|[1-9][0-9]*)(,[0-9]*)?|,[0-9]+){_EXPONENT}|{_INFINITE})$",
    "thousands": r"^-?(0|[1-9][0-9]{0,2}(,[0-9]{3})*)$",
}


@dataclass
class Cells:
    """The ways in which the cells of a column can be read.

    Attributes:
        ways: Names of `PATTERNS` and `BOOLEANS` that fit every cell so far (tokens aside); none: text.
        tokens: Spellings of `TOKENS` that occur, as written.
        gaps: Empty cells.
        values: Other cells, without tokens.
        wide: A cell is an integer of more than 64 bits.
        words: The distinct cells, tokens aside, if all of them mean yes or no (see `words_of`); else None.
    """

    ways: set[str] = field(default_factory=lambda: {*PATTERNS, *BOOLEANS})
    tokens: set[str] = field(default_factory=set)
    gaps: int = 0
    values: int = 0
    wide: bool = False
    words: set[str] | None = field(default_factory=set)

    def see(self, cells: "pa.Array") -> None:
        """Look at more cells: strings, null where a cell is empty."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.gaps += cells.null_count
        cells = cells.drop_null()
        if self.words is not None:
            new = words_of(cells, TOKENS)
            self.words = None if new is None else self.words | new
        if not self.ways or not len(cells):
            self.values += len(cells)
            return
        if not (self._see_integers(cells) or self._see_floats(cells) or self._see_booleans(cells)):
            trimmed = pc.ascii_trim(cells, " \t")  # as Arrow reads numbers
            token = pc.is_in(trimmed, pa.array(TOKENS))
            if pc.any(token).as_py():
                self.tokens |= set(pc.unique(cells.filter(token)).to_pylist())
                cells, trimmed = cells.filter(pc.invert(token)), trimmed.filter(pc.invert(token))
            if len(cells):  # a block of tokens alone says nothing about the others
                self._see_others(cells, trimmed)
        self.values += len(cells)

    def _see_integers(self, cells: "pa.Array") -> bool:
        """Whether all cells are plain integers of 64 bits: the usual case, and fast."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if "integer" not in self.ways:
            return False
        try:
            numbers = cells.cast(pa.int64())
        except pa.ArrowInvalid:
            return False
        if not pc.all(pc.equal(numbers.cast(pa.string()), cells)).as_py():
            return False
        self.ways &= set(PATTERNS)
        if pc.any(pc.or_(pc.greater(numbers, 999), pc.less(numbers, -999))).as_py():
            self.ways.discard("thousands")
        return True

    def _see_floats(self, cells: "pa.Array") -> bool:
        """Whether all cells are plain numbers, and one has a decimal point."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if "point" not in self.ways:
            return False
        try:
            numbers = cells.cast(pa.float64())
        except pa.ArrowInvalid:
            return False
        odd = pc.or_(
            pc.starts_with(cells, "+"), pc.or_(pc.is_nan(numbers), pc.greater(pc.abs(numbers), 1e18))
        )
        zeros = cells.filter(pc.or_(pc.starts_with(cells, "0"), pc.starts_with(cells, "-0")))
        leading = pc.match_substring_regex(zeros, "^-?0[0-9]")
        pointed = pc.any(pc.match_substring(cells, ".")).as_py()
        if not pointed or pc.any(odd).as_py() or pc.any(leading).as_py():
            return False
        self.ways &= {"point"}
        return True

    def _see_booleans(self, cells: "pa.Array") -> bool:
        """Whether all cells are of the one spelling of booleans that is left."""
        import pyarrow as pa
        import pyarrow.compute as pc

        return len(self.ways) == 1 and all(
            way in BOOLEANS and pc.all(pc.is_in(cells, pa.array(BOOLEANS[way]))).as_py() for way in self.ways
        )

    def _see_others(self, cells: "pa.Array", trimmed: "pa.Array") -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        for way in sorted(self.ways):
            if way in BOOLEANS:
                fits = pc.is_in(cells, pa.array(BOOLEANS[way]))
            else:
                fits = pc.match_substring_regex(cells if way == "integer" else trimmed, PATTERNS[way])
            if not pc.all(fits).as_py():
                self.ways.discard(way)
        integers = trimmed.filter(pc.match_substring_regex(trimmed, PATTERNS["integer"]))
        try:
            integers.cast(pa.int64())
        except pa.ArrowInvalid:
            self.wide = True
            self.ways.discard("integer")

    def decimal(self) -> str:
        """The decimal mark in these cells, "." or ","; empty if they have none;
        both if a comma may mean thousands."""
        if not self.values or not self.ways & {"point", "comma"} or {"point", "comma"} <= self.ways:
            return ""
        return "." if "point" in self.ways else ",." if "thousands" in self.ways else ","

    def settle(self, decimal: str) -> None:
        """Choose the decimal mark of the file; integers of more than 64 bits alone stay text,
        digit by digit."""
        lost = {"point", "comma", "thousands", "number"}
        integers = {"point", "comma"} <= self.ways and self.wide
        number = ("comma" if decimal == "," else "point") in self.ways and not integers
        self.ways = self.ways - lost | ({"number"} if number else set())

    def __add__(self, other: "Cells") -> "Cells":
        """What the cells of two files, both settled, can be read as together."""
        ways = self.ways & other.ways
        if self.ways & set(BOOLEANS) and other.ways & set(BOOLEANS):  # each file has its own spelling
            ways |= (self.ways | other.ways) & set(BOOLEANS)
        words = None if self.words is None or other.words is None else self.words | other.words
        return Cells(
            ways,
            self.tokens | other.tokens,
            self.gaps + other.gaps,
            self.values + other.values,
            self.wide or other.wide,
            words,
        )

    def kind(self, key: bool = False) -> "pa.DataType":
        """The type of the settled column.

        Args:
            key: The column is the key: integers, or text as written. As floats, 1E2 and 100 would be one key.
        """
        import pyarrow as pa

        if not self.values:
            return pa.string() if self.tokens else pa.null()
        if key:
            return pa.int64() if "integer" in self.ways and not self.tokens else pa.string()
        if self.ways & set(BOOLEANS) and not self.tokens:
            return pa.bool_()
        return (
            pa.int64() if "integer" in self.ways else pa.float64() if "number" in self.ways else pa.string()
        )
