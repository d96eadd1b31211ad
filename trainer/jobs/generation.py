"""Turns documents into the generator's stream of events."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from lift import status
from lift.errors import GeneratorUnavailable, JobCancelled, LiftError, TimedOut, Unavailable
from lift.internal.v1.generator_pb2 import GenerateRequest, GenerateResponse, SourceDocument
from lift.internal.v1.generator_pb2_grpc import GeneratorServiceStub
from lift.limits import MAX_GENERATION_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document as the generator reads it."""

    title: str
    text: str


class Generation:
    """One running call: iterate it for its events, cancel it from any thread."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Iterator[GenerateResponse]:
        """The events. GeneratorUnavailable, EndpointUnavailable, InvalidOption and what else the generator says."""
        try:
            yield from self._call
        except grpc.RpcError as error:
            raise _translated(error) from error

    def cancel(self) -> None:
        """Ends the call."""
        self._call.cancel()


class Generator:
    """Asks the generator at an address."""

    def __init__(self, address: str, token: str) -> None:
        limits = [
            ("grpc.max_send_message_length", MAX_GENERATION_BYTES),
            ("grpc.max_receive_message_length", MAX_GENERATION_BYTES),
        ]
        self._channel = grpc.insecure_channel(address, options=limits)
        self._stub = GeneratorServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def generate(self, sources: Sequence[Source], options: Mapping[str, Any], done: Sequence[int]) -> Generation:
        """Starts writing about every sentence but those of the indices in `done`.

        `options` are the set fields of lift.v1.TrainingOptions; those about training are passed over.
        """
        request = GenerateRequest(
            documents=[SourceDocument(title=source.title, text=source.text) for source in sources],
            done_sentences=done,
            profile=options.get("generation_profile", ""),
            strategy=options.get("strategy", ""),
            pairs_per_sentence=options.get("pairs_per_sentence", 0),
            custom_prompt=options.get("custom_prompt", ""),
        )
        return Generation(self._stub.Generate(request, metadata=self._metadata))

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


def _translated(error: grpc.RpcError) -> LiftError:
    translated = status.from_call(error)
    # These come without our ErrorInfo where the connection is refused or breaks, or the generator is being stopped.
    broken = type(translated) in {Unavailable, JobCancelled, TimedOut}
    return GeneratorUnavailable() if broken else translated
