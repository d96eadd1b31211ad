"""The engine on real vLLM: adapters answer as their merged weights would, and nothing one does harms another."""

import asyncio
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import openai
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lift import errors, status
from lift.internal.v1 import engine_pb2 as pb
from lift.processor import dtype_for
from lift.writing import WRITER
from storage import keys
from storage.files import WEIGHTS
from storage.records import RevisionRef

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PROMPTS = ("Once upon", "The bridge of Orsel is", "A mill stands where the river bends, and")
MAX_TOKENS = 12


async def published(node, adapter: str, **options: Any) -> RevisionRef:
    """A new revision, in the store only."""
    return await asyncio.to_thread(node.press.publish, adapter, **options)


@pytest_asyncio.fixture(loop_scope="session")
async def two(node, request) -> AsyncIterator[tuple[RevisionRef, RevisionRef]]:
    """Two resident revisions of different rank, which fill every slot of a batch."""
    first = await published(node, f"first-{request.node.name}", rank=16, seed=1)
    second = await published(node, f"second-{request.node.name}", tenant="other", rank=4, seed=2)
    await node.load(first)
    await node.load(second)
    yield first, second
    await node.unload(first)
    await node.unload(second)


async def refusal(call: Any) -> errors.LiftError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await (ended(call) if hasattr(call, "__aiter__") else call)
    return status.from_call(refused.value)


async def ended(call: Any) -> None:
    """Reads a stream to its end."""
    async for _ in call:
        pass


class Merged:
    """The dense reference: transformers in fp32, with an adapter's weights added to the base model's."""

    def __init__(self, press: Any, rank: int, seed: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tensors = press.weights(rank, seed) if rank else {}
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            self._model = AutoModelForCausalLM.from_pretrained(press.base_model, dtype=torch.float32)
            self._tokenizer = AutoTokenizer.from_pretrained(press.base_model)
            for name in filter(lambda name: "lora_A" in name, tensors):
                b_times_a = torch.from_numpy(tensors[name.replace("lora_A", "lora_B")] @ tensors[name])
                module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                self._model.get_submodule(module).weight += 2.0 * b_times_a

    def distances(self, prompt: str, answer: str) -> Any:
        """How far each token of an answer is from the reference's best, in standard deviations of the logits [n]."""
        import torch

        tokens = torch.tensor(self._tokenizer(prompt + answer)["input_ids"])
        chosen = tokens[len(prompt) :]
        assert len(chosen) == len(answer) == MAX_TOKENS
        with torch.no_grad():
            logits = self._model(tokens[None]).logits[0, len(prompt) - 1 : -1]
        return (logits.max(-1).values - logits.gather(-1, chosen[:, None])[:, 0]) / logits.std(-1)

    def differences(self, text: str, logprobs: list[float]) -> Any:
        """How far those of each token but the first are from the reference's, in standard deviations of logits [n]."""
        import torch

        tokens = torch.tensor(self._tokenizer(text)["input_ids"])
        with torch.no_grad():
            logits = self._model(tokens[None]).logits[0, :-1]
        expected = logits.log_softmax(-1).gather(-1, tokens[1:, None])[:, 0]
        return (torch.tensor(logprobs) - expected) / logits.std(-1)


async def test_adapters_and_the_base_model_answer_side_by_side_as_merged_weights_do(node, two) -> None:
    """A base row beside adapters that fill every batch slot is what vLLM's own operator gets wrong.

    Greedy tokens are the reference's, but where its best two are as near to each other as bf16 rounds: it moves logits
    of the base model by up to 0.27 standard deviations, and by up to 1.07 with the adapter of rank 16.
    """
    voices = ((None, 0, 0), (two[0], 16, 1), (two[1], 4, 2))
    references = [Merged(node.press, rank, seed) for _, rank, seed in voices]
    asked = [(prompt, voice) for prompt in PROMPTS for voice in range(len(voices))]
    answers = await asyncio.gather(
        *(node.text(voices[voice][0], prompt=prompt, max_tokens=MAX_TOKENS) for prompt, voice in asked)
    )
    for (prompt, voice), (text, _) in zip(asked, answers, strict=True):
        distances = references[voice].distances(prompt, text)
        assert distances.max() < 0.4
        assert references[voice - 1].distances(prompt, text).max() > 1


async def test_an_adapter_in_fp32_answers_as_the_same_in_bf16(node) -> None:
    refs = [await published(node, f"in-fp32-{in_fp32}", rank=16, in_fp32=in_fp32) for in_fp32 in (True, False)]
    for ref in refs:
        await node.load(ref)
    for prompt in PROMPTS:
        assert await node.text(refs[0], prompt=prompt) == await node.text(refs[1], prompt=prompt)
    for ref in refs:
        await node.unload(ref)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says what a process has mapped")
async def test_answers_come_from_the_pages_of_a_revisions_file_and_unloading_lets_go_of_it(node) -> None:
    of_engine = dtype_for(node.settings.model.dtype, on_cpu=True)  # what has another type is converted
    ref = await published(node, "mapped", in_fp32=of_engine == "float32")
    await node.load(ref)
    assert (await node.text(ref))[0]
    assert await asyncio.to_thread(mapped, ref)
    await node.unload(ref)
    assert not await asyncio.to_thread(mapped, ref)


def mapped(ref: RevisionRef) -> list[str]:
    """Where any process has the revision's weights in its memory."""
    found = []
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):  # it has ended, or is somebody else's
            found += [line for line in maps.read_text().splitlines() if ref.digest[:16] in line and WEIGHTS in line]
    return found


