"""Text metrics in many languages: identical answers, overlaps counted by hand, and English as before."""

import random
import re
import string
import sys

import numpy as np
import pytest
import sacrebleu

from mlops_lib import config
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import evaluate
from mlops_lib.evaluation.metrics import languages
from mlops_lib.evaluation.metrics.interface import Case
from mlops_lib.evaluation.metrics.languages import bleu_tokenizer, language_of
from mlops_lib.evaluation.metrics.normal import same
from mlops_lib.evaluation.metrics.text import Bleu
from mlops_lib.evaluation.metrics.tokens import tokens
from mlops_lib.evaluation.paired.text import statistic
from mlops_lib.evaluation.tasks.text import Text
from mlops_lib.llm.generation import Generation

SENTENCES = {
    "Korean": "서울입니다",
    "Korean decomposed": "배송은 이틀 걸립니다",
    "Japanese": "東京です",
    "Chinese": "北京是中国的首都",
    "Arabic": "القاهرة عاصمة مصر",
    "Hindi": "नई दिल्ली भारत की राजधानी है",
    "Thai": "กรุงเทพเป็นเมืองหลวง",
    "Lao": "ວຽງຈັນ",
    "Khmer": "ភ្នំពេញ",
    "Burmese": "နေပြည်တော်",
    "Russian": "Москва — столица России",
    "Greek": "Η Αθήνα είναι η πρωτεύουσα",
    "Hebrew": "ירושלים",
    "emoji": "👩‍💻👍🏽",
    "signs": "+",
}


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch):
    """Draw nothing: a figure takes longer than the scores."""
    monkeypatch.setattr(Text, "figures", lambda *_: {})


def values(metric, pairs, settings=None):
    """The metric's score of each (answer, reference), and the report."""
    made = [Generation({"question": "q"}, answer) for answer, _ in pairs]
    report = evaluate("text", [reference for _, reference in pairs], made, split="test", settings=settings)
    return list(report.per_row[metric]), report


@pytest.fixture
def configured(llm_project):
    """Settings of the text task with some of `evaluation`."""
    return lambda **evaluation: config.load(llm_project(evaluation=evaluation))


@pytest.mark.parametrize("metric", ["rouge_l", "exact_match", "chrf"])
def test_the_right_answer_has_the_best_score_in_every_language(metric):
    best = 100.0 if metric == "chrf" else 1.0
    found, _ = values(metric, [(text, text) for text in SENTENCES.values()])
    assert dict(zip(SENTENCES, found, strict=True)) == pytest.approx(dict.fromkeys(SENTENCES, best))


@pytest.mark.parametrize(
    ("answer", "reference", "rouge", "exact"),
    [
        ("東京です", "東京です。", 1.0, 1.0),
        ("de\u0301ja\u0300", "déjà", 1.0, 1.0),  # decomposed
        ("it’s", "it's", 1.0, 1.0),
        ("“네, 맞습니다.”", '"네, 맞습니다."', 1.0, 1.0),
        ("서울입니다".encode().decode(), "\u1109\u1165\u110b\u116e\u11af입니다", 1.0, 1.0),  # jamo
        ("ＡＢＣ１２３", "abc123", 1.0, 1.0),  # full width
        ("ﾄｳｷｮｳ", "トウキョウ", 1.0, 1.0),  # half width
        ("東京 です", "東京です", 1.0, 1.0),
        ("STRASSE", "straße", 1.0, 1.0),
        ("كـــتاب", "كتاب", 1.0, 1.0),
        ("¿Qué?", "que", 0.0, 0.0),
        ("❤️", "❤", 1.0, 1.0),
        ("👍", "👎", 0.0, 0.0),
        ("-", "+", 0.0, 0.0),
        ("the", "A", 0.0, 0.0),
        # Two of four words against two of three: 2 / (4 + 3) * 2.
        ("배송은 삼 일 걸립니다", "배송은 이틀 걸립니다", 4 / 7, 0.0),
        ("東京都です", "東京です", 8 / 9, 0.0),  # 4 of 5 characters, 4 of 4
        ("北京市", "北京", 4 / 5, 0.0),
        ("Столица — Москва", "Москва", 2 / 3, 0.0),
        ("नई दिल्ली", "दिल्ली", 2 / 3, 0.0),
        ("น้ำเย็น", "น้ำ", 2 * 1 / (1 + 4), 0.0),  # น้ำ เ ย็ น
        ("👩‍💻 👍", "👩‍💻", 2 / 3, 0.0),
    ],
)
def test_values_by_hand(answer, reference, rouge, exact):
    assert values("rouge_l", [(answer, reference)])[0] == pytest.approx([rouge])
    assert values("exact_match", [(answer, reference)])[0] == [exact]


@pytest.mark.parametrize(
    ("answer", "reference", "equal"),
    [
        ("3.5", "35", False), ("약3.5일", "약35일", False), ("3,5", "3.5", True), ("٣٫٥", "٣٥", False), ("3．５", "3.5", True),
        ("-5", "5", False), ("−5", "-5", True), ("(-5)", "-5", True), ("-$5", "$5", False), ("1e-5", "1e5", False),
        (".5", "5", False), ("-.5", ".5", False), ("1/2", "12", False), ("10:30", "1030", False), ("v1.2", "v12", False),
        ("3,000원", "3000원", True), ("1,234,567.5", "1234567.5", True), ("3'000", "3000", True), ("3.5.", "3.5", True),
        ("2024.01.05", "2024-01-05", True), ("02-1234-5678", "0212345678", True), ("5-3", "53", True), ("- 5", "5", True),
        ("C++", "C", False), ("C#", "C", False), ("C++.", "c＋＋", True), ("C++17", "C17", False), ("C언어", "C++언어", False),
        ("A+", "A", False), ("O+", "O-", False), ("**C**", "C", True), ("# C", "C", True), ("a+b", "ab", True), ("a++b", "ab", True), ("東京＋大阪", "東京、大阪", True),
        ("Note#", "Note", True), ("F#은", "F은", False),
        ("COVID-19", "covid19", True), ("see.5", "see5", True), ("It is 3.5, not 35.", "It is 3.5 not 35", True),
    ],
)  # fmt: skip
def test_the_signs_of_numbers_and_names_count(answer, reference, equal):
    """Removed as punctuation, they made another number or name the right answer. Of dates and telephone numbers they are removed."""
    assert values("exact_match", [(answer, reference)])[0] == [float(equal)]
    assert same(answer, reference, english=False) == same(reference, answer, english=True) == equal


