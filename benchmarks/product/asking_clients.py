"""One client's questions, for `clients.py`: runs in the environment of the clients and needs nothing of this project.

Reads a task in JSON from its input and writes what came of it as the last line of its output. A use is 'ok' if the
client gave an answer of the kind that was asked for, without an error of its own; or it is the error.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from importlib import import_module, metadata
from typing import Any

WORD = {"type": "string", "enum": ["yes", "no"]}
SCHEMA = {"type": "object", "properties": {"word": WORD}, "required": ["word"], "additionalProperties": False}
TASK: dict[str, Any] = json.load(sys.stdin) if __name__ == "__main__" else {}
KEY, LIMIT = "sk-any", TASK.get("limit", 64)
PACKAGES = {
    "openai": "openai",
    "openai-responses": "openai",
    "llama-index": "llama-index-llms-openai-like",
    "pydantic-ai": "pydantic-ai-slim",
}
Uses = Mapping[str, Callable[[str], Any]]
"""By use: asks a question and returns an answer that is not empty."""


def openai_chat(url: str, model: str) -> Uses:
    """OpenAI's client, chats."""
    ask = import_module("openai").OpenAI(base_url=f"{url}/v1", api_key=KEY).chat.completions.create
    tool = {"type": "function", "function": {"name": "say", "parameters": SCHEMA}}
    form = {"type": "json_schema", "json_schema": {"name": "say", "schema": SCHEMA, "strict": True}}

    def asked(*turns: str, **more: Any) -> Any:
        roles = ("user", "assistant", "user")
        messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
        return ask(model=model, messages=messages, max_tokens=LIMIT, **more)

    def streamed(question: str) -> str:
        return "".join(c.delta.content or "" for e in asked(question, stream=True) for c in e.choices)

    return {
        "chat": lambda q: asked(q).choices[0].message.content,
        "stream": streamed,
        "tools": lambda q: _said(asked(q, tools=[tool]).choices[0].message),
        "structured": lambda q: json.loads(asked(q, response_format=form).choices[0].message.content),
        "turns": lambda q: asked("Hello", "Hello. How can I help?", q).choices[0].message.content,
    }


def _said(message: Any) -> Any:
    return message.content or message.tool_calls


def openai_responses(url: str, model: str) -> Uses:
    """OpenAI's client, Responses."""
    responses = import_module("openai").OpenAI(base_url=f"{url}/v1", api_key=KEY).responses
    tool = {"type": "function", "name": "say", "parameters": SCHEMA, "strict": True}
    form = {"format": {"type": "json_schema", "name": "say", "schema": SCHEMA, "strict": True}}

    def asked(question: str, **more: Any) -> Any:
        return responses.create(model=model, input=question, max_output_tokens=LIMIT, **more)

    def streamed(question: str) -> str:
        with responses.stream(model=model, input=question, max_output_tokens=LIMIT) as stream:
            return "".join(event.delta for event in stream if event.type == "response.output_text.delta")

    return {
        "chat": lambda q: asked(q).output_text,
        "stream": streamed,
        "tools": lambda q: asked(q, tools=[tool]).output,
        "structured": lambda q: json.loads(asked(q, text=form).output_text),
        "turns": lambda q: asked(q, previous_response_id=asked("Hello").id).output_text,
    }


def anthropic(url: str, model: str) -> Uses:
    """Anthropic's client."""
    client = import_module("anthropic").Anthropic(base_url=url, api_key=KEY)
    tool = {"name": "say", "description": "Says it.", "input_schema": SCHEMA}
    form = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}

    def asked(*turns: str, **more: Any) -> Any:
        roles = ("user", "assistant", "user")
        messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
        return client.messages.create(model=model, messages=messages, max_tokens=LIMIT, **more)

    def streamed(question: str) -> str:
        turns = [{"role": "user", "content": question}]
        with client.messages.stream(model=model, messages=turns, max_tokens=LIMIT) as stream:
            return "".join(stream.text_stream)

    return {
        "chat": lambda q: asked(q).content[0].text,
        "stream": streamed,
        "tools": lambda q: asked(q, tools=[tool]).content,
        "structured": lambda q: json.loads(asked(q, extra_body=form).content[0].text),
        "turns": lambda q: asked("Hello", "Hello. How can I help?", q).content[0].text,
        "count_tokens": lambda q: (
            client.messages.count_tokens(model=model, messages=[{"role": "user", "content": q}]).input_tokens
        ),
    }


