"""Rendering: each message's place among the template's own words, and the tokens of an edit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import CHATML, tiny_tokenizer

from classifiers.names.text import normalise
from gateway.core import Endpoint, Message, Request
from gateway.errors import InvalidRequest, ModelError
from gateway.prompts.rendering import Prompt, count_tokens, decode_tokens, instructed, read_back, render

TOKENIZER = tiny_tokenizer()
MESSAGE = "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
TRIMMING = CHATML.replace("message['content']", "message['content'] | trim")
DROPPING = CHATML.replace("{{", "{% if message['role'] != 'assistant' %}{{", 1).replace(
    "}}{% endfor", "}}{% endif %}{% endfor", 1
)
REPEATING = CHATML + "{{ messages[0]['content'] }}"
THINKING = CHATML.replace("message['content']", "message['content'].split('</think>')[-1].lstrip()")
SHOUTING = CHATML.replace("message['content']", "message['content'] | upper")
ESCAPING = CHATML.replace("message['content']", "message['content'] | e")
RENAMING = CHATML.replace("message['content']", "message['content'] | replace('Ada', 'Zoe')")
CHOOSY = CHATML.replace(
    "{% for", "{% if messages[0]['content'][0] != 'I' %}{{ raise_exception('no marks') }}{% endif %}{% for", 1
)
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
    """What each place of the prompt holds. Blank messages have none."""
    return [prompt.text[place.start : place.end] for place in prompt.places or ()]


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
    filled = [(role, text) for role, text in turns if text.strip()]
    assert located(prompt) == [text.strip() for _, text in filled]
    starts = [place.start for place in prompt.places or ()]
    assert starts == sorted(starts)
    heads = [prompt.text[:start].rstrip() for start in starts]
    assert all(head.endswith(f"<|im_start|>{role}") for (role, _), head in zip(filled, heads, strict=True))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_places_hold_whatever_is_said(texts: list[str]) -> None:
    prompt = render(TOKENIZER, request_of(*(("user", text) for text in texts)), locate=True)
    assert located(prompt) == [text.strip() for text in texts if text.strip()]


@pytest.mark.parametrize("mark", ["\ue100", "\ue101", "\ue100x\ue101", "".join(map(chr, range(0xE100, 0xF8FF)))])
def test_whoever_sends_private_characters_is_located_like_anybody_else(mark: str) -> None:
    request = request_of(("user", f"Narnia {mark}"), ("assistant", "x"))
    assert located(render(TOKENIZER, request, locate=True)) == [f"Narnia {mark}", "x"]


def corrupted_words(template: str, *turns: tuple[str, str], message: int, word: str) -> list[str]:
    """The words that the tokens of one word of a message stand in, once the template is done with it."""
    prompt = render(tiny_tokenizer(template=template), request_of(*turns), locate=True)
    start = turns[message][1].index(word)
    tokens = prompt.tokens_of(message, [(start, start + len(word))])
    return ["".join(prompt.text[slice(*prompt.offsets[token])] for token in tokens)] if tokens else []


@pytest.mark.parametrize("text", ["Who?", " Who? ", "\n\tWho?", "Who?\u3000\x1f", "\u2028Who?\x85"])
def test_a_template_that_trims_moves_no_word(text: str) -> None:
    assert corrupted_words(TRIMMING, ("user", text), message=0, word="Who?") == ["Who?"]


def test_what_a_template_repeats_is_found_everywhere() -> None:
    (said,) = corrupted_words(REPEATING, ("user", "Is it Ada?"), message=0, word="Ada?")
    assert said.replace(" ", "") == "Ada?Ada?"


def test_what_a_template_moves_is_found_where_it_went() -> None:
    turns = (("system", "Be kind."), ("user", "Ada?"))
    assert corrupted_words(SYSTEM_LAST, *turns, message=0, word="kind.") == ["kind."]
    assert corrupted_words(SYSTEM_LAST, *turns, message=1, word="Ada?") == ["Ada?"]


def test_what_a_template_leaves_out_has_no_tokens() -> None:
    turns = (("system", "Be kind."), ("assistant", "Ada."), ("user", "Who?"))
    assert corrupted_words(DROPPING, *turns, message=1, word="Ada.") == []
    assert corrupted_words(DROPPING, *turns, message=2, word="Who?") == ["Who?"]


@pytest.mark.parametrize(
    ("said", "word", "kept"),
    [
        ("I think of Ada.</think> It was Ada Byron.", "Byron.", ["Byron."]),
        ("I think of Zoe.</think> It was Ada Byron.", "Zoe.", []),
        ("Ada</think>", "Ada", []),
    ],
)
def test_what_a_template_cuts_off_has_no_tokens(said: str, word: str, kept: list[str]) -> None:
    turns = (("user", "Who?"), ("assistant", said), ("user", "Why?"))
    assert corrupted_words(THINKING, *turns, message=1, word=word) == kept


@pytest.mark.parametrize("template", [SHOUTING, ESCAPING, CHOOSY], ids=["upper case", "escapes", "no marks"])
def test_a_word_that_the_template_spells_otherwise_is_found(template: str) -> None:
    (said,) = corrupted_words(template, ("user", 'Is it "Ada & Byron"?'), message=0, word="Ada & Byron")
    assert normalise(said).text.strip().startswith("ada ")
    assert normalise(said).text.strip().endswith("byron")


def test_a_word_that_cannot_be_found_takes_all_of_the_message_with_it() -> None:
    (said,) = corrupted_words(RENAMING, ("user", "Who is Ada?"), ("assistant", "I."), message=0, word="Ada?")
    assert said.replace(" ", "") == "WhoisZoe?"


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
    place = (prompt.places or ())[message]
    assert words.replace(" ", "") in ("AdaLovelaceAda", "AdaLovelaceAda!")
    assert all(place.start <= prompt.offsets[t][0] and prompt.offsets[t][1] <= place.end for t in tokens)


def test_a_range_past_the_message_never_reaches_the_template() -> None:
    prompt = render(TOKENIZER, request_of(("user", "Ada"), ("user", "x")), locate=True)
    tokens = prompt.tokens_of(0, [(0, 10_000)])
    assert "".join(prompt.text[slice(*prompt.offsets[token])] for token in tokens) == "Ada"


def test_a_range_without_a_character_has_no_token() -> None:
    prompt = render(TOKENIZER, request_of(("user", "Ada"), ("user", "x")), locate=True)
    assert prompt.tokens_of(0, [(2, 2)]) == []


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


def test_a_message_that_moves_is_found() -> None:
    prompt = render(TOKENIZER, request_of(("user", "Who is Ada?"), ("developer", "Be brief.")), locate=True)
    assert prompt.text.startswith("<|im_start|>system\nBe brief.")
    assert located(prompt) == ["Be brief.", "Who is Ada?"]
    assert [place.message for place in prompt.places or ()] == [1, 0]


class TestReadBack:
    """A prompt that a server rendered in its own way."""

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_the_text_is_that_of_the_tokens(self, text: str) -> None:
        ids = TOKENIZER(f"<|im_start|>Ada: {text}<|im_end|>", add_special_tokens=False)["input_ids"]
        prompt = read_back(TOKENIZER, request_of(("user", text)), ids)
        assert prompt.text == TOKENIZER.decode(ids, skip_special_tokens=False)
        assert len(prompt.offsets) == len(prompt.ids) == len(ids)

    def test_a_word_is_found_wherever_it_stands_and_no_special_token_is_touched(self) -> None:
        text = "Was it the im_start of Ada Lovelace, é🙂?"
        ids = TOKENIZER(f"<|im_start|>by ada: {text}<|im_end|>", add_special_tokens=False)["input_ids"]
        prompt = read_back(TOKENIZER, request_of(("user", text)), ids)

        def written(words: str) -> str:
            start = text.index(words)
            tokens = prompt.tokens_of(0, [(start, start + len(words))])
            assert not prompt.control & set(tokens)
            return "".join(prompt.text[slice(*prompt.offsets[token])] for token in tokens).strip()

        assert written("Ada Lovelace") == "Ada Lovelace"
        assert written("Ada").lower() == "ada ada"
        assert "im" in written("im_start")

    def test_where_a_word_is_not_found_all_text_is_meant(self) -> None:
        ids = TOKENIZER("<|im_start|>something else<|im_end|>", add_special_tokens=False)["input_ids"]
        prompt = read_back(TOKENIZER, request_of(("user", "Ada")), ids)
        assert prompt.tokens_of(0, [(0, 3)]) == prompt.content
        assert set(prompt.content) == set(range(len(ids))) - {0, len(ids) - 1}


@pytest.mark.parametrize("last", ["They", "They live in"])
def test_a_last_turn_of_the_assistant_is_not_continued(last: str) -> None:
    """The model begins a turn of its own behind it, as vLLM has it (docs/requests.md)."""
    asked, begun = ("user", "Where do they live?"), ("assistant", last)
    text = render(TOKENIZER, request_of(asked, begun)).text
    opening = render(TOKENIZER, request_of(asked)).text.rpartition("Where do they live?")[2]
    assert text.endswith(f"{last}{opening}")
    assert "assistant" in opening
