"""What may be asked of log-probabilities and echoes, and what is refused by its field's name."""

import json

import pytest

from lift.errors import InvalidOption
from server.openai_requests import ChatRequest, CompletionRequest

COMPLETION = {"model": "tides", "prompt": "The bell"}
CHAT = {"model": "tides", "messages": [{"role": "user", "content": "When?"}]}


def completion(**fields) -> CompletionRequest:
    request = CompletionRequest.model_validate_json(json.dumps({**COMPLETION, **fields}))
    request.check()
    return request


@pytest.mark.parametrize("value", [0, 1, 5, None])
def test_a_completion_may_ask_for_up_to_five_log_probabilities(value) -> None:
    assert completion(logprobs=value).likeliest() == value
    assert completion().likeliest() is None


@pytest.mark.parametrize("value", [-1, 6, True, False, 1.5, "1", [1]])
def test_other_log_probabilities_are_refused_by_name(value) -> None:
    with pytest.raises(ValueError, match="logprobs"):
        completion(logprobs=value)


@pytest.mark.parametrize(("value", "echoes"), [(True, True), (False, False), (None, False)])
def test_a_completion_may_ask_for_its_prompt_back(value, echoes) -> None:
    assert completion(echo=value).echoes() is echoes


def test_no_token_may_be_asked_for_with_an_echo_only() -> None:
    assert completion(max_tokens=0, echo=True).answer_tokens() == 0
    with pytest.raises(InvalidOption) as refused:
        completion(max_tokens=0)
    assert refused.value.facts["option"] == "max_tokens"
    with pytest.raises(ValueError, match="max_tokens"):
        completion(max_tokens=-1, echo=True)


def test_what_lm_eval_sends_is_taken() -> None:
    asked = completion(
        prompt=["The bell rings", "The bell sinks"], temperature=0, max_tokens=1, logprobs=1, seed=1234, echo=True
    )
    assert asked.prompts() == ["The bell rings", "The bell sinks"]


@pytest.mark.parametrize("field", [{"logprobs": True}, {"logprobs": 1}, {"top_logprobs": 2}, {"echo": True}])
def test_a_chat_has_neither(field) -> None:
    with pytest.raises(InvalidOption) as refused:
        ChatRequest.model_validate({**CHAT, **field}).check()
    assert refused.value.facts["option"] == next(iter(field))


def test_a_chat_that_asks_for_nothing_of_it_passes() -> None:
    ChatRequest.model_validate({**CHAT, "logprobs": False, "top_logprobs": 0, "echo": False}).check()


@pytest.mark.parametrize("kind", [ChatRequest, CompletionRequest])
@pytest.mark.parametrize("body", ['{"model": "tides", "prompt": "Ada Merrow', '{"model": ["Ada Merrow"]}'])
def test_a_body_that_is_none_is_not_quoted(kind, body) -> None:
    with pytest.raises(ValueError, match="validation error") as failed:
        kind.model_validate_json(body)
    assert "Merrow" not in str(failed.value)
