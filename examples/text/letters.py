"""The tokenizer: ids of the letters of a text, and of their pairs and triples. It has no vocabulary to learn."""

from zlib import crc32

MOST_LETTERS = 200


class Letters:
    """Hashes all runs of one to three letters, so a text in any script has ids."""

    vocab_size = 8192  # tells the network how many ids there are

    def encode(self, text: str) -> list[int]:
        """The ids of a text; a word begins and ends with a space."""
        letters = f" {' '.join(text.lower().split())[:MOST_LETTERS]} "
        runs = [letters[at : at + size] for size in (1, 2, 3) for at in range(len(letters) - size + 1)]
        return [crc32(run.encode()) % self.vocab_size for run in runs]
