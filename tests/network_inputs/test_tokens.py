"""Ids of texts by tokenizers of many forms."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import BpeTrainer

from mlops_lib.columns.encode import BadValue, Encoder
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.spec import Inputs, InputSpec
from mlops_lib.network_inputs.tokens import Tokens
from mlops_lib.wrappers.network.log import with_files


class Letters:
    """A tokenizer with the methods of Hugging Face's."""

    vocab_size = 256

    def encode(self, text):
        return SimpleNamespace(ids=list(text.encode()))


@pytest.fixture(autouse=True)
def module(monkeypatch):
    """A user's module with tokenizers."""
    made = ModuleType("own_tokenizers")
    made.lengths = lambda text: [len(word) for word in text.split()]
    made.Letters, made.letters = Letters, Letters()
    made.mapped = lambda text: {"input_ids": [1, 2], "attention_mask": [1, 1]}
    made.wrong = lambda text: text.split()
    monkeypatch.setitem(sys.modules, "own_tokenizers", made)


def tokens(name, length=0, **column):
    return Tokens(Column("t", "text", stored="string", **column), f"own_tokenizers:{name}", length, Path())


@pytest.mark.parametrize(
    ("name", "ids"),
    [("lengths", [1, 3]), ("Letters", [97, 32, 98, 98, 98]), ("letters", [97, 32, 98, 98, 98]), ("mapped", [1, 2])],
)  # fmt: skip
def test_functions_classes_and_objects_give_ids(name, ids):
    """Also as an object with ids, or a dict with input_ids."""
    assert tokens(name).items(0, "a bbb").tolist() == ids
    assert tokens(name, length=1).items(0, "a bbb").tolist() == ids[:1]
    assert tokens(name).codes == (256 if "etters" in name else 0)


def test_missing_texts_have_no_id_and_others_are_refused():
    """A missing text where the dataset has none, and what is no text."""
    assert tokens("lengths", nullable=True).items(0, None).tolist() == []
    assert tokens("lengths", nullable=True).items(0, "").tolist() == []
    with pytest.raises(
        BadValue, match="Row 3: 't' is None, and must be text: no row of the dataset lacks one"
    ):
        tokens("lengths").items(3, None)
    with pytest.raises(BadValue, match=r"Row 0: 't' is \['a'\]"):
        tokens("lengths").items(0, ["a"])
    with pytest.raises(ValueError, match="own_tokenizers:wrong gives .* no list of ids"):
        tokens("wrong").items(0, "a bbb")


def test_a_trained_tokenizer_of_two_languages(tmp_path):
    """A file tokenizer.json that was trained on Korean and English: its own ids, its size, and words that it never saw."""
    texts = ["배송이 빠르고 좋아요", "the delivery was fast", "좋은 영화", "a good film"] * 3
    trained = Tokenizer(BPE(unk_token="[UNK]"))
    trained.pre_tokenizer = Whitespace()
    trained.train_from_iterator(texts, BpeTrainer(vocab_size=90, special_tokens=["[UNK]"]))
    trained.save(str(tmp_path / "tokenizer.json"))
    made = Tokens(Column("t", "text", stored="string"), "tokenizer.json", 0, tmp_path)
    for text in ("좋은 delivery", "빠르고 good", "완전히 새로운 단어", ""):
        assert made.items(0, text).tolist() == trained.encode(text).ids
    assert len(made.items(0, "좋은")) == 1 and made.codes == trained.get_vocab_size()


def test_files_of_any_folder_travel_with_the_model(tmp_path, monkeypatch):
    """Two of one name, one below the project and one elsewhere: each input keeps its own."""

    class Words:
        def __init__(self, file):
            self._ids = json.loads(Path(file).read_text(encoding="utf-8"))

        from_file = classmethod(lambda cls, file: cls(file))

        def encode(self, text):
            return [self._ids[word] for word in text.split()]

    monkeypatch.setitem(sys.modules, "tokenizers", SimpleNamespace(Tokenizer=Words))
    names, root, logged = ["제목", "본문"], tmp_path / "project", tmp_path / "table"
    files = ["models/tokenizer.json", str(tmp_path / "other" / "tokenizer.json")]
    logged.mkdir()
    for number, file in enumerate(files, start=1):
        (root / file).parent.mkdir(parents=True)
        (root / file).write_text(json.dumps({"가": number}), encoding="utf-8")
    specs = (
        InputSpec(n, (n,), "tokens", "int64", (None,), tokenizer=f) for n, f in zip(names, files, strict=True)
    )
    schema = Schema(tuple(Column(name, "text", stored="string") for name in names))
    encoder = InputEncoder(Inputs(tuple(specs)), Encoder(Schema(()), {}), schema, root)
    found = with_files(encoder, logged).to_dict()
    shutil.rmtree(root)
    again = InputEncoder.from_dict(json.loads(json.dumps(found)), logged)
    padded = again.padded(again.prepared({name: ["가"] for name in names}, 1))
    assert [padded[name].tolist() for name in names] == [[[1]], [[2]]]
