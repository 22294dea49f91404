"""The tokenizer: ids of all runs of one to four letters of a text. It has no vocabulary to learn."""

from unicodedata import normalize
from zlib import crc32

MOST_LETTERS = 200


class Letters:
    """Hashes each run of letters, so a text in any script has ids."""

    vocab_size = 16384  # tells the network how many ids there are

    def encode(self, text: str) -> list[int]:
        """The ids of a text; a word begins and ends with a space."""
        text = normalize("NFC", text)  # a Mac may send each Korean letter in its parts
        letters = f" {' '.join(text.lower().split())[:MOST_LETTERS]} "
        runs = [letters[at : at + size] for size in (1, 2, 3, 4) for at in range(len(letters) - size + 1)]
        return [crc32(run.encode()) % self.vocab_size for run in runs]