def agents(url: str, model: str) -> Uses:
    """OpenAI's Agents, over Responses."""
    sdk = import_module("agents")
    sdk.set_tracing_disabled(True)
    settings = sdk.ModelSettings(max_tokens=4 * LIMIT)  # an answer that is cut off is an error to it

    def agent(**more: Any) -> Any:
        # A client of its own: each question has an event loop of its own.
        sdk.set_default_openai_client(import_module("openai").AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY))
        return sdk.Agent(name="A", instructions="Be brief.", model=model, model_settings=settings, **more)

    async def streamed(question: str) -> str:
        running = sdk.Runner.run_streamed(agent(), question)
        async for _ in running.stream_events():
            pass
        return str(running.final_output)

    def turns(question: str) -> str:
        first = sdk.Runner.run_sync(agent(), "Hello")
        asked = [*first.to_input_list(), {"role": "user", "content": question}]
        return str(sdk.Runner.run_sync(agent(), asked).final_output)

    return {
        "chat": lambda q: sdk.Runner.run_sync(agent(), q).final_output,
        "stream": lambda q: asyncio.run(streamed(q)),
        "tools": lambda q: sdk.Runner.run_sync(agent(tools=[sdk.function_tool(look_up)]), q).final_output,
        "structured": lambda q: sdk.Runner.run_sync(agent(output_type=_answer_type()), q).final_output,
        "turns": turns,
    }


def look_up(name: str) -> str:
    """Looks a person up."""
    return f"Nothing is known of {name}."


def _answer_type() -> Any:
    word = Enum("Word", {"yes": "yes", "no": "no"}, type=str)  # type: ignore[misc]
    return import_module("pydantic").create_model("Answer", word=(word, ...))


def langchain_openai(url: str, model: str) -> Uses:
    """LangChain, over OpenAI's chats."""
    return _langchain(
        import_module("langchain_openai").ChatOpenAI(base_url=f"{url}/v1", api_key=KEY, model=model, max_tokens=LIMIT),
        method="json_schema",
    )


def langchain_anthropic(url: str, model: str) -> Uses:
    """LangChain, over Anthropic's Messages."""
    chat = import_module("langchain_anthropic").ChatAnthropic
    return _langchain(chat(base_url=url, api_key=KEY, model=model, max_tokens=LIMIT), method="json_schema")


def _langchain(chat: Any, method: str) -> Uses:
    shaped = chat.with_structured_output(_answer_type(), method=method)
    turns = [("user", "Hello"), ("assistant", "Hello. How can I help?")]

    def tooled(question: str) -> Any:
        said = chat.bind_tools([look_up]).invoke(question)
        return said.content or said.tool_calls

    return {
        "chat": lambda q: chat.invoke(q).content,
        "stream": lambda q: "".join(str(one.content) for one in chat.stream(q)),
        "tools": tooled,
        "structured": shaped.invoke,
        "turns": lambda q: chat.invoke([*turns, ("user", q)]).content,
    }


def llama_index(url: str, model: str) -> Uses:
    """LlamaIndex, over OpenAI's chats."""
    openai_like = import_module("llama_index.llms.openai_like").OpenAILike
    core = import_module("llama_index.core.llms")
    options = {"is_chat_model": True, "is_function_calling_model": True, "max_tokens": LIMIT}
    chat = openai_like(api_base=f"{url}/v1", api_key=KEY, model=model, **options)
    tool = import_module("llama_index.core.tools").FunctionTool.from_defaults(look_up)

    def message(text: str, role: str = "user") -> Any:
        return core.ChatMessage(role=role, content=text)

    def turns(question: str) -> Any:
        earlier = [message("Hello"), message("Hello. How can I help?", "assistant")]
        return chat.chat([*earlier, message(question)]).message.content

    return {
        "chat": lambda q: chat.chat([message(q)]).message.content,
        "stream": lambda q: "".join(one.delta or "" for one in chat.stream_chat([message(q)])),
        "tools": lambda q: chat.chat_with_tools([tool], user_msg=q).message,
        "turns": turns,
    }


