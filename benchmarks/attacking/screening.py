"""The gate alone, as its attacker knows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.attacks.family import question_of
from benchmarks.items import Item
from classifiers.encoder.sentence import Encoder
from classifiers.svm.model import Head
from gateway.errors import PackError
from gateway.models.encoders import EncoderRuntime, find_encoder
from gateway.models.languages import PACKAGED, language_loader
from gateway.packs.store import load_packs
from gateway.screening.gate import Gate

__all__ = ["WhiteBox", "gate_of"]


@dataclass(frozen=True, slots=True)
class WhiteBox:
    """The whole `gate`, names and all; and the parts of its classifier, which whoever holds a pack has too: the
    `encoder`, its tokenizer's file, and the `heads` of the scopes."""

    gate: Gate
    encoder: Encoder
    heads: Sequence[Head]
    tokenizer: Path

    def words(self) -> list[str]:
        """Whole words of ASCII letters that the encoder knows, in a fixed order."""
        known = Tokenizer.from_file(str(self.tokenizer)).get_vocab()
        return sorted(word for word in known if word.isascii() and word.isalpha() and len(word) > 2)

    def margins(self, texts: Sequence[str]) -> list[float]:
        """Each text's score above its threshold, of the nearest head."""
        windows = self.encoder.encode(texts)
        return [max(float(head.score(of_text).max()) - head.threshold for head in self.heads) for of_text in windows]

    def over(self, items: Sequence[Item]) -> list[bool]:
        """Whether the classifier alone flags each question."""
        return [margin > 0 for margin in self.margins([question_of(item) for item in items])]


def gate_of(packs: Path, encoder: str, runtime: EncoderRuntime) -> WhiteBox:
    """The gate that a server would have with these packs. Raises PackError."""
    files = find_encoder(encoder, runtime)
    loaded = load_packs(packs, base_fingerprint=None, encoder_fingerprint=files.fingerprint)
    if not loaded:
        raise PackError(f"there are no packs in {packs}; train one first, or name their folder with --packs")
    loaded_encoder = files.load()
    heads = [pack.model for pack in loaded.values() if pack.detector == "classifier"]
    gate = Gate(loaded, loaded_encoder, load_languages=language_loader(PACKAGED))
    return WhiteBox(gate, loaded_encoder, heads, files.folder / "tokenizer.json")
