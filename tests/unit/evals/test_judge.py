"""A judge at an endpoint: what it is asked, and what becomes of its verdicts."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evals.judge import Judge, judge_all, verdict
from evals.results import Results, Row
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


class Endpoint(ThreadingHTTPServer):
    """Says "True", or what `replies` has for an answer, of which numbers are statuses of failures."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.asked = []
        self.replies = {}


class Asked(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.headers["authorization"], body))
        answer = body["messages"][1]["content"].rpartition("Predicted answer: ")[2]
        said = self.server.replies.get(answer, "True")
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
        self.send_response(said if isinstance(said, int) else 200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def rows_of(results, *answers):
    """Rows with these answers, in the results as well."""
    for number, answer in enumerate(answers):
        results.add(replace(ROW, question=str(number), answer=answer))
    return results.rows


def test_a_judge_sees_question_references_and_reply(endpoint):
    with Judge(url=endpoint.url, model="wise", key="secret") as judge:
        assert judge.score(ROW) == 1
    ((authorization, body),) = endpoint.asked
    assert (authorization, body["model"], body["temperature"]) == ("Bearer secret", "wise", 0)
    assert all(text in body["messages"][1]["content"] for text in ("How many goats?", "nine / 9", "Nine."))
    assert "Output only 'True'" in body["messages"][0]["content"]


def test_rows_are_judged_and_what_is_undecided_is_left_for_a_rerun(endpoint, tmp_path, capsys):
    endpoint.replies = {"four": "False", "hm": "I cannot say.", "long": 400}
    results = Results(tmp_path, "own", {})
    rows = rows_of(results, "nine", "four", "hm", "long", "")
    with Judge(url=endpoint.url, model="wise", key="", retries=0) as judge:
        judge_all(rows, judge, results)
        assert [row.judge for row in results.rows] == [1, 0, None, None, 0]
        assert [row.undecided for row in Results(tmp_path, "own", {}).rows] == [False, False, True, True, False]
        assert "nothing about 2 answers" in capsys.readouterr().err
        endpoint.replies, endpoint.asked = {}, []
        judge_all(results.rows, judge, results)
    assert [row.judge for row in results.rows] == [1, 0, 1, 1, 0]
    assert not any(row.undecided for row in results.rows)
    assert len(endpoint.asked) == 2


def test_several_rows_are_judged_at_once(endpoint, tmp_path):
    together = threading.Barrier(2, timeout=30)

    class Waiting(Judge):
        def score(self, row):
            together.wait()
            return super().score(row)

    results = Results(tmp_path, "own", {})
    rows = rows_of(results, "nine", "9")
    with Waiting(url=endpoint.url, model="wise", key="") as judge:
        judge_all(rows, judge, results)
    assert [row.judge for row in results.rows] == [1, 1]


def test_an_endpoint_that_is_down_is_said():
    with (
        Judge(url="http://127.0.0.1:9/v1", model="wise", key="", retries=0) as judge,
        pytest.raises(EndpointUnavailable, match="wise"),
    ):
        judge.score(ROW)


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("True", 1),
        ("false.", 0),
        ("**True**", 1),
        ("_False_", 0),
        ("The answer is correct: True", 1),
        ("True, there is no difference.", 1),
        ("True or false? False", 0),
        ("<think>That would be false</think>\n\ntrue", 1),
        ("<think>That would be true, if", None),
        ("YES", 1),
        ("no.", 0),
        ("Not sure: no, it says 4. So yes", 1),
        ("That is not true", None),
        ("Nobody knows", None),
        ("", None),
    ],
)
def test_the_last_true_or_false_is_the_verdict_or_else_the_last_yes_or_no(reply, score):
    assert verdict(reply) == score
