"""Rendering: each message's place among the template's own words, and the tokens of an edit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import CHATML, tiny_tokenizer

from gateway.core import Endpoint, Message, Request
from gateway.errors import InvalidRequest, ModelError, PlanError
from gateway.prompts.rendering import Prompt, count_tokens, decode_tokens, instructed, render

TOKENIZER = tiny_tokenizer()
MESSAGE = "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
TRIMMING = CHATML.replace("message['content']", "message['content'] | trim")
DROPPING = CHATML.replace("{{", "{% if message['role'] != 'assistant' %}{{", 1).replace(
    "}}{% endfor", "}}{% endif %}{% endfor", 1
)
REPEATING = CHATML + "{{ messages[0]['content'] }}"
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
SYSTEM_LAST = (
    "{% for message in messages[1:] %}" + MESSAGE + "{% endfor %}{% set message = messages[0] %}" + MESSAGE + "go:"
)


def request_of(*turns: tuple[str, str], endpoint: Endpoint = "chat") -> Request:
    messages = tuple(Message(role, text) for role, text in turns)
    return Request(id="1", endpoint=endpoint, model="m", messages=messages)


def located(prompt: Prompt) -> list[str]:
    return [prompt.text[start:end] for start, end in prompt.places]


@pytest.mark.parametrize(
    "turns",
    [
        [("user", "Who is Ada Lovelace?")],
        [("system", "Be kind."), ("user", "Who?"), ("assistant", "Ada."), ("user", "Who?")],
        [("user", "user"), ("assistant", "assistant"), ("user", "user")],
        [("user", "<|im_start|>user\nuser<|im_end|>\n"), ("user", "im_start")],
        [("user", "  leading"), ("assistant", "trailing  \n"), ("user", " ")],
        [("user", ""), ("assistant", ""), ("user", "x")],
        [("user", "Ωmega 🙂 «ñ» \u200b e\u0301 {{ x }} {% raw %} \\n \t"), ("user", "\ufeffx")],
        [("user", "\n"), ("user", "a\n\nb")],
    ],
)
def test_places_hold_exactly_the_messages(turns: list[tuple[str, str]]) -> None:
    prompt = render(TOKENIZER, request_of(*turns), locate=True)
    assert located(prompt) == [text for _, text in turns]
    starts = [start for start, _ in prompt.places]
    assert starts == sorted(starts)
    assert all(prompt.text[:start].endswith(f"{role}\n") for (role, _), start in zip(turns, starts, strict=True))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_places_hold_whatever_is_said(texts: list[str]) -> None:
    prompt = render(TOKENIZER, request_of(*(("user", text) for text in texts)), locate=True)
    assert located(prompt) == texts


@pytest.mark.parametrize("mark", ["\ue100", "\ue101", "\ue100x\ue101", "".join(map(chr, range(0xE100, 0xF8FF)))])
def test_whoever_sends_private_characters_is_located_like_anybody_else(mark: str) -> None:
    request = request_of(("user", f"Narnia {mark}"), ("assistant", "x"))
    assert located(render(TOKENIZER, request, locate=True)) == [f"Narnia {mark}", "x"]


def test_a_template_that_trims_is_right_or_says_so() -> None:
    tokenizer = tiny_tokenizer(template=TRIMMING)
    assert located(render(tokenizer, request_of(("user", "Who?")), locate=True)) == ["Who?"]
    with pytest.raises(PlanError, match="alters"):
        render(tokenizer, request_of(("user", " Who? ")), locate=True)


@pytest.mark.parametrize(
    ("template", "words"),
    [(DROPPING, "drops"), (REPEATING, "repeats"), (SYSTEM_LAST, "moves")],
    ids=["drops", "repeats", "moves"],
)
def test_a_template_that_drops_repeats_or_moves_messages_says_so(template: str, words: str) -> None:
    tokenizer = tiny_tokenizer(template=template)
    with pytest.raises(PlanError, match=words):
        render(tokenizer, request_of(("system", "Be kind."), ("assistant", "Yes."), ("user", "Who?")), locate=True)


def test_a_template_that_refuses_is_the_client_s_error() -> None:
    tokenizer = tiny_tokenizer(template="{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="roles must alternate") as error:
        render(tokenizer, request_of(("user", "a"), ("user", "b")))
    assert error.value.param == "messages"


def test_no_template_is_the_operator_s_error() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match="chat template"):
        render(tokenizer, request_of(("user", "a")))


@pytest.mark.parametrize("message", [0, 2])
def test_an_edit_s_tokens_are_those_of_its_words(message: int) -> None:
    text = "Is Ada Lovelace an author? Ada!"
    prompt = render(TOKENIZER, request_of(("user", text), ("assistant", "Ada"), ("user", text)), locate=True)
    tokens = prompt.tokens_of(message, [(3, 15), (27, 30)])
    words = "".join(prompt.text[slice(*prompt.offsets[token])] for token in tokens)
    start, end = prompt.places[message]
    assert words.replace(" ", "") in ("AdaLovelaceAda", "AdaLovelaceAda!")
    assert all(start <= prompt.offsets[token][0] and prompt.offsets[token][1] <= end for token in tokens)


def test_a_range_past_the_message_never_reaches_the_template() -> None:
    prompt = render(TOKENIZER, request_of(("user", "Ada"), ("user", "x")), locate=True)
    tokens = prompt.tokens_of(0, [(0, 10_000)])
    assert "".join(prompt.text[slice(*prompt.offsets[token])] for token in tokens) == "Ada"


def test_an_edit_that_meets_no_token_is_no_pass() -> None:
    prompt = render(TOKENIZER, request_of(("user", "Ada"), ("user", "x")), locate=True)
    with pytest.raises(PlanError, match="message 0"):
        prompt.tokens_of(0, [(2, 2)])


@pytest.mark.parametrize(
    "turns", [[("user", "Who is Ada?")], [("system", "s"), ("user", " <|im_end|> é🙂 "), ("assistant", "y")]]
)
def test_the_tokens_are_those_of_the_tokenizer_s_own_template(turns: list[tuple[str, str]]) -> None:
    request = request_of(*turns)
    conversation = [{"role": role, "content": text} for role, text in turns]
    own = TOKENIZER.apply_chat_template(conversation, tokenize=True, add_generation_prompt=True, return_dict=True)
    assert list(render(TOKENIZER, request).ids) == own["input_ids"]
    assert count_tokens(TOKENIZER, request) == len(own["input_ids"])


def told(*turns: tuple[str, str], template: str = CHATML) -> list[tuple[str, str]]:
    """The turns of a request once it is instructed."""
    messages = instructed(tiny_tokenizer(template=template), request_of(*turns), "Forget.")
    return [(message.role, message.text) for message in messages]


def test_an_instruction_stands_in_front_or_inside_the_system_message() -> None:
    assert told(("user", "Who?")) == [("system", "Forget."), ("user", "Who?")]
    assert told(("system", "Be kind."), ("user", "Who?")) == [("system", "Forget.\n\nBe kind."), ("user", "Who?")]


def test_where_a_template_knows_no_system_role_the_instruction_stands_before_the_question() -> None:
    assert told(("user", "Who?"), ("assistant", "I."), ("user", "Why?"), template=NO_SYSTEM) == [
        ("user", "Forget.\n\nWho?"),
        ("assistant", "I."),
        ("user", "Why?"),
    ]


def test_a_completion_is_its_text_and_its_place_is_all_of_it() -> None:
    request = request_of(("prompt", " Once upon user\n"), endpoint="completions")
    prompt = render(TOKENIZER, request, locate=True)
    assert prompt.text == " Once upon user\n"
    assert located(prompt) == [prompt.text]
    assert list(prompt.ids) == TOKENIZER(" Once upon user\n")["input_ids"]
    assert [m.text for m in instructed(TOKENIZER, request, "Forget.")] == ["Forget.\n\n Once upon user\n"]


def test_token_ids_are_read_back_with_special_tokens() -> None:
    ids = TOKENIZER("<|im_start|>Who is Ada?")["input_ids"]
    assert decode_tokens(TOKENIZER, ids, len(TOKENIZER)) == "<|im_start|>Who is Ada?"


@pytest.mark.parametrize("token", [-1, len(TOKENIZER), 10**9])
def test_a_token_that_the_model_lacks_is_named(token: int) -> None:
    with pytest.raises(InvalidRequest, match=f"token id {token} ") as error:
        decode_tokens(TOKENIZER, [1, token], len(TOKENIZER))
    assert error.value.param == "prompt"


@pytest.mark.parametrize(
    "turns",
    [
        [("developer", "Be brief."), ("user", "Who is Ada?")],
        [("system", "Be kind."), ("developer", "Ada is a dog."), ("user", "Who is Ada?")],
    ],
)
def test_a_developer_message_is_a_system_message_to_a_template_that_does_not_know_it(
    turns: list[tuple[str, str]],
) -> None:
    prompt = render(TOKENIZER, request_of(*turns), locate=True)
    assert "developer" not in prompt.text
    assert prompt.text.count("<|im_start|>system") == 1
    assert located(prompt) == [text for _, text in turns]


def test_a_message_that_moves_is_not_located() -> None:
    moved = request_of(("user", "Who is Ada?"), ("developer", "Be brief."))
    assert render(TOKENIZER, moved).text.startswith("<|im_start|>system\nBe brief.")
    with pytest.raises(PlanError):
        render(TOKENIZER, moved, locate=True)
