"""Sentences and clauses: a question among others, behind noise or inside JSON stands alone in one of them."""

import itertools
import re

__all__ = ["clauses"]

_ASKS = r"(?:what|who|whom|whose|which|where|when|why|how|name|tell|list|explain|describe|give|write|complete|answer)\b"
_UNSPACED = r"\u0e00-\u109f\u2e80-\u30fa\u30fc-\u9fff\uff66-\uff9f"  # scripts without spaces between words
_OTHER = rf"\u0370-\u1cff\u1f00-\u1fff{_UNSPACED}\ua000-\ud7ff"  # than Latin
_BORDER = re.compile(
    r"(?:(?<!\b\w)\.|[!?。！？؟।])[\"'”’)\]}*_`]*(?=\s)"  # the end of a sentence
    r"|[。！？؟।;\n]"
    r"|(?<=[\"'])\s*[:,}\]][\s,}\]]*(?=[\"'{\[\n}])"  # between the strings of JSON
    r"|(?<=[\w)\]*]):\s+(?=[\"'|>]|\w)"  # a key of YAML, 'Question: ...', 'Answer this (in short): ...'
    r"|</?[A-Za-z][^<>\n]{0,80}>|[|\t]|(?<=\w)\s*=+>?\s+(?=[\"']?\w)"  # tags, cells of a table, values
    r"|(?<=\s)[\"“„«](?=\w)|(?<=\w)[\"”“»](?=[\s.,;:!?)\]}]|$)|(?<=[\w?!.,])\s+[–—-]{1,3}\s+(?=\w)"
    rf"|(?:,|(?:\s|,\s)(?:and|also|then|but|plus))\s+(?=(?:also\s+|then\s+)?{_ASKS})"
    r"|(?<=[\w)])\s+(?=(?:What|Who|Whom|Whose|Which|Where|When|Why|How|Tell)\b)"
    # an English question in a frame of another script
    rf"|(?<=[{_UNSPACED}])[^\w\n]{{0,8}}(?=[A-Za-z])|(?<=[A-Za-z])[^\w\n]{{0,8}}(?=[{_UNSPACED}])"
    rf"|(?<=[{_OTHER}]{{2}})[^\w\n]{{1,8}}(?=[A-Za-z])|(?<=[A-Za-z])[^\w\n]{{1,8}}(?=[{_OTHER}]{{2}})",
)
_WORD = re.compile(r"[^\W_]{2,}|[^\W_]")
_FEWEST_WORDS = 3
_FEWEST_JOINED, _SHORT_WORDS = 2, 6  # of a clause that is read with its neighbour, too
_LONG_CHARS = 4_000
_MOST_WORDS = 25  # of two clauses in one unit


def clauses(text: str) -> list[tuple[int, int]]:
    """The half-open ranges of a text's clauses, and of each short one with its neighbour. None for a text of one
    clause, which stands for itself.

    Together the ranges hold no more than a few times the text. In a long text no neighbours are joined: the work would
    grow too much, and windows of several clauses read them anyway.
    """
    borders = [border.span() for border in _BORDER.finditer(text)]
    if not borders:
        return []
    parts = _parts(text, borders)
    whole = {(parts[0][0], parts[-1][1])} if parts else set()
    found = dict.fromkeys((start, end) for start, end, words in parts if words >= _FEWEST_WORDS)
    for (start, _, before), (_, end, after) in itertools.pairwise(parts) if len(text) <= _LONG_CHARS else ():
        short, many = min(before, after), before + after
        if _FEWEST_JOINED <= short <= _SHORT_WORDS and many <= _MOST_WORDS:
            found[start, end] = None
    return [place for place in found if place not in whole]


def _parts(text: str, borders: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(start, end, words) of what lies between borders; the sign that ends a sentence belongs to it."""
    found = []
    for (_, start), (end, after) in itertools.pairwise([(0, 0), *borders, (len(text), len(text))]):
        words = list(_WORD.finditer(text, start, end))
        if words:
            found.append((words[0].start(), _last(text, words[-1].end(), after), len(words)))
    return found


def _last(text: str, end: int, border: int) -> int:
    """The end with its question mark or full stop."""
    return end + 1 if end < border and text[end] in ".?!" else end
