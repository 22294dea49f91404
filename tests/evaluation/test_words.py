"""Word-level differences in scripts with and without spaces."""

import pytest

from mlops_lib.evaluation.metrics.tokens import pieces
from mlops_lib.evaluation.words import MAX_WORDS, word_changes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 3.5, yes", ["It", " ", "is", " ", "3", ".", "5", ",", " ", "yes"]),
        ("배송은 이틀, 걸려요", ["배송은", " ", "이틀", ",", " ", "걸려요"]),
        ("配送は二日", ["配", "送", "は", "二", "日"]),
        ("น้ำดื่ม", ["น้ำ", "ดื่", "ม"]),
        ("हिन्दी भाषा", ["हिन्दी", " ", "भाषा"]),
        ("الطلب وصل", ["الطلب", " ", "وصل"]),
        ("cafe\u0301 👩\u200d💻", ["cafe\u0301", " ", "👩\u200d💻"]),
        ("line\n\nnext", ["line", "\n\n", "next"]),
        ("", []),
    ],
)
def test_texts_are_cut_into_words_or_characters(text, expected):
    """Marks stay with their letter, and nothing is lost."""
    assert pieces(text) == expected
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("The shop opens at nine.", "The shop opens at ten.", [("removed", "nine"), ("added", "ten")]),
        ("배송은 삼 일 걸립니다", "배송은 이틀 걸립니다", [("removed", "삼 일"), ("added", "이틀")]),
        ("配送は二日です", "配送は三日です", [("removed", "二"), ("added", "三")]),
        ("same", "same", []),
        ("", "new", [("added", "new")]),
        ("Completely other words here", "nothing in common", [
            ("removed", "Completely other words here"), ("added", "nothing in common"),
        ]),
    ],
)  # fmt: skip
def test_only_the_words_that_changed_are_marked(before, after, changes):
    found = word_changes(before, after)
    assert [piece for piece in found if piece.kind != "same"] == changes
    assert "".join(piece.text for piece in found if piece.kind != "added") == before
    assert "".join(piece.text for piece in found if piece.kind != "removed") == after


def test_very_long_texts_are_replaced_as_a_whole():
    """Their comparison would take minutes."""
    before, after = "字" * (MAX_WORDS + 1), "字" * MAX_WORDS
    assert word_changes(before, after) == [("removed", before), ("added", after)]
