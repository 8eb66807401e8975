"""What was said, kept in a file, so that a run that was interrupted goes on where it was."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.items import Item

__all__ = ["Answers", "Decoding", "Said", "code_fingerprint"]

_PRODUCT = ("adapters", "classifiers", "corruption", "gateway")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. `plan` is what the gateway did (an HTTP status if it answered with an error); '' where nobody tells.
    `seconds` is the time until the answer was whole; 0 for an answer of a batch."""

    text: str
    plan: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to answer: greedily, or at a `temperature` with a `seed`."""

    max_tokens: int
    temperature: float = 0.0
    seed: int = 0


class Answers:
    """The answers of one side, in FOLDER/answers/SIDE.jsonl. One process writes."""

    def __init__(self, folder: Path, side: str, identity: str) -> None:
        """`identity` is all that decides on the side's answers beside the question: an answer of another one is not
        read again."""
        self._path = folder / "answers" / f"{side}.jsonl"
        self._identity = identity
        self._known: dict[str, Said] = {}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # a run was killed while it wrote: the answer is asked again
                continue
            key = row.pop("key")
            self._known[key] = Said(**row)
        if text and not text.endswith("\n"):
            with self._path.open("a", encoding="utf-8") as target:
                target.write("\n")

    def get(self, item: Item, decoding: Decoding) -> Said | None:
        """The answer that this side gave before."""
        return self._known.get(self._key(item, decoding))

    def keep(self, said: Iterable[tuple[Item, Decoding, Said]]) -> None:
        """Adds answers."""
        with self._path.open("a", encoding="utf-8") as target:
            for item, decoding, answer in said:
                key = self._key(item, decoding)
                self._known[key] = answer
                target.write(json.dumps({"key": key, **asdict(answer)}) + "\n")

    def _key(self, item: Item, decoding: Decoding) -> str:
        messages = [(message.role, message.text) for message in item.messages]
        content = json.dumps([self._identity, item.endpoint, messages, asdict(decoding)])
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:32]


def code_fingerprint() -> str:
    """Of the product's source: another gate gives other answers."""
    digest = hashlib.sha256()
    for package in _PRODUCT:
        for file in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(file.relative_to(_ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]
