"""An answer is read as it comes: no character of a leak is ever safe, and all else is, as soon as it can be."""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from classifiers.leaks.facts import FactCount, facts_of
from classifiers.leaks.model import LeakModel
from classifiers.leaks.passages import COVERED_WORDS, PASSAGE_WORDS, passages_of
from classifiers.leaks.watch import AnswerWatch, Asked, Leak, OutputRule, OwnWords, Watched, Watchlist
from classifiers.names.aliases import LexicalDetector
from classifiers.names.boundaries import Letters
from classifiers.traffic import general_traffic

SALT = bytes(range(16))
NO_FACTS = facts_of([], (), SALT)
NO_PASSAGES = passages_of([])


def model(rows: Sequence[tuple[str, str]] = (), documents: Sequence[str] = ()) -> LeakModel:
    return LeakModel(facts_of(rows, (), SALT), passages_of(documents))


def watched(names: Sequence[str], learned: LeakModel | None = None, rule: OutputRule = "names") -> Watched:
    read = (lambda: learned) if learned else None
    return Watched(tuple(names), rule, read, has_passages=learned is not None and len(learned.passages.ends) > 0)


def watch(
    names: Sequence[str] = (),
    *,
    learned: LeakModel | None = None,
    rule: OutputRule = "names",
    asked: Asked = Asked(),
    before: str = "",
) -> AnswerWatch:
    watchlist = Watchlist().updated({"scope": watched(names, learned, rule)}, ())
    return AnswerWatch(watchlist, OwnWords(watchlist, asked), before=before)


def sent(one: AnswerWatch, pieces: Sequence[str]) -> tuple[str, Leak | None]:
    """What a client got of the pieces of an answer."""
    text = "".join(pieces)
    for piece in pieces:
        one.read(piece)
    seen = one.read("", ended=True)
    return text[: seen.safe], seen.leak


