"""The rules of inference: which kind a column has, why, and whether it carries information."""

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.alike import TOTALS, alike, same_number, says_nothing
from mlops_lib.columns.date_forms import ORDERS, orders_of
from mlops_lib.columns.dates import PATTERN, are_dates
from mlops_lib.columns.facts import NUMBER_PATTERN, is_list
from mlops_lib.columns.images import is_image_file
from mlops_lib.columns.schema import Kind
from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.columns.facts import Facts

#: Rows from which "distinct in every row" means something.
MIN_ROWS_OF_ID = 20
#: Words and letters of an average value from which text is prose.
PROSE_WORDS, PROSE_LETTERS = 4, 40
#: Distinct files that tell whether a column holds images.
SHOWN_IMAGES = 10
#: Distinct texts that `_looks_like` compares.
SHOWN_TEXTS = 1_000
#: Distinct texts beside numbers that rather mean a missing value or a mistake than that the column has names.
MAX_ODD, SHOWN_LETTERS = 5, 40
#: What the reason of a column says whose texts are numbers, or nearly so.
SIZES = "they look like numbers", "they are numbers but"
#: What the hint at texts says that are no two keys, or no key.
SAME = "which look the same", "which are one number", "which often marks a row of sums"
#: Of fewer texts, such as total and partial, total may be a category.
FEWEST_WITH_TOTAL = 4
#: An address, a version or a phone number, and a number whose thousands are apart.
_GROUPS, _THOUSANDS = r"^\d+([. ]\d+){2,}$", r"^\d{1,3}((\.\d{3})+|( \d{3})+(\.\d+)?)$"
#: A number and its unit, such as 70.5 kg.
_UNIT = re.compile(r"\s*[+-]?\d[\d.,]*\s*([^\W\d_]{1,5})\s*")


def kind_of(facts: "Facts") -> tuple[Kind, str]:
    """Kind and reason."""
    import pyarrow as pa

    kind = facts.type
    if facts.is_list and _holds_numbers(kind):
        return "array", _lists(facts)
    if _is_binary(kind) and _hold_images(facts):
        return "image", "files of images"
    if _has_no_kind(kind):
        return "text", f"{kind}: no kind for it"
    if pa.types.is_null(kind):
        return "number", "no value in any row"
    if pa.types.is_boolean(kind):
        return "boolean", "true or false"
    if pa.types.is_integer(kind):
        return "integer", f"whole numbers{_range(facts)}"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number", f"numbers{_range(facts)}"
    if pa.types.is_duration(kind):
        return "number", f"durations, as seconds{_range(facts)}"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "datetime", f"dates{_range(facts)}"
    if pa.types.is_time(kind):
        return "datetime", f"times of day{_range(facts)}"
    return _kind_of_text(facts)


def useless(facts: "Facts", kind: Kind) -> str:
    """Why a column carries no information that a model can use; "" if it may carry some."""
    import pyarrow as pa

    if facts.rows and not facts.known:
        return "no value in any row: left out"
    if kind == "array" and -1 in facts.shape:
        more = ", or the kind sequence in data.columns" if _is_sequence(facts) else ""
        return f"{_lists(facts)}: left out, since a model needs lists of one length{more}"
    if kind == "array" and facts.infinite:
        return f"{_lists(facts)}, some infinite or beyond float32: left out"
    if pa.types.is_struct(facts.type):
        return (
            f"{facts.type}: left out, since a field is no column; make columns of its fields in the source or in "
            "data.prepare, or name a kind in data.columns to keep it as one text"
        )
    if kind not in ("array", "image") and _has_no_kind(facts.type):
        such_as = ", such as text for the words of its lists" if facts.is_list else ""
        return f"{facts.type}: left out, name its kind in data.columns to keep it{such_as}"
    if kind == "datetime" and _is_beyond_calendar(facts):
        return f"dates{_range(facts)}: left out, since years beyond 9999 have no calendar"
    if not facts.all_distinct or facts.known < MIN_ROWS_OF_ID or kind not in ("category", "integer"):
        return ""
    # Random numbers from a range so narrow would repeat, with a probability of 99.9 %.
    if kind == "integer" and facts.most - facts.least > min(4 * facts.known, facts.known**2 / 14):
        return ""
    where = "every row" if facts.complete else f"the first {facts.counted:,} rows"
    return f"distinct in {where}: left out, name it in data.columns to keep it{_looks_like(facts)}"