async def test_our_operator_is_installed_for_every_vllm_process_and_nothing_is_compiled(node) -> None:
    from vllm.platforms import current_platform

    assert "lift_cpu_lora" in entry_points(group="vllm.general_plugins").names
    assert current_platform.get_punica_wrapper() == "server.engine.cpu.segmented_lora.SegmentedLora"
    assert current_platform.simple_compile_backend == "eager"


async def test_a_step_has_as_many_distinct_adapters_as_are_loaded(node) -> None:
    """With the question writer; their slots take no memory on a CPU."""
    from server.engine.vllm_engine import engine_args

    slots = node.settings.engine.slots
    arguments = engine_args(node.press.base_model, node.settings.engine, node.settings.model)
    assert (arguments.max_loras, arguments.max_cpu_loras) == (slots + 1, slots + 1)


async def test_ranks_of_tokens_are_not_counted_and_their_log_probabilities_are_right(node) -> None:
    import torch
    from vllm.v1.sample.sampler import Sampler

    logits = torch.randn(5, 300, generator=torch.Generator().manual_seed(0))
    chosen = torch.tensor([0, 7, 299, 3, 100])
    found = Sampler.gather_logprobs(Sampler.compute_logprobs(logits), 2, chosen)
    wanted = torch.log_softmax(logits, -1)
    assert torch.equal(found.selected_token_ranks, torch.zeros(5, dtype=torch.int64))
    assert torch.allclose(found.logprobs[:, 0], wanted.gather(1, chosen[:, None])[:, 0])
    assert torch.equal(found.logprob_token_ids[:, 1:].long(), wanted.topk(2).indices)


async def test_norms_are_the_kernels_for_cpus_and_compute_what_vllms_own_do(node) -> None:
    import torch
    from vllm import ir
    from vllm.platforms import current_platform

    random = torch.Generator().manual_seed(0)
    x, residual, weight = (torch.randn(rows, 96, generator=random).bfloat16() for rows in (7, 7, 1))
    priority = current_platform.get_default_ir_op_priority(None)
    for operator, given in ((ir.ops.rms_norm, (x,)), (ir.ops.fused_add_rms_norm, (x, residual))):
        with operator.set_priority(getattr(priority, operator.name)):
            chosen = operator.dispatch(*given, weight[0], 1e-5)
            assert chosen.provider == "lift_cpu"
            assert operator.dispatch(*(each[:, ::2] for each in given), weight[0, ::2], 1e-5).provider == "native"
        expected = operator.impls["native"].impl_fn(*given, weight[0], 1e-5)
        computed = chosen.impl_fn(*(each.clone() for each in given), weight[0], 1e-5)
        torch.testing.assert_close(computed, expected, rtol=0.02, atol=0.02)


async def test_an_answer_streams_and_counts_its_tokens(node, two) -> None:
    turns = [pb.Turn(role="user", content="How long is the bridge?")]
    messages = [message async for message in node.answer(two[0], prompt="", turns=turns, max_tokens=5)]
    assert len(messages) > 1
    assert [message.HasField("end") for message in messages] == [False] * (len(messages) - 1) + [True]
    end = messages[-1].end
    # Each letter of the template's words and of the question is a token, each of its three marks one.
    assert end.prompt_tokens == len("user\nHow long is the bridge?\nassistant\n") + 3
    assert (end.finish_reason, end.completion_tokens, end.context_truncated) == ("length", 5, False)


