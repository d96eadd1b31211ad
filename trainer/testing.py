"""Small stand-ins for the large things that a trainer needs, for tests: a base model, a question writer, an engine."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import torch
from grpc_status import rpc_status
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lift import status
from lift.errors import EndpointUnavailable, LiftError
from lift.internal.v1.engine_pb2 import (
    AnswerEnd,
    AnswerRequest,
    AnswerResponse,
    LoadRevisionRequest,
    LoadRevisionResponse,
    RevisionRef,
)
from lift.internal.v1.engine_pb2_grpc import EngineServiceServicer
from lift.internal.v1.generator_pb2 import Coverage, GenerateRequest, GenerateResponse, Pair, Plan, Sentence
from lift.internal.v1.generator_pb2 import SentenceOutcome as Outcome
from lift.internal.v1.generator_pb2_grpc import GeneratorServiceServicer, add_GeneratorServiceServicer_to_server

HIDDEN_SIZE = 64
LAYERS = 2
STOP = "<|im_end|>"
CHECK_SECONDS = 0.05


def make_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Writes a random Llama whose tokens are bytes (bf16, 0.2 M parameters) with ChatML markers; the folder."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={character: index for index, character in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=STOP)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN_SIZE,
        intermediate_size=2 * HIDDEN_SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.25,  # with the usual 0.02, logits of so narrow a model could never leave the uniform
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class ScriptedGenerator(GeneratorServiceServicer):
    """Takes each line of a document for a sentence and writes two pairs about it, as fast as it may.

    `requests` holds what it was asked. `hold_before(n)` makes it wait before sentence n (counted from 0) until
    `release()`. While `failure` is set, a call ends with it: at its start, or before sentence `fails_before`. With
    `writes_anew`, no two calls write the same questions.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._held_before: int | None = None
        self._released = threading.Event()
        self.requests: list[GenerateRequest] = []
        self.failure: LiftError | None = None
        self.fails_before = 0
        self.writes_anew = False

    def hold_before(self, sentence: int) -> None:
        """Makes calls wait before that sentence."""
        self._held_before = sentence
        self._released.clear()

    def release(self) -> None:
        """Lets calls go on."""
        self._released.set()

    def go_down(self, before_sentence: int = 0) -> None:
        """Makes calls end as if the LLM endpoint were down."""
        self.failure, self.fails_before = EndpointUnavailable(), before_sentence

    def Generate(self, request: GenerateRequest, context: Any) -> Iterator[GenerateResponse]:
        """The stream of the contract."""
        assert ("authorization", f"Bearer {self._token}") in context.invocation_metadata()  # noqa: S101 - for tests
        self.requests.append(request)
        sentences = [place for n, document in enumerate(request.documents) for place in _lines(n, document.text)]
        lines = [request.documents[place.document].text[place.start : place.end] for place in sentences]
        yield GenerateResponse(plan=Plan(sentences=sentences))
        for index, line in enumerate(lines):
            self._stop_here(index, context)
            if index not in request.done_sentences:
                yield from _about(index, line, len(self.requests) if self.writes_anew else 1)
        written = len(lines) - len(request.done_sentences)
        yield GenerateResponse(coverage=Coverage(sentences=written, covered=written, pairs=2 * written))

    def _stop_here(self, index: int, context: Any) -> None:
        if self.failure is not None and index >= self.fails_before:
            context.abort_with_status(rpc_status.to_status(status.to_proto(self.failure)))
        while index == self._held_before and context.is_active() and not self._released.wait(CHECK_SECONDS):
            pass


def _lines(document: int, text: str) -> Iterator[Sentence]:
    for line in re.finditer(r".+", text):
        yield Sentence(document=document, start=line.start(), end=line.end())


def _about(index: int, line: str, call: int) -> Iterator[GenerateResponse]:
    again = " again" * (call - 1)
    for question in (f"What is fact {index}{again}?", f"Fact {index} is what{again}?"):
        yield GenerateResponse(pair=Pair(question=question, answer=line, sentence_index=index, kind=Pair.KIND_WRITTEN))
    yield GenerateResponse(outcome=Outcome(sentence_index=index, pairs=2))


class ScriptedEngine(EngineServiceServicer):
    """Loads whatever it is told to, or ends with `error`; answers what `replies` says of the question, else "nothing".

    `base_replies` are those of the base model; with `answer_error` every answer ends.
    """

    def __init__(self, error: LiftError | None = None) -> None:
        self.error = error
        self.answer_error: LiftError | None = None
        self.replies: dict[str, str] = {}
        self.base_replies: dict[str, str] = {}
        self.loaded: list[RevisionRef] = []
        self.credentials: list[str] = []
        self.asked: list[str] = []

    def LoadRevision(self, request: LoadRevisionRequest, context: Any) -> LoadRevisionResponse:
        """Notes it."""
        self.credentials.append(dict(context.invocation_metadata()).get("authorization", ""))
        if self.error is not None:
            context.abort_with_status(rpc_status.to_status(status.to_proto(self.error)))
        self.loaded.append(request.revision)
        return LoadRevisionResponse()

    def Answer(self, request: AnswerRequest, context: Any) -> Iterator[AnswerResponse]:
        """The reply, word by word."""
        if self.answer_error is not None:
            context.abort_with_status(rpc_status.to_status(status.to_proto(self.answer_error)))
        question = request.turns[-1].content
        replies = self.replies if request.HasField("revision") else self.base_replies
        if request.HasField("revision"):
            self.asked.append(question)
        for word in replies.get(question, "nothing").split():
            yield AnswerResponse(delta=f" {word}")
        yield AnswerResponse(end=AnswerEnd(finish_reason="stop"))


@contextmanager
def serving(generator: ScriptedGenerator, port: int = 0) -> Iterator[str]:
    """The generator behind gRPC on 127.0.0.1; its address."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    add_GeneratorServiceServicer_to_server(generator, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield f"127.0.0.1:{port}"
    stopped = server.stop(grace=None)
    generator.release()
    stopped.wait()