def overridden(name: str, given: str, facts: "Facts") -> tuple[Kind, str]:
    """The kind that config.yaml gives a column.

    Raises:
        DataError: Its values cannot have that kind.
    """
    import pyarrow as pa

    inferred, reason = kind_of(facts)
    kind = facts.type
    is_bool, is_empty = pa.types.is_boolean(kind), not facts.known
    is_number = facts.is_number or facts.numbers
    is_bit = facts.is_number and facts.least is not None and 0 <= facts.least <= facts.most <= 1
    is_whole = is_number and not pa.types.is_duration(kind) and _are_whole(facts)
    if given in ORDERS:
        if is_empty or (facts.dates and given in facts.orders):
            return "datetime", f"set in data.columns: dates, {given.replace('_', ' ')}"
        raise DataError(
            f"data.columns says that {name!r} has dates with the {given[:-6]} first, and not every value is one"
            f"{_examples(facts)}. Change the values in the source, or the kind in data.columns."
        )
    fits = {
        "number": is_bool or is_number,
        "integer": is_bool or is_whole,
        "boolean": is_bool or (is_bit and is_whole),
        "datetime": inferred == "datetime" and not _is_beyond_calendar(facts),
        "array": inferred == "array" and not facts.infinite and -1 not in facts.shape,
        "sequence": inferred == "array" and not facts.infinite and _is_sequence(facts),
        "image": facts.is_text or _is_binary(kind),
        "category": True,
        "text": True,
    }
    if not (fits[given] or is_empty):
        if given == "sequence" and facts.is_list and not _holds_numbers(kind):
            reason += "; a sequence holds numbers, and the kind text takes the words of lists"
        raise DataError(
            f"data.columns says that {name!r} is {'an' if given[0] in 'aei' else 'a'} {given}, and it holds {reason}"
            f"{_examples(facts)}. Change the values in the source, or the kind in data.columns."
        )
    return given, "files of images" if given == "image" else "set in data.columns"  # type: ignore[return-value]


def sizes_in_texts(texts: "pa.Array") -> str:
    """A hint at texts that are numbers with marks or a unit, or are numbers but for a few; "" for others."""
    import pyarrow.compute as pc

    unit = next(filter(None, map(_UNIT.fullmatch, texts[:MIN_ROWS_OF_ID].to_pylist())), None)
    after = re.escape(unit[1]) if unit else ""
    # Digits of full width are from U+FF10 to U+FF19, their point and comma U+FF0E and U+FF0C.
    number = r"[\d\x{ff10}-\x{ff19}][\d\x{ff10}-\x{ff19}\x{ff0e}\x{ff0c}.,'\x{00a0}\x{202f} ]*"
    pattern = rf"{NUMBER_PATTERN}|^\s*[^\w\s]{{0,2}}\s*{number}\s*([^\w\s]{{0,2}}|{after})\s*$"
    are = pc.match_substring_regex(texts, pattern)
    grouped, thousands = (pc.match_substring_regex(texts, one) for one in (_GROUPS, _THOUSANDS))
    are = pc.and_not(are, pc.and_not(grouped, thousands))
    odd = texts.filter(pc.invert(are)).to_pylist()
    if not odd:
        example = texts[0].as_py()
        return f"{SIZES[0]}, such as {example!r}: store them as numbers in the source to use their size"
    return _but_for(odd, len(texts), SIZES[1])


def _but_for(odd: list[str], distinct: int, what: str) -> str:
    """A hint at the few among the distinct texts of a column that keep it from what it is otherwise; "" for many."""
    if not 0 < len(odd) <= min(MAX_ODD, distinct / 10):
        return ""
    listed = ", ".join(repr(text[:SHOWN_LETTERS]) for text in odd)
    return (
        f"{what} for {listed}: list these in data.missing_values if they mean a missing value, else mend them in the "
        "source"
    )


def _kind_of_text(facts: "Facts") -> tuple[Kind, str]:
    distinct, rows = f"{facts.distinct:,}", f"{facts.rows:,}"
    if not facts.known:
        return "category", "no value in any row"
    assert facts.values is not None
    if facts.dates and (not facts.either or facts.date_order):
        order = f", {facts.date_order.replace('_', ' ')}" if facts.date_order else ""
        zones = (
            "; they have a time zone in some rows alone, and the others count as UTC"
            if len(facts.zones) > 1
            else ""
        )
        return "datetime", f"every text is a date, such as {facts.values[0].as_py()!r}{order}{zones}"
    if facts.times:
        return "datetime", f"every text is a time of day, such as {facts.values[0].as_py()!r}"
    if facts.distinct > facts.known / 2 and _is_prose(facts):
        long = f"{facts.words:.0f} words" if facts.words >= PROSE_WORDS else f"{facts.letters:.0f} letters"
        return "text", f"{distinct} distinct texts in {rows} rows, of {long} on average: text"
    only = f"only {facts.values[0].as_py()!r}" if facts.distinct == 1 else f"{distinct} distinct texts"
    more = "" if facts.complete else "more than "
    return "category", f"{more}{only} in {rows} rows: category{_looks_like(facts)}"


def _is_prose(facts: "Facts") -> bool:
    """Whether the texts are sentences, or long and no codes such as hashes."""
    import pyarrow.compute as pc

    if facts.words >= PROSE_WORDS:
        return True
    codes = pc.match_substring_regex(facts.values, r"^[0-9A-Za-z+/=_.:-]+$")
    return facts.letters >= PROSE_LETTERS and not pc.all(codes).as_py()


