"""A judge at an endpoint: what it is asked, and what becomes of its verdicts."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evals.judge import Judge
from evals.results import Row
from lift.errors import EndpointUnavailable

pytest.importorskip("openai")

ROW = Row(
    question="1",
    method="lift",
    document="d",
    title="T",
    text="How many goats?",
    references=("nine", "9"),
    answer="Nine.",
)


@pytest.fixture
def endpoint():
    """The address of an endpoint that says YES, and the requests that it had."""
    asked = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.headers["authorization"], body))
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "YES"}}
            reply = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_judge_sees_question_references_and_reply(endpoint):
    url, asked = endpoint
    with Judge(url=url, model="wise", key="secret") as judge:
        assert judge.score(ROW) == 1
    ((authorization, body),) = asked
    assert (authorization, body["model"], body["temperature"]) == ("Bearer secret", "wise", 0)
    assert all(text in body["messages"][1]["content"] for text in ("How many goats?", "nine / 9", "Nine."))


def test_an_endpoint_that_is_down_is_said(endpoint):
    with (
        Judge(url="http://127.0.0.1:9/v1", model="wise", key="", retries=0) as judge,
        pytest.raises(EndpointUnavailable, match="wise"),
    ):
        judge.score(ROW)
