"""An LLM endpoint that follows a script: OpenAI's completions API over real HTTP, for tests of whatever asks an LLM."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the endpoint says to one request.

    `likelihood` is the log-probability of each token, where it is asked for; `likely` are the likeliest tokens of each
    place, and without them the text's own. `finish_reason` is that of a chat. `body` replaces the JSON or the event
    stream as it stands. `waits_for` holds the reply back. `breaks_off` closes the connection after the text of a
    stream, before its end.
    """

    text: str = ""
    likelihood: float = -0.5
    likely: Mapping[str, float] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    finish_reason: str = "stop"
    waits_for: asyncio.Event | None = None
    breaks_off: bool = False


Script: TypeAlias = Callable[[dict[str, Any]], Reply]


@dataclass(slots=True)
class ScriptedEndpoint:
    """A running endpoint: its URL, the script that it follows, and the bodies it has seen, one for each prompt."""

    url: str
    script: Script
    requests: list[dict[str, Any]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request and closes the connection."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            body = await _request(reader)
            asked = _of_each_prompt(body)
            self.requests += asked
            replies = [self.script(each) for each in asked]
            for waits_for in filter(None, (reply.waits_for for reply in replies)):
                await _until_either(waits_for, reader)
            writer.write(_response(body, replies))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, which is its right
        finally:
            self.under_way -= 1
            writer.close()


@asynccontextmanager
async def scripted_endpoint(script: Script) -> AsyncIterator[ScriptedEndpoint]:
    """An endpoint on a free port of this machine."""
    endpoint = ScriptedEndpoint(url="", script=script)
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield endpoint


async def _until_either(event: asyncio.Event, reader: asyncio.StreamReader) -> None:
    """Waits until the event is set or the client hangs up."""
    waiting = [asyncio.create_task(event.wait()), asyncio.create_task(reader.read(1))]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _request(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))
    body: dict[str, Any] = json.loads(await reader.readexactly(length))
    return body | {"path": head.split(" ")[1]}


def _of_each_prompt(body: dict[str, Any]) -> list[dict[str, Any]]:
    prompts = body.get("prompt")
    return [body | {"prompt": prompt} for prompt in prompts] if isinstance(prompts, list) else [body]


def _response(body: dict[str, Any], replies: Sequence[Reply]) -> bytes:
    """The first reply's status, body and end go for all."""
    reply = replies[0]
    if reply.body is not None:
        content = reply.body
    elif reply.status != 200:
        content = b'{"error": {"message": "scripted"}}'
    elif body.get("stream"):
        content = _events(reply)
    else:
        choices = [
            {"text": each.text, "index": index, "logprobs": _logprobs(body, each)} for index, each in enumerate(replies)
        ]
        content = json.dumps({"choices": choices, "usage": _usage(" ".join(each.text for each in replies))}).encode()
    kind = "text/event-stream" if body.get("stream") else "application/json"
    length = len(content) + reply.breaks_off
    head = f"HTTP/1.1 {reply.status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    return head.encode() + content


def _events(reply: Reply) -> bytes:
    """A chat reply as server-sent events of three characters each."""
    text = reply.text
    pieces: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": text[at : at + 3]}}]} for at in range(0, len(text), 3)
    ]
    if not reply.breaks_off:
        pieces.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]})
        pieces.append({"choices": [], "usage": _usage(text)})
    events = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces)
    return (events + ("" if reply.breaks_off else "data: [DONE]\n\n")).encode()


def _logprobs(body: dict[str, Any], reply: Reply) -> dict[str, Any] | None:
    """Of each word, as if it were a token."""
    if body.get("logprobs") is None:
        return None
    tokens = reply.text.split() or ["."] * bool(reply.likely)
    likely = [reply.likely or {f" {token}": reply.likelihood} for token in tokens]
    return {"tokens": tokens, "token_logprobs": [reply.likelihood] * len(tokens), "top_logprobs": likely}


def _usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": len(text.split()), "total_tokens": 10 + len(text.split())}