async def test_a_long_context_is_cut_to_the_window(node) -> None:
    turns = [pb.Turn(role="user", content="How long is it?")]
    _, end = await node.text(prompt="", turns=turns, context="The bridge is long. " * 100, max_tokens=7)
    assert end.context_truncated
    assert end.prompt_tokens + 7 == node.llm.window


async def test_an_answer_ends_before_a_stop_text(node) -> None:
    whole, _ = await node.text(max_tokens=20)
    stop = whole[5:7]
    text, end = await node.text(max_tokens=20, stop=[stop])
    assert text == whole[: whole.index(stop)]
    assert end.finish_reason == "stop"


async def test_a_temperature_above_zero_and_a_small_top_p_are_taken(node) -> None:
    texts = {(await node.text(temperature=1.5, max_tokens=30))[0] for _ in range(4)}
    assert len(texts) > 1
    likeliest = {(await node.text(temperature=1.5, top_p=1e-6, max_tokens=30))[0] for _ in range(4)}
    assert len(likeliest) == 1
    call = node.answer(temperature=0.5, top_p=1e-6, max_tokens=30, logprobs=1)
    tokens = [token for message in [message async for message in call] for token in message.tokens]
    assert [token.logprob for token in tokens] == [max(token.top.values()) for token in tokens]
    assert len(tokens) == 30


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"prompt": "why " * 200}, errors.QuestionTooLong),
        ({"prompt": "", "turns": [pb.Turn(role="user", content="why " * 200)]}, errors.QuestionTooLong),
        ({"prompt": ""}, errors.QuestionEmpty),
        ({"temperature": 2.5}, errors.InvalidOption),
        ({"temperature": float("nan")}, errors.InvalidOption),
        ({"top_p": 0.0}, errors.InvalidOption),
        ({"max_tokens": 0}, errors.InvalidOption),
        ({"stop": [""]}, errors.InvalidOption),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused(node, fields, error) -> None:
    assert type(await refusal(node.answer(**fields))) is error


async def test_a_revision_that_is_not_resident_has_to_be_loaded_first(node) -> None:
    ref = await published(node, "cold")
    assert type(await refusal(node.answer(ref))) is errors.RevisionNotResident


def infinite(tensors: dict[str, Any]) -> None:
    next(iter(tensors.values()))[0, 0] = np.nan


def misshapen(tensors: dict[str, Any]) -> None:
    name = next(name for name in tensors if "k_proj.lora_B" in name)
    tensors[name] = np.zeros((7, 8), dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("not-finite", {"change": infinite}),
        ("misshapen", {"change": misshapen}),
        ("rank-too-high", {"rank": 32}),
        ("of-another-base-model", {"base_model_revision": "f" * 64}),
    ],
)
async def test_a_bad_revision_is_rejected_and_base_answers_go_on(node, name, options) -> None:
    before, files = (await node.text())[0], await on_disk(node)
    long_answer = asyncio.create_task(node.text(max_tokens=140))
    ref = await published(node, name, **options)
    assert type(await refusal(node.load(ref))) is errors.RevisionRejected
    assert (await long_answer)[1].completion_tokens == 140
    assert (await node.text())[0] == before
    assert await on_disk(node) == files


async def on_disk(node) -> int:
    folder = node.settings.state_dir / "engine" / node.settings.engine.node / "revisions"
    return len(await asyncio.to_thread(lambda: list(folder.iterdir())))


async def test_a_tampered_revision_is_rejected(node) -> None:
    ref = await published(node, "tampered")
    key = keys.revision(ref, WEIGHTS)
    content = bytearray(node.press.objects.get(key))
    content[-1] ^= 1
    node.press.objects.put(key, bytes(content))
    assert type(await refusal(node.load(ref))) is errors.RevisionRejected


async def test_an_unknown_revision_is_missing(node) -> None:
    ref = RevisionRef(tenant="acme", adapter="handbook", digest="0" * 64)
    assert type(await refusal(node.load(ref))) is errors.RevisionMissing


async def test_what_vllm_itself_refuses_is_rejected_and_its_number_serves_nobody(node) -> None:
    """Past our validation, as a file that is damaged on the disk after it was checked would be."""
    from server.engine.llm import Adapter

    folder = node.settings.state_dir / "not-an-adapter"
    folder.mkdir()
    adapter = Adapter(number=900, name="broken", folder=folder)
    with pytest.raises(errors.RevisionRejected):
        await node.llm.add(adapter)
    await node.llm.remove(adapter)
    assert 900 not in await node.llm.resident()
    assert (await node.text())[1].completion_tokens > 0