def test_english_is_scored_as_rouge_score_and_squad_score_it():
    """Random ASCII texts have the values that the original code gives."""

    def squad(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    draw = random.Random(0)
    words = [
        "the",
        "a",
        "An",
        "cats",
        "running",
        "well-known",
        "it's",
        "3.5",
        "U.S.",
        "e_mail",
        "fox;dog",
        "x=y",
    ]
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rougeL"], use_stemmer=True)
    pairs = [tuple(" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(2)) for _ in range(300)]
    expected = [theirs.score(reference, answer)["rougeL"].fmeasure for answer, reference in pairs]
    assert values("rouge_l", pairs)[0] == pytest.approx(expected)
    known = [pair for pair in pairs if squad(pair[1])]
    assert [same(*pair, english=True) for pair in known] == [squad(a) == squad(b) for a, b in known]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("It is open.", "en"), ("The café is open", "en"), ("Le café est fermé", "latin"), ("", "en"), ("42", "en"),
        ("배송은 이틀", "ko"), ("iPhone 출시", "ko"), ("ChatGPTは便利", "ja"), ("北京", "zh"), ("กรุงเทพ", "characters"),
        ("Москва", "spaces"), ("الطلب", "spaces"), ("The word 好 means good", "en"),
    ],
)  # fmt: skip
def test_the_language_of_a_reference(text, language):
    assert language_of(text) == language


def test_a_language_that_is_set_decides(configured):
    """French has a word "a", and a text of Han alone may be Japanese."""
    pairs = [("Il faim", "Il a faim")]
    assert values("exact_match", pairs)[0] == [1.0]  # taken for English
    assert values("exact_match", pairs, configured(metrics=["exact_match"], language="fr"))[0] == [0.0]
    assert language_of("東京", "ja") == "ja" and language_of("iPhone", "ko") == "ko"
    assert language_of("Москва", "ru") == "spaces" and language_of("ไทย", "th") == "characters"


BLEU = {
    "ko-mecab": ("배송은 이틀 걸립니다.", "배송은 사흘 걸립니다."),
    "ja-mecab": ("配送は三日かかります。", "配送は二日かかります。"),
    "zh": ("配送需要三天时间。", "配送需要两天时间。"),
    "intl": ("«Да», доставка занимает три дня.", "«Да», доставка занимает два дня."),
    "13a": ("Delivery takes three days, not more.", "Delivery takes two days, not more."),
}


@pytest.mark.parametrize("tokenizer", BLEU)
def test_bleu_has_sacrebleus_value_with_its_tokenizer(tokenizer, configured):
    answer, reference = BLEU[tokenizer]
    _, report = values("bleu", [(answer, reference)], configured(metrics=["bleu"], metric="bleu"))
    expected = sacrebleu.corpus_bleu([answer], [[reference]], tokenize=tokenizer).score
    assert 0 < expected < 100
    assert report.metrics["bleu"].value == pytest.approx(expected)
    # The paired bootstrap has the same number on the rows as they are.
    case = Case(Generation({}, answer), reference)
    assert statistic(Bleu(), [case], [1.0], 0.0)(np.ones((1, 1))) == pytest.approx([expected])
    assert f"tok:{tokenizer}" in report.notes["bleu"] and "version:" in report.notes["bleu"]


def test_bleu_of_several_languages_names_all_tokenizers(configured):
    pairs = [(text, text) for _, text in BLEU.values()] + [("กรุงเทพเป็น", "กรุงเทพเป็น")]
    _, report = values("bleu", pairs, configured(metrics=["bleu"], metric="bleu"))
    assert report.metrics["bleu"].value == pytest.approx(100.0)
    assert "tok:13a+grapheme+intl+ja-mecab-0.996-IPA+ko-mecab-0.996" in report.notes["bleu"]


def test_a_tokenizer_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mecab_ko", None)
    monkeypatch.delitem(sys.modules, "sacrebleu.tokenizers.tokenizer_ko_mecab", raising=False)
    languages._sacrebleus.cache_clear()
    with pytest.raises(EvaluationError, match=r"pip install 'mlops-lib\[languages\]'"):
        bleu_tokenizer("ko")


def test_a_metric_that_says_little_of_the_texts_warns(configured):
    _, report = values("bleu", [("서울", "서울")], configured(metrics=["bleu", "rouge_l"], metric="bleu"))
    assert "no reference has 4 tokens, so BLEU is 0 for any answer" in report.notes["bleu"]
    _, report = values("rouge_l", [("+", "+"), ("yes", "yes")])
    assert "1 of 2 references have no word" in report.notes["rouge_l"]


def test_tokens_keep_letters_with_their_marks():
    assert tokens("हिन्दी, भाषा।") == ["हिन्दी", "भाषा"]
    assert tokens("东京 3.5%") == ["东", "京", "3", "5"]
    assert tokens("!?") == ["!", "?"]
