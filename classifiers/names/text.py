"""Text normalisation that remembers where each character came from.

Matching happens on the normalised text, corruption on the text as sent, so every normalised character
keeps the offsets of the source character that produced it.
"""

import unicodedata
from dataclasses import dataclass

__all__ = ["Normalised", "normalise"]

# Letters of other scripts that look like Latin ones and survive NFKD (Unicode TS 39 lists them all; these are the
# ones that a keyboard types). An attacker's spelling must not hide a name.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁɡвкмнтαορνικυβεηтɑıℓօոսցզհյքԛԝ",
    "aeopcyxijsdgbkmhtaopvikubehtailonugqhjpqw",
)


@dataclass(frozen=True, slots=True)
class Normalised:
    """Words of a text in lower case without accents, parted and surrounded by single spaces.

    `starts[i]` and `ends[i]` bound the source characters behind `text[i]`.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def source_range(self, start: int, end: int) -> tuple[int, int]:
        """The half-open source range behind the normalised range [start, end)."""
        return self.starts[start], self.ends[end - 1]


def normalise(text: str) -> Normalised:
    """Lower case, compatibility forms unfolded, accents and invisible characters dropped, punctuation to spaces."""
    characters: list[str] = [" "]
    starts: list[int] = [0]
    ends: list[int] = [0]
    for position, source in enumerate(text):
        for character in _fold(source):
            if character == " " and characters[-1] == " ":
                continue
            characters.append(character)
            starts.append(position)
            ends.append(position + 1)
    if characters[-1] != " ":
        characters.append(" ")
        starts.append(len(text))
        ends.append(len(text))
    return Normalised("".join(characters), tuple(starts), tuple(ends))


def _fold(source: str) -> str:
    """One source character as zero or more normalised ones."""
    if source.isascii():
        return source.lower() if source.isalnum() else " "
    unfolded = unicodedata.normalize("NFKD", source).casefold().translate(_LOOKALIKES)
    return "".join(_fold_one(character) for character in unfolded)


def _fold_one(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf"):  # accents, enclosing marks, zero-width and other invisible characters
        return ""
    return character if character.isalnum() else " "