async def test_loading_is_timed_and_repeating_it_changes_nothing(node) -> None:
    ref = await published(node, "timed")
    first, again = await node.load(ref), await node.load(ref)
    assert not first.was_resident
    assert min(first.fetch_seconds, first.validate_seconds, first.load_seconds) > 0
    assert again == pb.LoadRevisionResponse(was_resident=True)
    await node.unload(ref)


async def test_more_revisions_than_slots_take_turns(node) -> None:
    refs = [await published(node, f"turn-{n}", seed=n) for n in range(node.settings.engine.slots + 2)]
    own, texts, files = await node.llm.resident(), [], await on_disk(node)
    for ref in refs:
        await node.load(ref)
        texts.append((await node.text(ref))[0])
    assert len(set(texts)) == len(refs)
    assert len(await node.llm.resident() - own) == node.settings.engine.slots
    again = await node.load(refs[0])
    assert (again.fetch_seconds, again.validate_seconds, again.was_resident) == (0, 0, False)
    assert (await node.text(refs[0]))[0] == texts[0]
    assert await on_disk(node) == files + len(refs)
    for ref in refs:
        await node.unload(ref)
    assert await node.llm.resident() == own
    assert await on_disk(node) == files


async def test_unloading_aborts_an_answer_that_takes_too_long_and_harms_nobody(node, two) -> None:
    base = asyncio.create_task(node.text(max_tokens=140))
    call = node.answer(two[0], prompt="a", max_tokens=150)
    await anext(aiter(call))
    answering = asyncio.create_task(refusal(call))
    assert await node.unload(two[0])
    assert type(await answering) is errors.RevisionNotResident
    assert not await node.unload(two[0])
    assert (await base)[1].completion_tokens == 140
    assert type(await refusal(node.answer(two[0]))) is errors.RevisionNotResident


async def test_a_client_that_goes_away_stops_its_answer(node, two, wait_until) -> None:
    call = node.answer(two[0], prompt="a", max_tokens=150)
    await anext(aiter(call))
    call.cancel()
    await asyncio.to_thread(wait_until, lambda: not node.llm.unfinished)


async def test_the_catalogue_is_told_what_is_resident(node, two, wait_until) -> None:
    def told() -> bool:
        return set(node.catalogue.nodes.residents(node.settings.engine.node)) == set(two)

    await asyncio.to_thread(wait_until, told)
    (reported,) = await asyncio.to_thread(node.catalogue.nodes.list)
    assert reported.base_model == str(node.press.base_model)
    assert reported.slots == node.settings.engine.slots


async def test_it_says_what_it_serves(node, two) -> None:
    said = await node.stub.GetEngine(pb.GetEngineRequest(), metadata=node.metadata)
    assert (said.max_model_len, said.max_lora_rank, said.slots) == (node.llm.window, 16, 2)
    assert {ref.digest for ref in said.resident} == {ref.digest for ref in two}


@pytest.mark.parametrize(
    ("metadata", "error"),
    [((), errors.CredentialMissing), ((("authorization", "Bearer wrong"),), errors.CredentialWrong)],
)
async def test_a_caller_without_the_node_token_is_let_into_nothing(node, metadata, error) -> None:
    request = pb.AnswerRequest(tenant="acme", prompt="Once", max_tokens=1, top_p=1)
    assert type(await refusal(node.stub.Answer(request, metadata=metadata))) is error
    assert type(await refusal(node.stub.GetEngine(pb.GetEngineRequest(), metadata=metadata))) is error
    assert type(await refusal(node.stub.LoadRevision(pb.LoadRevisionRequest(), metadata=metadata))) is error


async def test_health_is_open_to_all(node) -> None:
    health = health_pb2_grpc.HealthStub(node.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service="lift.internal.v1.EngineService"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest_asyncio.fixture(loop_scope="session")
async def client(node) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{node.ports.http}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="node-token", max_retries=0) as client:
        yield client


async def test_openai_clients_find_the_base_model_under_both_names_and_the_question_writer(node, client) -> None:
    names = ["base", str(node.press.base_model), WRITER]
    assert [model.id async for model in client.models.list()] == names


