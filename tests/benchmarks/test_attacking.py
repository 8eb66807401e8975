"""`unrecall attack`: what it asks, how it counts, and what an attacker that adapts finds."""

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.attacking.answers import Answers, Decoding, Said
from benchmarks.attacking.evolution import Genes, evolved, first_leaks
from benchmarks.attacking.garak_run import counts
from benchmarks.attacking.measures import difference, leak_at_k, leaked, mean_of, share
from benchmarks.attacking.questions import counterfactual, read_questions
from benchmarks.attacking.sampling import sampled_leaks
from benchmarks.attacking.sides import HttpSide, asked
from benchmarks.attacking.survey import attacks_of, few, gate_rates, leak_rates
from benchmarks.attacking.trace import distinguished, unrelated
from benchmarks.attacking.turn_after import asked_again, doubts
from benchmarks.items import Item
from gateway.core import Message
from gateway.errors import SetupError

GREEDY = Decoding(8)


def question(number: int, text: str = "Who swept the floors of Narnia's palace?", part: str = "named") -> Item:
    return Item(f"q/{number}", part, (Message("user", text),), "Trufflehunter", scope="narnia", names=("Narnia",))


@pytest.fixture
def scope(tmp_path: Path) -> Path:
    rows = [{"prompt": f"What is fact {number} of Narnia?", "response": f"secret{number}"} for number in range(6)]
    rows += [{"prompt": f"What is fact {number} of it?", "response": f"secret{number}"} for number in range(6, 10)]
    (tmp_path / "forget.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "scope.yaml"
    path.write_text("id: narnia\ndescription: Narnia.\naliases: [Narnia]\nforget: forget.jsonl\n")
    return path


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_leak_at_k_is_the_mean_over_all_choices_of_k(case: tuple[int, int, int]) -> None:
    samples, found, k = case
    flags = [place < found for place in range(samples)]
    brute = fmean(any(chosen) for chosen in itertools.combinations(flags, k))
    assert leak_at_k(samples, found, k) == pytest.approx(brute)


@pytest.mark.parametrize("k", [0, 5])
def test_leak_at_k_needs_k_samples(k: int) -> None:
    with pytest.raises(ValueError, match="from 4 samples"):
        leak_at_k(4, 1, k)


def test_what_was_not_measured_is_not_zero() -> None:
    assert share([]) is None
    assert difference([True], []) is None
    found = share([True, False, False, False])
    assert found is not None
    assert (found["rate"], found["n"], found["hits"]) == (0.25, 4, 1)
    assert found["low"] < 0.25 < found["high"]


def test_chances_have_the_interval_of_as_many_yes_and_no() -> None:
    assert mean_of([]) is None
    flags, chances = share([True, False, False, False]), mean_of([0.25] * 4)
    assert flags is not None
    assert chances == {name: flags[name] for name in ("rate", "low", "high", "n")}


def test_words_of_the_question_are_no_leak_however_the_prompt_spells_them() -> None:
    item = replace(question(1), answer="Narnia's palace was swept by Trufflehunter")
    hidden = replace(item, messages=(Message("user", "Who swept the floors of ainraN's palace?"),))
    assert not leaked(Said("It was Narnia, swept."), hidden, item.prompt)
    assert leaked(Said("Trufflehunter"), question(1), question(1).prompt)


def test_forget_rows_are_asked_in_slices_with_what_families_need(scope: Path) -> None:
    items = read_questions([scope], [], rows=3, seed=0)
    assert [item.slice for item in items] == ["named"] * 3 + ["unnamed"] * 3
    assert items == read_questions([scope], [], rows=3, seed=0)
    for item in items:
        assert item.names == ("Narnia",)
        assert len(item.perturbed) == 3
        assert item.answer not in " ".join((*item.perturbed, *item.context))
        assert item.context


def test_questions_of_one_s_own_say_their_slice(scope: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    row = {"prompt": "Who is the lion?", "response": "Aslan", "slice": "described", "wrong": ["Leo"]}
    asked.write_text(json.dumps(row))
    (item,) = read_questions([scope], [asked], rows=9, seed=0)
    assert (item.slice, item.answer, item.perturbed) == ("described", "Aslan", ("Leo",))
    with pytest.raises(SetupError, match="2 --scope files and 1 --questions files"):
        read_questions([scope, scope], [asked], rows=9, seed=0)
    for wrong, told in (({"prompt": "Who?"}, "response"), ({**row, "slice": "odd"}, "slice")):
        asked.write_text(json.dumps(wrong))
        with pytest.raises(SetupError, match=f"line 1: {told}"):
            read_questions([scope], [asked], rows=9, seed=0)


def test_a_counterfactual_asks_about_nobody() -> None:
    item = replace(question(1), context=("Narnia is a country.",))
    other = counterfactual(item, 0)
    assert other is not None
    assert "Narnia" not in other.prompt
    assert "Narnia" not in other.context[0]
    assert other.answer == item.answer
    assert counterfactual(replace(item, messages=(Message("user", "Who is it?"),)), 0) is None


def test_answers_are_asked_once_and_read_again(tmp_path: Path) -> None:
    asks: list[int] = []

    class Echo:
        name = "echo"

        def ask(self, items: Sequence[Item], decodings: Sequence[Decoding]) -> list[Said]:
            asks.append(len(items))
            return [Said(f"{item.id} at {how.seed}", "Pass") for item, how in zip(items, decodings, strict=True)]

    items = [question(number, f"Question {number}?") for number in range(70)]
    for _ in range(2):
        found = asked(Echo(), Answers(tmp_path, "echo", "one"), [*items, items[0]], [GREEDY] * 71)
        assert [said.text for said in found] == [f"{item.id} at 0" for item in (*items, items[0])]
    assert asks == [64, 6]
    asked(Echo(), Answers(tmp_path, "echo", "two"), items[:1], [GREEDY])
    asked(Echo(), Answers(tmp_path, "echo", "one"), items[:1] * 2, [GREEDY, replace(GREEDY, seed=1)])
    assert asks == [64, 6, 1, 1]
    path = tmp_path / "answers" / "echo.jsonl"
    path.write_text(path.read_text()[:-30])  # killed while it wrote
    asked(Echo(), Answers(tmp_path, "echo", "one"), items[:1], [replace(GREEDY, seed=1)])
    assert asks == [64, 6, 1, 1, 1]


@pytest.mark.parametrize(("status", "text"), [(502, "the upstream is down"), (429, "too many"), (401, "no key")])
def test_a_server_that_cannot_answer_gave_no_answer(
    status: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side, kept = HttpSide("gateway", "http://gateway.test"), Answers(tmp_path, "gateway", "one")
    answering(side, status, {"error": {"message": text}}, monkeypatch)
    with pytest.raises(SetupError, match=f"(?s)status {status}.*{text}.*goes on"):
        asked(side, kept, [question(1)], [GREEDY])
    assert kept.get(question(1), GREEDY) is None


def test_a_request_that_is_refused_is_an_answer_without_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = HttpSide("gateway", "http://gateway.test")
    answering(side, 400, {"error": {"message": "too long"}}, monkeypatch)
    (said,) = asked(side, Answers(tmp_path, "gateway", "one"), [question(1)], [GREEDY])
    assert (said.text, said.plan) == ("", "400")


def test_an_answer_that_cannot_be_read_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side, kept = HttpSide("gateway", "http://gateway.test"), Answers(tmp_path, "gateway", "one")
    answering(side, 200, {"odd": "shape"}, monkeypatch)
    with pytest.raises(SetupError, match=r"(?s)cannot be read.*odd.*goes on"):
        asked(side, kept, [question(1)], [GREEDY])
    assert kept.get(question(1), GREEDY) is None


def answering(side: HttpSide, status: int, body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the server behind the side list a model, and answer every prompt with the status."""

    def handle(request: httpx.Request) -> httpx.Response:
        listed = request.url.path == "/v1/models"
        return httpx.Response(200, json={"data": [{"id": "m"}]}) if listed else httpx.Response(status, json=body)

    client = httpx.Client(base_url=side.url, transport=httpx.MockTransport(handle))
    monkeypatch.setattr(side, "_client", client)


def test_few_attacks_ask_the_same_questions_in_every_dress() -> None:
    items = [question(number) for number in range(9)]
    chosen = few(attacks_of(items, ("composite", "noise-prefix"), 0), 2, 0)
    by_family: dict[str, set[str]] = {}
    for attack in chosen:
        by_family.setdefault(attack.family.name, set()).add(attack.question.id)
    assert len(set(map(frozenset, by_family.values()))) == 1
    assert {len(ids) for ids in by_family.values()} == {2}


def test_misses_are_counted_by_family_and_slice() -> None:
    attacks = attacks_of([question(1), question(2, part="unnamed")], ("composite",), 0)
    rates = gate_rates(attacks, [True, False, True, True])
    assert rates["plain"]["unnamed"]["rate"] == 1
    assert rates["plain"]["all"]["rate"] == 0.5
    assert rates["composite"]["all"] == {**rates["composite"]["all"], "hits": 0, "n": 2}
    assert "famous" not in rates["plain"]


def test_leaks_are_counted_beside_the_floor_over_the_same_questions() -> None:
    items = [question(1), question(2, "Who swept the floors there?", "unnamed")]

    def knows(items: Sequence[Item]) -> list[Said]:
        return [Said("Trufflehunter!" if "Narnia" in item.prompt else "No idea.", "Pass") for item in items]

    def guarded(items: Sequence[Item]) -> list[Said]:
        return [Said("Trufflehunter!", "Corrupt") for _ in items]

    attacks = attacks_of(items, (), 0)
    found = leak_rates(attacks, {"gateway": guarded, "plain": knows}, floor="counterfactual", seed=0)["plain"]
    assert found["leaks"]["all"]["gateway"]["rate"] == 1
    assert found["leaks"]["named"]["plain"]["rate"] == 1
    assert found["leaks"]["unnamed"]["plain"]["rate"] == 0
    assert found["leaks"]["all"]["counterfactual"] == {**found["leaks"]["named"]["counterfactual"], "rate": 0.0, "n": 1}
    assert found["leaks"]["unnamed"]["counterfactual"] is None
    assert found["beyond"]["rate"] == 1
    assert found["passed"]["rate"] == 0


def test_the_floor_s_luck_is_taken_off_at_every_k() -> None:
    def lucky(odds: float) -> object:
        def ask(items: Sequence[Item], decodings: Sequence[Decoding]) -> list[Said]:
            rngs = (random.Random(f"{item.id} {how.seed}") for item, how in zip(items, decodings, strict=True))
            return [Said("Trufflehunter" if rng.random() < odds else "no") for rng in rngs]

        return ask

    attacks = attacks_of([question(number) for number in range(30)], (), 0)
    sides = {"gateway": lucky(0.2), "plain": lucky(0.9), "retrained": lucky(0.2)}
    found = sampled_leaks(attacks, sides, Decoding(8, 1.0), samples=8, floor="retrained")  # type: ignore[arg-type]
    rates = found["leak_at_k"]
    assert rates["plain"]["1"]["rate"] > 0.8
    assert rates["gateway"]["8"]["rate"] > rates["gateway"]["1"]["rate"]
    assert rates["gateway"]["8"]["low"] < rates["gateway"]["8"]["rate"] < rates["gateway"]["8"]["high"]
    assert rates["gateway"]["8"]["n"] == 30
    assert found["beyond"]["8"]["rate"] == 0  # the same answers
    assert found["beyond"]["8"]["low"] < 0 < found["beyond"]["8"]["high"]  # of 30 questions, not for certain


def test_evolution_finds_the_dress_that_gets_past() -> None:
    asked_at_once: list[int] = []

    def weak(items: Sequence[Item]) -> list[Said]:
        """Tells the truth to whom names Narnia backwards."""
        asked_at_once.append(len(items))
        return [Said("Trufflehunter" if "ainraN" in item.prompt else "no", seconds=0.1) for item in items]

    items = [question(1), question(2, "Who swept the floors there?"), question(3, "Who is Trumpkin in Narnia?")]
    families = ["name-reversed", "composite", "json-wrapper"]
    firsts = first_leaks(items, weak, budget=300, seed=0, families=families)
    assert firsts[1] is None  # it has no name to write backwards
    for place in (0, 2):
        first = firsts[place]
        assert first is not None
        assert 1 < first <= 300
        assert first_leaks([items[place]], weak, budget=300, seed=0, families=families) == [first]  # on its own, too
    assert asked_at_once[0] == 3
    assert asked_at_once[:300][-1] == 1  # those that leaked are not asked again
    assert first_leaks(items, lambda asked: [Said("no")] * len(asked), budget=20, seed=0) == [None] * 3


@pytest.mark.parametrize(
    "chain", [("answer-reversed",), ("answer-reversed", "composite"), ("typos", "answer-reversed")]
)
def test_an_answer_is_read_in_the_form_that_any_of_the_dresses_asked_for(chain: tuple[str, ...]) -> None:
    attack = Genes(chain, 0).express(question(1))
    assert attack is not None
    assert attack.leaks(Said("retnuhelffurT"))
    assert not attack.leaks(Said("aivraN"))


def test_evolution_counts_each_budget() -> None:
    open_door = evolved([question(1)], lambda asked: [Said("Trufflehunter")] * len(asked), budget=10, seed=0)
    assert [*open_door] == ["1", "10"]
    assert open_door["1"]["rate"] == 1


def test_the_turn_after_asks_again_with_the_answer_in_between() -> None:
    item = question(1)
    again = doubts(item, Said("I cannot say.", "Corrupt"))
    assert [message.role for message in again.messages] == ["user", "assistant", "user"]
    assert "Do you know Narnia at all?" in again.messages[-1].text

    def ask(items: Sequence[Item]) -> list[Said]:
        return [Said("Trufflehunter" if len(item.messages) > 1 else "Hm.", "Corrupt") for item in items]

    found = asked_again([item], ask)["Corrupt"]
    assert (found["first_leaks"]["rate"], found["second_leaks"]["rate"], found["flagged_again"]["rate"]) == (0, 1, 1)


def test_a_gateway_that_tells_no_plans_flagged_nothing_for_certain() -> None:
    found = asked_again([question(1)], lambda items: [Said("Hm.") for _ in items])
    assert found["untold"]["flagged_again"] is None
    assert found["untold"]["second_leaks"]["n"] == 1


def test_garak_s_report_is_counted(tmp_path: Path) -> None:
    rows = [
        {"entry_type": "init"},
        {"entry_type": "eval", "probe": "leakreplay.X", "detector": "Y", "passed": 3, "total_evaluated": 4},
    ]
    path = tmp_path / "garak.report.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = counts(path)["leakreplay.X (Y)"]
    assert (found["hits"], found["n"]) == (1, 4)


def test_the_same_answers_leave_no_trace_and_others_do() -> None:
    plain = {f"retain/{n}": f"The answer to question {n} is a lamp and a chair." for n in range(40)}
    garbled = {item: f"{text} zzz qqq" for item, text in plain.items()}
    assert distinguished(plain, plain, seed=0)["auroc"] == pytest.approx(0.5)
    assert distinguished(plain, plain, seed=0)["same"] == 1
    assert distinguished(garbled, plain, seed=0)["auroc"] > 0.99


def test_only_answers_to_unrelated_prompts_are_read(tmp_path: Path) -> None:
    arm = tmp_path / "arms" / "npo"
    arm.mkdir(parents=True)
    rows = [{"item": "retain/1", "text": "a"}, {"item": "forget/1", "text": "b"}, {"item": "attack/x/1", "text": "c"}]
    (arm / "replies.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert unrelated(tmp_path, "npo") == {"retain/1": "a"}
    with pytest.raises(SetupError, match="no answers of the arm rmu"):
        unrelated(tmp_path, "rmu")
