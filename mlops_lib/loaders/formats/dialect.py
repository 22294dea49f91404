"""How a CSV file is written: encoding, separator and quote, from its first lines."""

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.data_file import DataFile

if TYPE_CHECKING:
    from mlops_lib.settings.data import CsvSettings

SEPARATORS = (",", ";", "\t", "|")
#: Bytes at the start of a file that the separator is recognised from, and bytes that decide an encoding.
HEAD_BYTES, ENCODING_BYTES = 1 << 18, 1 << 24
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
#: Share of the letters beyond ASCII that must be of the alphabet, for an encoding to be recognised.
SHARE = 0.9
#: Letters and marks of latin-1 and cp1252. Most cp1252 letters are also first bytes of Japanese ones.
LATIN = {*filter(str.isalpha, map(chr, range(0xA0, 0x100))), *"°§€£ŒœŠšŽžŸ‘’“”–—…™"}
#: The first line of a CSV file that tells Excel the separator.
_EXCEL = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
_AS_COMMA = str.maketrans(dict.fromkeys(SEPARATORS, ","))
csv.field_size_limit(1 << 24)


class Dialect(NamedTuple):
    """How one file is written, the names in its header, and the number of rows up to the header.

    `escape` is a backslash where quotes inside of cells are written ``\\"``; empty where they are doubled.
    `is_whole`: the file is not longer than its head, from which the dialect was recognised.
    """

    encoding: str
    separator: str
    quote: str
    escape: str
    names: tuple[str, ...]
    header_lines: int
    is_whole: bool


@contextlib.contextmanager
def opened(file: DataFile) -> Iterator[IO[bytes]]:
    """The uncompressed bytes of a file.

    Raises:
        DataError: They cannot be read, here or in the body of the `with`.
    """
    import pyarrow as pa

    openers: dict[str, Callable[[], Any]] = {
        "": partial(file.path.open, "rb"),
        "gz": partial(gzip.open, file.path),
        "bz2": partial(bz2.open, file.path),
        "xz": partial(lzma.open, file.path),
        "zst": lambda: io.BufferedReader(pa.input_stream(str(file.path), compression="zstd")),
        "zip": partial(_only_member, file),
        "lz4": lambda: io.BufferedReader(pa.input_stream(str(file.path), compression="lz4")),
    }
    try:
        with openers[file.compression]() as stream:
            yield stream
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{file.shown} cannot be read: {error}") from None


def _only_member(file: DataFile) -> IO[bytes]:
    archive = zipfile.ZipFile(file.path)
    names = [
        name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")
    ]
    if len(names) != 1:
        raise OSError(f"it has {len(names)} files inside, and is read with one alone; unpack it")
    return archive.open(names[0])


def recognise(file: DataFile, given: "CsvSettings") -> Dialect:
    """The dialect of a file; `given` wins over what is recognised.

    Raises:
        DataError: Encoding or separator cannot be told; a name is there twice. Names the setting to set.
    """
    shown = file.shown
    with opened(file) as stream:
        head = stream.read(HEAD_BYTES)
        while b"\n" not in head and b"\r" not in head and (more := stream.read(len(head))):
            head += more  # a long header
        whole = not stream.read(1)
    encoding = given.encoding or _encoding_of_head(head, shown) or encoding_of(file)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=whole)
    except (UnicodeDecodeError, LookupError) as error:
        raise undecodable(shown, encoding, error) from None
    text = text.removeprefix("\ufeff")
    quote = given.quote or '"'
    no_header: list[str] = []
    escape = _escape(text, whole, given.separator, quote, shown)
    excel = _EXCEL.match(text)
    separator = (
        given.separator
        or (excel[1] if excel else "")
        or _separator(text, whole, quote, escape, file.format == "tsv", shown)
    )
    records = _rows(io.StringIO(text, newline=""), separator, quote, escape)
    numbered = ((i, row) for i, row in enumerate(records, 1) if row and not (i == 1 and excel))
    lines, header = next(numbered, (0, no_header))
    return Dialect(encoding, separator, quote, escape, _named(header, shown), lines, whole)


def undecodable(shown: str, encoding: str, error: Exception) -> DataError:
    """The error for bytes that are not text in an encoding."""
    return DataError(
        f"{shown} is not text in {encoding} ({error}). Set data.csv: {{encoding: NAME}}, such as cp949, latin-1, "
        "cp1252 or utf-16."
    )