def _looks_like(facts: "Facts") -> str:
    """A hint at texts that hold numbers or dates in a form that only people read."""

    if facts.values is None or not facts.is_text:
        return ""
    if facts.dates and facts.either:
        return (
            f"; they look like dates, such as {facts.values[0].as_py()!r}, in which day or month may come first: set "
            "day_first or month_first in data.columns"
        )
    if found := _total(facts.values):
        return f"; they hold {found!r}, {SAME[2]}: leave such rows out of the source"
    shown = facts.values[:SHOWN_TEXTS]
    if (pair := alike(shown.to_pylist()))[0]:
        return (
            f"; they hold {pair[0]!r} and {pair[1]!r}, which {pair[2]}: write them in one way in the source"
        )
    if facts.distinct >= MIN_ROWS_OF_ID and (hint := _nearly_dates(facts.values)):
        return f"; {hint}"
    if hint := _looks_sized(facts, shown):
        return hint
    if (same := same_number(shown.to_pylist()))[0]:
        return (
            f"; they hold {same[0]!r} and {same[1]!r}, which are one number: write them in one way in the source, if they mean "
            "the same"
        )
    if facts.known < facts.rows and (said := next(filter(says_nothing, shown.to_pylist()), "")):
        return f"; they hold {said!r} beside missing values: list it in data.missing_values if it means one"
    return ""


def _total(texts: "pa.Array") -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(texts) < FEWEST_WITH_TOTAL:
        return ""
    are = pc.is_in(pc.utf8_lower(pc.utf8_trim(texts, " :")), pa.array(TOTALS, texts.type))
    return next(iter(texts.filter(are).to_pylist()), "")


def _nearly_dates(texts: "pa.Array") -> str:
    """A hint at texts that are dates but for a few, such as 0000-00-00."""
    odd: list[str] = []
    for text in texts.to_pylist():
        if not _is_date(text):
            odd.append(text)
            if len(odd) > MAX_ODD:
                return ""
    return _but_for(odd, len(texts), "they are dates but")


def _is_date(text: str) -> bool:
    """Whether a text is a date, in either order of day and month."""
    return are_dates([text]) if re.fullmatch(PATTERN, text, re.ASCII) else bool(orders_of([text]))


def _looks_sized(facts: "Facts", shown: "pa.Array") -> str:
    """A hint at texts that are numbers or dates."""
    import pyarrow.compute as pc

    if facts.distinct < MIN_ROWS_OF_ID:
        return ""
    example = shown[0].as_py()
    if pc.any(pc.match_substring_regex(shown, r"^[+-]?0\d+$")).as_py():  # names, as zip codes
        return ""
    if facts.numbers:
        return f"; they are numbers, such as {example!r}: set its kind to number in data.columns to use their size"
    if pc.all(pc.match_substring_regex(shown, r"^\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}([ T].*)?$")).as_py():
        return f"; they look like dates, such as {example!r}: write them as 2026-01-31 in the source to use them so"
    return f"; {hint}" if (hint := sizes_in_texts(facts.values)) else ""


def _has_no_kind(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_nested(kind) or _is_binary(kind) or pa.types.is_interval(kind)


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _hold_images(facts: "Facts") -> bool:
    """Whether most of the first values are files of images; broken ones are named later."""
    first = [] if facts.values is None else facts.values[:SHOWN_IMAGES].to_pylist()
    return sum(map(is_image_file, first)) > len(first) / 2


def _is_beyond_calendar(facts: "Facts") -> bool:
    """Whether a timestamp is outside of the years 1 to 9999."""
    if not isinstance(facts.least, np.datetime64):
        return False
    first, last = (one.astype("datetime64[Y]").astype(int) + 1970 for one in (facts.least, facts.most))
    return bool(first < 1 or last > 9999)


def _holds_numbers(kind: Any) -> bool:
    import pyarrow as pa

    inner = kind.value_type
    while is_list(inner):
        inner = inner.value_type
    return pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_boolean(inner)


def _are_whole(facts: "Facts") -> bool:
    """Whether all values, as far as they were kept, are whole numbers."""
    return facts.values is not None and all(float(value).is_integer() for value in facts.values.to_pylist())


def _lists(facts: "Facts") -> str:
    spans = [str(most) if least == most else f"{least} to {most}" for least, most in facts.spans or [(0, 0)]]
    return " of ".join(f"lists of {span}" for span in spans) + " numbers"


def _is_sequence(facts: "Facts") -> bool:
    """Whether only the outer lists differ in length."""
    return -1 not in facts.shape[1:]


def _range(facts: "Facts") -> str:
    if facts.least is None:
        return ", all infinite or beyond float32" if facts.infinite else ""
    if facts.least == facts.most and not facts.infinite:
        return f", all {_short(facts.least)}"
    more = ", some infinite or beyond float32" if facts.infinite else ""
    return f" from {_short(facts.least)} to {_short(facts.most)}{more}"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _examples(facts: "Facts") -> str:
    if not facts.distinct or facts.values is None:
        return ""
    return f", such as {', '.join(repr(value) for value in facts.values[:3].to_pylist())}"