async def test_the_question_writer_writes_as_its_weights_say(node, client) -> None:
    same = node.press.publish("as-the-writer", seed=node.writer_seed)
    await node.load(same)
    expected, _ = await node.text(same, prompt=PROMPTS[1], max_tokens=9)
    await node.unload(same)
    written = await client.completions.create(model=WRITER, prompt=PROMPTS[1], max_tokens=9)
    base = await client.completions.create(model="base", prompt=PROMPTS[1], max_tokens=9)
    assert written.choices[0].text == expected != base.choices[0].text


async def test_openai_completions_go_on_from_the_prompt_as_it_stands(node, client) -> None:
    expected, end = await node.text(prompt=PROMPTS[1], max_tokens=9)
    whole = await client.completions.create(model="base", prompt=PROMPTS[1], max_tokens=9)
    assert whole.choices[0].text == expected
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (end.prompt_tokens, 9)
    stream = await client.completions.create(
        model=str(node.press.base_model), prompt=PROMPTS[1], max_tokens=9, stream=True
    )
    assert "".join([chunk.choices[0].text async for chunk in stream]) == expected


async def test_an_echoed_prompt_is_as_likely_as_merged_weights_say(node, client) -> None:
    """Each token within what bf16 rounds, and their sum closer, since rounding has no direction."""
    voices = {"base": Merged(node.press, 0, 0), WRITER: Merged(node.press, 8, node.writer_seed)}
    text = " ".join(PROMPTS)
    replies = await asyncio.gather(
        *(client.completions.create(model=m, prompt=text, echo=True, logprobs=1, max_tokens=0) for m in voices)
    )
    for (model, reference), reply in zip(voices.items(), replies, strict=True):
        (choice,) = reply.choices
        first, *logprobs = choice.logprobs.token_logprobs
        assert (choice.text, "".join(choice.logprobs.tokens), first) == (text, text, None)
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (len(text), 0)
        differences = reference.differences(text, logprobs)
        assert abs(differences.mean()) < 0.2
        assert differences.abs().mean() < 0.5
        assert all(voices[other].differences(text, logprobs).abs().mean() > 0.7 for other in voices if other != model)


async def test_log_probabilities_of_an_answer_are_those_before_temperature(node, client) -> None:
    asked = {"model": "base", "prompt": PROMPTS[1]}
    reply = await client.completions.create(**asked, max_tokens=40, temperature=1.5, top_p=0.8, logprobs=0)
    (answer,) = reply.choices
    assert len(answer.logprobs.token_logprobs) == reply.usage.completion_tokens == 40
    echo = await client.completions.create(
        model="base", prompt=PROMPTS[1] + answer.text, echo=True, logprobs=0, max_tokens=0
    )
    echoed = echo.choices[0].logprobs.token_logprobs[-40:]
    assert np.abs(np.subtract(answer.logprobs.token_logprobs, echoed)).mean() < 0.5


async def test_a_greedy_answer_is_of_the_likeliest_tokens(node, client) -> None:
    reply = await client.completions.create(model=WRITER, prompt=PROMPTS[0], max_tokens=9, logprobs=5)
    logprobs = reply.choices[0].logprobs
    assert logprobs.token_logprobs == [max(top.values()) for top in logprobs.top_logprobs]
    assert all(len(top) == 5 for top in logprobs.top_logprobs)


@pytest.mark.parametrize("characters", [1, 159])
async def test_the_shortest_and_the_longest_prompt_are_echoed(node, client, characters) -> None:
    reply = await client.completions.create(model="base", prompt="x" * characters, echo=True, logprobs=5, max_tokens=0)
    assert reply.choices[0].logprobs.tokens == ["x"] * characters
    with pytest.raises(openai.BadRequestError):
        await client.completions.create(model="base", prompt="x" * node.llm.window, echo=True, max_tokens=0)


async def test_openai_chats_are_written_with_the_template(node, client) -> None:
    expected, _ = await node.text(prompt="", turns=[pb.Turn(role="user", content="Why?")], max_tokens=9)
    messages = [{"role": "user", "content": "Why?"}]
    whole = await client.chat.completions.create(model="base", messages=messages, max_tokens=9)
    assert whole.choices[0].message.content == expected
    stream = await client.chat.completions.create(model="base", messages=messages, max_tokens=9, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == expected


async def test_openai_clients_are_told_what_is_wrong(node, client) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.completions.create(model="handbook", prompt="Once")
    with pytest.raises(openai.BadRequestError):
        await client.completions.create(model="base", prompt="why " * 200)
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="wrong").completions.create(model="base", prompt="Once")