def pydantic_ai(url: str, model: str) -> Uses:
    """Pydantic AI, over OpenAI's chats."""
    sdk = import_module("pydantic_ai")
    provider = import_module("pydantic_ai.providers.openai").OpenAIProvider(base_url=f"{url}/v1", api_key=KEY)
    chat = import_module("pydantic_ai.models.openai").OpenAIChatModel(model, provider=provider)

    def agent(**more: Any) -> Any:
        return sdk.Agent(chat, model_settings={"max_tokens": LIMIT}, **more)

    async def streamed(question: str) -> str:
        async with agent().run_stream(question) as running:
            return str(await running.get_output())

    def turns(question: str) -> Any:
        first = agent().run_sync("Hello")
        return agent().run_sync(question, message_history=first.all_messages()).output

    return {
        "chat": lambda q: agent().run_sync(q).output,
        "stream": lambda q: asyncio.run(streamed(q)),
        "tools": lambda q: agent(tools=[look_up]).run_sync(q).output,
        "structured": lambda q: agent(output_type=sdk.NativeOutput(_answer_type())).run_sync(q).output,
        "turns": turns,
    }


def instructor(url: str, model: str) -> Uses:
    """Instructor, over OpenAI's chats."""
    sdk = import_module("instructor")
    client = sdk.from_openai(
        import_module("openai").OpenAI(base_url=f"{url}/v1", api_key=KEY), mode=sdk.Mode.JSON_SCHEMA
    )

    def asked(question: str, **more: Any) -> Any:
        turns = [{"role": "user", "content": question}]
        return client.chat.completions.create(model=model, messages=turns, max_tokens=LIMIT, **more)

    return {"structured": lambda q: asked(q, response_model=_answer_type(), max_retries=0)}


def litellm(url: str, model: str) -> Uses:
    """LiteLLM as a client, over OpenAI's chats."""
    ask = import_module("litellm").completion
    tool = {"type": "function", "function": {"name": "say", "parameters": SCHEMA}}
    form = {"type": "json_schema", "json_schema": {"name": "say", "schema": SCHEMA, "strict": True}}

    def asked(*turns: str, **more: Any) -> Any:
        roles = ("user", "assistant", "user")
        messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
        return ask(
            model=f"openai/{model}", api_base=f"{url}/v1", api_key=KEY, messages=messages, max_tokens=LIMIT, **more
        )

    return {
        "chat": lambda q: asked(q).choices[0].message.content,
        "stream": lambda q: "".join(e.choices[0].delta.content or "" for e in asked(q, stream=True)),
        "tools": lambda q: _said(asked(q, tools=[tool]).choices[0].message),
        "structured": lambda q: json.loads(asked(q, response_format=form).choices[0].message.content),
        "turns": lambda q: asked("Hello", "Hello. How can I help?", q).choices[0].message.content,
    }


def llm(url: str, model: str) -> Uses:
    """The command line tool `llm`, by its Python interface."""
    kind = import_module("llm.default_plugins.openai_models").Chat
    chat = kind("gateway", model_name=model, api_base=f"{url}/v1", supports_schema=True, supports_tools=True)
    chat.key = KEY

    def turns(question: str) -> str:
        conversation = chat.conversation()
        conversation.prompt("Hello", max_tokens=LIMIT).text()
        return str(conversation.prompt(question, max_tokens=LIMIT).text())

    return {
        "chat": lambda q: chat.prompt(q, stream=False, max_tokens=LIMIT).text(),
        "stream": lambda q: "".join(chat.prompt(q, stream=True, max_tokens=LIMIT)),
        "tools": lambda q: chat.chain(q, tools=[look_up], options={"max_tokens": LIMIT}).text(),
        "structured": lambda q: json.loads(chat.prompt(q, schema=SCHEMA, max_tokens=LIMIT).text()),
        "turns": turns,
    }


CLIENTS: dict[str, Callable[[str, str], Uses]] = {
    "openai": openai_chat,
    "openai-responses": openai_responses,
    "anthropic": anthropic,
    "openai-agents": agents,
    "langchain-openai": langchain_openai,
    "langchain-anthropic": langchain_anthropic,
    "llama-index": llama_index,
    "pydantic-ai": pydantic_ai,
    "instructor": instructor,
    "litellm": litellm,
    "llm": llm,
}


def main() -> None:
    """Asks all questions in all ways."""
    name = TASK["client"]
    uses = CLIENTS[name](TASK["url"], TASK["model"])
    found = {
        use: {kind: _outcome(ask, question) for kind, question in TASK["questions"].items()}
        for use, ask in uses.items()
    }
    print()
    print(json.dumps({"version": metadata.version(PACKAGES.get(name, name)), "uses": found}))


def _outcome(ask: Callable[[str], Any], question: str) -> str:
    try:
        return "ok" if ask(question) else "an empty answer"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]


if __name__ == "__main__":
    main()
