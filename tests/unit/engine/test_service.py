"""What the engine's contract carries of an answer. The in-memory engine counts words."""

from lift.internal.v1 import engine_pb2 as pb
from lift.template import PromptTemplate
from server.engine.answers import Answers
from server.engine.memory import MemoryLLM
from server.engine.service import TOKENS_PER_MESSAGE, EngineService, Identity

MESSAGE_LIMIT_BYTES = 4 << 20
WORDS = 4000


def service(llm, slots) -> EngineService:
    identity = Identity(
        id="a",
        base_model="tiny",
        base_model_revision="r",
        max_model_len=llm.window,
        max_lora_rank=8,
        answers_at_once=64,
        slots=2,
    )
    return EngineService(identity, slots, Answers(llm, slots, PromptTemplate.named("plain"), b"secret"))


async def test_a_long_echo_comes_in_messages_of_bounded_size(slots) -> None:
    llm = MemoryLLM(window=WORDS + 8)
    prompt = " ".join(["x" * 255] * WORDS)
    request = pb.AnswerRequest(tenant="acme", prompt=prompt, max_tokens=0, top_p=1, logprobs=5, echo=True)
    *messages, last = [message async for message in service(llm, slots).Answer(request, None)]
    assert "".join(message.delta for message in messages) == prompt
    assert sum(len(message.tokens) for message in messages) == WORDS
    assert all(len(message.tokens) <= TOKENS_PER_MESSAGE for message in messages)
    assert all(message.ByteSize() < MESSAGE_LIMIT_BYTES / 2 for message in messages)
    assert (last.end.prompt_tokens, last.end.completion_tokens) == (WORDS + 1, 0)


async def test_only_a_prompts_first_token_goes_without_a_log_probability(llm, slots) -> None:
    request = pb.AnswerRequest(tenant="acme", prompt="how long", max_tokens=1, top_p=1, logprobs=1, echo=True)
    message, _ = [message async for message in service(llm, slots).Answer(request, None)]
    assert [token.text for token in message.tokens] == ["how ", "long", "base "]
    assert [token.HasField("logprob") for token in message.tokens] == [False, True, True]
    assert [dict(token.top) for token in message.tokens][:2] == [{}, {"long": -4.0, "likely 0": 0.0}]


async def test_no_tokens_are_sent_where_none_are_asked_for(llm, slots) -> None:
    request = pb.AnswerRequest(tenant="acme", prompt="how long", max_tokens=3, top_p=1)
    assert not any([message.tokens async for message in service(llm, slots).Answer(request, None)])
