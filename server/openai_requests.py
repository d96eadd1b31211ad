"""Turns the JSON bodies of OpenAI's API into what a backend can be asked; refuses fields that it would not honour."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from lift.errors import InvalidOption
from lift.limits import MAX_LOGPROBS, MAX_TURNS

Prompt: TypeAlias = str | tuple[tuple[str, str], ...]
"""Raw text to go on from, or a conversation of (role, content) turns; roles are system, user and assistant."""

MAX_PROMPTS = 128
HARMLESS = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "presence_penalty": (0, 0.0),
    "frequency_penalty": (0, 0.0),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
}
"""Fields of OpenAI's that we do not support, with the values that ask for nothing; null asks for nothing either.

Of these, completions do take `logprobs` and `echo`.
"""


class _StreamOptions(BaseModel):
    include_usage: bool = False
    include_obfuscation: bool = False


def _as_list(value: Any) -> Any:
    return [] if value is None else [value] if isinstance(value, str) else value


class SampledRequest(BaseModel):
    """The fields that both endpoints share. Ranges are OpenAI's."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    model: str = Field(min_length=1, max_length=512)
    max_tokens: int | None = Field(default=None, gt=0)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    stop: Annotated[list[str], Field(max_length=4), BeforeValidator(_as_list)] = []
    seed: int | None = None
    stream: bool | None = False
    stream_options: _StreamOptions | None = None

    def check(self) -> None:
        """InvalidOption where values do not go together, or a field that nothing here reads would change the answer."""
        if self.seed is not None and self.temperature:
            raise InvalidOption(option="seed", expected="none, or temperature 0: sampling is not seeded")
        for field, value in (self.model_extra or {}).items():
            neutral = any(type(value) is type(ok) and value == ok for ok in NEUTRAL.get(field, ()))
            if value is not None and field not in HARMLESS and not neutral:
                raise InvalidOption(option=field[:80], expected="nothing: it is not supported")

    def prompts(self) -> list[Prompt]:
        """What to answer, one prompt for each answer."""
        raise NotImplementedError

    def answer_tokens(self) -> int | None:
        """At most this many tokens are wanted; None where the request leaves it open."""
        return self.max_tokens

    def likeliest(self) -> int | None:
        """So many of the likeliest tokens are wanted beside each token; None where tokens are not."""
        return None

    def echoes(self) -> bool:
        """Whether the answer begins with its prompt."""
        return False


class _TextPart(BaseModel):
    type: Literal["text"]
    text: str


class _ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_TextPart]

    def turn(self) -> tuple[str, str]:
        role = "system" if self.role == "developer" else self.role
        said = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return role, said


class ChatRequest(SampledRequest):
    """Body of POST /v1/chat/completions."""

    messages: list[_ChatMessage] = Field(min_length=1, max_length=MAX_TURNS)
    max_completion_tokens: int | None = Field(default=None, gt=0)

    def prompts(self) -> list[Prompt]:
        """The conversation. InvalidOption where its last turn is not the user's."""
        if self.messages[-1].role != "user":
            raise InvalidOption(option="messages", expected="a last message of the user's")
        return [tuple(message.turn() for message in self.messages)]

    def answer_tokens(self) -> int | None:
        """`max_tokens`, under either of its names."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(SampledRequest):
    """Body of POST /v1/completions. Prompts are text: token ids belong to a tokenizer that the caller cannot know."""

    prompt: Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS), BeforeValidator(_as_list)]
    max_tokens: int | None = Field(default=None, ge=0)
    logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS, strict=True)
    echo: bool | None = False

    def check(self) -> None:
        """Also InvalidOption where nothing is wanted: no tokens, and no echo."""
        super().check()
        if self.max_tokens == 0 and not self.echo:
            raise InvalidOption(option="max_tokens", value=0, expected="at least 1, or 0 with echo")

    def prompts(self) -> list[Prompt]:
        """The raw prompts, one answer for each."""
        return list(self.prompt)

    def likeliest(self) -> int | None:
        """`logprobs`."""
        return self.logprobs

    def echoes(self) -> bool:
        """`echo`."""
        return bool(self.echo)