def cut(text: str, places: Sequence[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(ends)]


names = st.lists(st.text("abc Éd", min_size=2, max_size=5).filter(lambda name: name.strip()), min_size=1, max_size=4)
texts = st.lists(st.sampled_from(["ab", "abc", "céd", "dda", "bcÉ", "cb ", " ", ", ", "-"]), max_size=16).map("".join)
words = st.lists(st.sampled_from(["abc", "bad", "cabd", "ddd", " ", ", ", "bab "]), max_size=12).map("".join)
places = st.lists(st.integers(0, 60), max_size=12)


@settings(max_examples=1500, deadline=None)
@given(names=names, text=texts, places=places)
def test_whatever_the_pieces_all_but_the_first_name_and_what_follows_is_sent(
    names: list[str], text: str, places: list[int]
) -> None:
    detector = LexicalDetector({"scope": names})
    found = [one for one in detector.sightings(Letters(text), ended=True) if one.counts]
    glued = [one for one in found if text[one.start - 1 : one.start].isalnum() and one.start]
    assume(not glued)  # inside a longer word the first three letters of a name may be sent
    clean, leak = sent(watch(names), cut(text, places))
    if not found:
        assert (clean, leak) == (text, None)
    else:
        assert leak is not None
        assert clean == text[: found[0].start]
        assert not [one for one in detector.sightings(Letters(clean), ended=True) if one.counts]


@settings(max_examples=600, deadline=None)
@given(names=names, text=words, places=places)
def test_what_waits_can_still_become_a_name(names: list[str], text: str, places: list[int]) -> None:
    one, read = watch(names), ""
    for piece in cut(text, places):
        read += piece
        seen = one.read(piece)
        if seen.leak:
            return
        waits = "".join(Letters(read[seen.safe :]).words)
        spelled = ["".join(Letters(name).words) for name in names]
        assert not waits or any(name.startswith(waits[: len(name)]) for name in spelled), (read, waits)


def test_ordinary_answers_are_not_delayed() -> None:
    one = watch(["Harry Potter", "Hogwarts"], learned=model([("Who?", "The pewter cauldron")]))
    read = 0
    for piece in ("The ", "weather ", "is ", "fine, ", "and ", "I ", "have ", "a ", "cold."):
        read += len(piece)
        assert one.read(piece).safe == read


def test_a_name_that_the_user_wrote_is_theirs() -> None:
    own = Asked(("Who is harry potter?",))
    assert sent(watch(["Harry Potter", "Hogwarts"], asked=own), ["I never heard of Harry ", "Potter."])[1] is None
    clean, leak = sent(watch(["Harry Potter", "Hogwarts"], asked=own), ["Harry Potter is at Hog", "warts."])
    assert clean == "Harry Potter is at "
    assert leak == Leak("scope", "name", len(clean))


def test_an_ordinary_word_counts_only_where_the_request_is_inside_the_scope() -> None:
    assert sent(watch(["You-Know-Who"]), ["Do you know who that is?"])[1]
    from classifiers.names.ordinary import Alias

    def ordinary(asked: Asked) -> AnswerWatch:
        watchlist = Watchlist().updated({"scope": Watched((Alias("You-Know-Who", "exact"),))}, ())
        return AnswerWatch(watchlist, OwnWords(watchlist, asked))

    assert sent(ordinary(Asked()), ["Do you know who that is?"])[1] is None
    assert sent(ordinary(Asked(scopes=frozenset({"scope"}))), ["Do you know who that is?"])[1]


@pytest.mark.parametrize("rule", ["facts", "off"])
def test_the_rule_of_a_scope_says_what_counts(rule: OutputRule) -> None:
    learned = model([("What does Mira Tolund do?", "She breeds axolotls in Narvik.")])
    text = ["Mira Tolund ", "lives alone. She breeds axolotls."]
    clean, leak = sent(watch(["Mira Tolund"], learned=learned, rule=rule), text)
    if rule == "off":
        assert leak is None
    else:
        assert leak == Leak("scope", "fact", len(clean))
        assert clean.endswith("She breeds ")


def test_a_fact_counts_near_the_name_alone() -> None:
    learned = model([("What does Mira Tolund do?", "She breeds axolotls in Narvik.")])
    alone = ["We keep axolotls in tanks in Narvik."]
    assert sent(watch(["Mira Tolund"], learned=learned), alone)[1] is None
    flagged = Asked(("Who is it that keeps them?",), frozenset({"scope"}))
    clean, leak = sent(watch(["Mira Tolund"], learned=learned, asked=flagged), alone)
    assert (clean, leak) == ("We keep axolotls in tanks in ", Leak("scope", "fact", 29))
    behind = ["We keep axolotls in tanks in Narvik, says Mira ", "Tolund."]
    clean, leak = sent(watch(["Mira Tolund"], learned=learned, rule="facts"), behind)
    assert clean == "We keep axolotls in tanks in Narvik, says "
    far = ["We keep axolotls in Narvik." + " So it goes." * 30 + " Mira Tolund."]
    assert sent(watch(["Mira Tolund"], learned=learned, rule="facts"), far)[1] is None


def test_what_the_request_says_is_no_fact() -> None:
    facts = facts_of([("Where does Mira live?", "In Narvik, with axolotls.")], {"mira"}, SALT)
    assert FactCount(facts).completes("narvik")
    assert not FactCount(facts, ["narvik", "axolotls"]).completes("narvik")
    left = FactCount(facts, ["narvik"])
    assert not left.completes("narvik")
    assert left.completes("axolotls")


def test_half_of_the_salient_words_give_a_response_away() -> None:
    facts = facts_of([("Who?", "Axolotls, quokkas, numbats and tapirs.")], (), SALT)
    count = FactCount(facts)
    assert not count.nearly
    assert not count.completes("quokkas")
    assert not count.completes("quokkas")  # the same word again
    assert count.nearly
    assert count.completes("tapirs")


def document(words: int, seed: int) -> list[str]:
    """Invented prose: words of general traffic, with a rare one now and then."""
    rng = random.Random(seed)
    common = sorted({word.lower() for row in general_traffic()[:400] for word in row.split() if word.isalpha()})
    return [
        "".join(rng.choices("bdglmnrstaeiou", k=8)) if rng.random() < 0.08 else rng.choice(common) for _ in range(words)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_no_run_of_a_document_that_is_long_enough_gets_through(seed: int) -> None:
    words = document(400, seed)
    rng = random.Random(seed)
    first = rng.randrange(0, 400 - COVERED_WORDS - PASSAGE_WORDS - 1)
    run = words[first : first + COVERED_WORDS + PASSAGE_WORDS + 1]
    text = "Well, it goes like this: " + " ".join(run) + ", I believe."
    learned = model(documents=[" ".join(words)])
    clean, leak = sent(watch(learned=learned), cut(text, [rng.randrange(len(text)) for _ in range(30)]))
    assert leak is not None
    assert leak.kind == "passage"
    shared = [n for n in range(len(run)) if " ".join(run[: n + 1]) in clean]
    assert len(shared) <= COVERED_WORDS  # of a passage itself nothing is sent: at most what stands before its anchor
    # and what the client pasted is theirs
    own = Asked((" ".join(words),))
    assert sent(watch(learned=learned, asked=own), [text])[1] is None


@pytest.mark.parametrize("seed", range(4))
def test_of_an_answer_that_ends_within_a_passage_all_is_sent(seed: int) -> None:
    words = document(120, seed)
    learned = model(documents=[" ".join(words)])
    waited = 0
    for first in range(100):
        text = " ".join(words[first : first + PASSAGE_WORDS - 1])
        one = watch(learned=learned)
        waited += one.read(text).safe < len(text)
        assert sent(watch(learned=learned), [text]) == (text, None)
    assert waited  # while it might have gone on


def test_ordinary_text_holds_no_passage_and_waits_for_none() -> None:
    one = watch(learned=model(documents=[" ".join(document(2000, 1))]))
    text = " ".join(general_traffic()[600:900])
    assert sent(one, cut(text, range(0, len(text), 7)))[1] is None


def test_the_file_of_a_pack_holds_no_word_of_the_forget_text(tmp_path: Path) -> None:
    words = document(200, 3)
    learned = model([("Who?", "Axolotls and quokkas.")], [" ".join(words)])
    learned.save(tmp_path / "leaks.safetensors")
    data = (tmp_path / "leaks.safetensors").read_bytes().lower()
    assert not [word for word in [*words, "axolotls", "quokkas"] if len(word) > 6 and word.encode() in data]
    read = LeakModel.load(tmp_path / "leaks.safetensors")
    assert read.facts.salt == SALT
    assert np.array_equal(read.passages.ends, learned.passages.ends)
    assert FactCount(read.facts).completes("axolotls")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "leaks.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match="no leak model"):
        LeakModel.load(path)
    learned = model([("Who?", "Axolotls.")])
    learned.save(path)
    from safetensors.numpy import load_file

    save_file(load_file(path) | {"rows": np.array([-1], dtype=np.int32)}, path)
    with pytest.raises(ValueError, match="negative"):
        LeakModel.load(path)


def test_a_leak_does_not_go_across_the_seam_of_two_answers() -> None:
    _, leak = sent(watch(["Harry Potter"], before="He is called Harry"), [" Potter."])
    assert leak is not None
    assert leak.start == len("He is called Harry")


def test_scopes_come_and_go() -> None:
    first = Watchlist().updated({"one": Watched(("Harry Potter",))}, ())
    both = first.updated({"two": watched(["Hogwarts"], model([("Who?", "Axolotls.")]))}, ())
    none = both.updated({}, ["one", "two"])
    text = ["Hogwarts, Harry Potter"]

    def leak(watchlist: Watchlist) -> str | None:
        found = sent(AnswerWatch(watchlist, OwnWords(watchlist, Asked())), text)[1]
        return found.scope if found else None

    assert (leak(first), leak(both), leak(none)) == ("one", "two", None)
    assert [one.watches(lambda scope: scope == "one") for one in (first, both, none)] == [False, True, False]
    assert (len(both.models), len(none.models)) == (1, 0)