def rows_of(file: DataFile, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its last line, counted from 1; slow."""
    with opened(file) as stream:
        text = io.TextIOWrapper(stream, dialect.encoding, errors="replace", newline="")
        reader = _rows(text, dialect.separator, dialect.quote, dialect.escape)
        for row in reader:
            yield reader.line_num, row


def with_escape_of_whole(file: DataFile, dialect: Dialect) -> Dialect:
    """The dialect with the escape that the quotes of the whole file need; slow."""
    for escape in (dialect.escape, "\\"):
        with opened(file) as stream:
            text = io.TextIOWrapper(stream, dialect.encoding, newline="")
            records = _rows(text, dialect.separator, dialect.quote, escape, strict=True)
            try:
                for _ in records:
                    pass
                return dialect._replace(escape=escape)
            except csv.Error:
                wrong = records.line_num
    raise _wrong_quote(file.shown, wrong, dialect.quote)


def _rows(
    text: Iterable[str], separator: str, quote: str, escape: str = "", strict: bool = False
) -> "csv.Reader":  # type: ignore[name-defined]
    return csv.reader(text, delimiter=separator, quotechar=quote, escapechar=escape or None, strict=strict)


def _escape(text: str, whole: bool, separator: str, quote: str, shown: str) -> str:
    """A backslash if quotes inside of quoted cells are written with one; empty if they are doubled.

    Raises:
        DataError: They are neither; names the line.
    """
    wrong = 0
    for escape in ("", "\\"):
        # The separator is not known yet, so each character that may be it counts as one.
        shown_as = text if separator else text.translate(_AS_COMMA)
        records = _rows(io.StringIO(shown_as, newline=""), separator or ",", quote, escape, strict=True)
        try:
            for _ in records:
                pass
            return escape
        except csv.Error as error:
            if not whole and "unexpected end" in str(error):
                return escape
            wrong = wrong or records.line_num
    raise _wrong_quote(shown, wrong, quote)


def _wrong_quote(shown: str, line: int, quote: str) -> DataError:
    return DataError(
        f"{shown}, line {line}: a quote {quote} inside a quoted cell is not doubled, or a quoted cell has no end. Mend "
        "the line, or set data.csv: {quote: ...} to a character that the file does not have."
    )


def _encoding_of_head(head: bytes, shown: str) -> str:
    """UTF-8 or UTF-16 when the first bytes are; empty: unknown."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    if b"\0" in head:
        even, odd = head[::2].count(0), head[1::2].count(0)
        if max(even, odd) < len(head) / 8:
            raise DataError(f"{shown} is no text: it has zero bytes. Does its ending name its format?")
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return ""
    return "utf-8"


def encoding_of(file: DataFile) -> str:
    """The encoding of a file that is not UTF-8: cp949 (with EUC-KR), latin-1 or, with its marks, cp1252.

    Raises:
        DataError: It is neither for certain.
    """
    with opened(file) as stream:
        lines = b"\n".join(line for line in stream.read(ENCODING_BYTES).splitlines() if not line.isascii())
    try:
        letters = [c for c in lines.decode("cp949") if c > "\x7f"]
        # The syllables that cp949 adds to EUC-KR are rare in Korean; bytes of Japanese look like them.
        usual = [c for c in letters if "가" <= c <= "힣" and len(c.encode("euc_kr")) == 2]
        if letters and len(usual) >= SHARE * len(letters):
            return "cp949"
    except UnicodeDecodeError:
        pass
    encoding = "cp1252" if re.search(rb"[\x80-\x9f]", lines) else "latin-1"
    text = lines.decode(encoding, errors="replace")
    letters = [c for c in text if c > "\x7f"]
    alone = [c for before, c, after in zip(" " + text, text, text[1:] + " ", strict=False)
             if c > "\x7f" and before <= "\x7f" and after <= "\x7f"]  # fmt: skip
    if letters and sum(c in LATIN for c in alone) >= SHARE * len(letters) and "\ufffd" not in text:
        return encoding
    raise DataError(
        f"{file.shown} is no UTF-8 text, and its encoding cannot be recognised. Set data.csv: {{encoding: NAME}}, such as "
        "cp949, latin-1, cp1252 or shift_jis."
    )


def _separator(text: str, whole: bool, quote: str, escape: str, tab_first: bool, shown: str) -> str:
    """The separator that gives every row as many cells as the header."""
    share: dict[str, float] = {}
    for separator in SEPARATORS:
        rows = [row for row in _rows(io.StringIO(text, newline=""), separator, quote, escape) if row]
        rows = rows if whole or len(rows) < 2 else rows[:-1]  # the last one may be cut
        if rows and len(rows[0]) > 1:
            share[separator] = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    if tab_first and "\t" in share:
        return "\t"
    fit = [separator for separator, part in share.items() if part == 1] or [
        separator for separator, part in share.items() if part == max(share.values())
    ]
    if len(fit) > 1:
        raise DataError(
            f"{shown} can be read with the separators {' and '.join(map(repr, fit))}. Set data.csv: "
            f"{{separator: {fit[0]!r}}}."
        )
    return fit[0] if fit else ","


def _named(header: list[str], shown: str) -> tuple[str, ...]:
    """The names in the header; an empty one gets the name that pandas gives it."""
    names = [name or f"Unnamed: {i}" for i, name in enumerate(header)]
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise DataError(
            f"{shown} has more than one column named {', '.join(map(repr, twice))}. Rename one of them."
        )
    if names and all(name.replace(".", "", 1).lstrip("-").isdigit() for name in names):
        raise DataError(
            f"{shown} has no header: its first line is {', '.join(names[:5])}. Add a line with the names."
        )
    return tuple(names)
