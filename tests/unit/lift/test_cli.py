"""The command line as people and scripts see it: one JSON object on stdout, one sentence on stderr, an exit code."""

import json
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
from PIL import Image

from lift import cli
from lift.values import JobKind, Stage
from storage.records import Progress


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def lift(capsys, monkeypatch, state, gateway):
    """lift(*arguments): runs a command with the state folder of a gateway."""
    gateway.leave_client_file(state)
    monkeypatch.setenv("LIFT_STATE_DIR", str(state.path))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["lift", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def trained(gateway):
    """A trainer that works off the next job."""

    def work() -> None:
        until = time.monotonic() + 60
        while not (due := gateway.catalogue.leases.due(JobKind.TRAIN, 1, 0)) and time.monotonic() < until:
            time.sleep(0.02)
        gateway.train(due[0])

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


def test_ingest_prints_what_it_made_and_shows_progress_as_plain_lines(lift, tmp_path, trained):
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    done = lift("ingest", str(file), "--wait", "--json")
    assert done.code == 0
    made = done.json
    assert made["revision"] == "d" * 64
    assert (made["sentences"], made["pairs"], made["documents"]) == (2, 8, [made["document"]])
    assert {"extract", "first_pair", "generate", "train", "publish", "load", "total"} <= set(made["seconds"])
    assert "succeeded load; sentences 2/2, pairs 8; step 4/4, loss 0.250" in done.err


def test_a_terminal_shows_live_bars(lift, tmp_path, trained, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes a terminal of what is none
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    done = lift("ingest", str(file), "--wait", "--json")
    assert done.json["pairs"] == 8
    assert all(bar in done.err for bar in ("sentences", "questions and answers", "training, loss 0.25"))


def test_several_files_make_one_adapter_under_the_id_that_was_asked_for(lift, tmp_path):
    files = [tmp_path / "one.txt", tmp_path / "two.md"]
    for file in files:
        file.write_text(f"The bell of {file.stem} rings.")
    made = lift("ingest", *map(str, files), "--adapter", "bells", "--title", "Bells", "--json").json
    assert (made["adapter"], len(made["documents"]), made["revision"]) == ("bells", 2, None)
    assert lift("adapters", "show", "bells", "--json").json["title"] == "Bells"
    assert {row["title"] for row in lift("documents", "list", "--json").json["documents"]} == {"one", "two"}


def test_training_options_reach_the_job(lift, gateway, tmp_path):
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    chosen = ("--train", "generation_profile=thorough", "--train", "batch_size=48")
    job = lift("ingest", str(file), *chosen, "--json").json["job"]
    assert gateway.catalogue.jobs.get("mine", job).options == {"generation_profile": "thorough", "batch_size": 48}


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("colour=red", "colour"),
        ("epochs=many", "many"),
        ("epochs", "epochs"),
        ("strategy", "strategy=VALUE"),
        ("rank=99999999999", "rank"),
    ],
)
def test_an_option_that_there_is_none_of_uploads_nothing(lift, tmp_path, option, named):
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    refused = lift("ingest", str(file), "--train", option)
    assert refused.code == 1
    assert named in refused.err
    assert lift("documents", "list", "--json").json["documents"] == []


def test_of_several_files_the_one_that_is_refused_is_named(lift, tmp_path):
    files = [tmp_path / name for name in ("tides.txt", "blank.txt")]
    for file, text in zip(files, ("The tide bell rings.", " "), strict=True):
        file.write_text(text)
    refused = lift("ingest", *map(str, files))
    assert (refused.code, refused.err) == (1, f"The document holds no text (file: {files[1]})\n")


def test_a_dash_is_standard_input(lift, monkeypatch):
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"The tide bell rings.")))
    made = lift("ingest", "-", "--title", "Tides", "--json").json
    assert lift("documents", "show", made["document"], "--json").json["title"] == "Tides"


def test_bytes_of_a_files_name_that_are_no_text_are_question_marks_in_its_title(lift, tmp_path):
    file = tmp_path / "caf\udce9.txt"
    file.write_text("The tide bell rings.")
    made = lift("ingest", str(file), "--json").json
    assert lift("documents", "show", made["document"], "--json").json["title"] == "caf?"


def test_ingesting_the_same_file_again_uses_the_document_that_is_there(lift, tmp_path):
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    first, again = (lift("ingest", str(file), "--json").json for _ in range(2))
    assert first["document"] == again["document"]
    assert first["adapter"] != again["adapter"]


def test_the_loss_of_a_training_that_diverged_is_null_in_json(lift, gateway, tmp_path):
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    job = lift("ingest", str(file), "--json").json["job"]
    gateway.catalogue.leases.heartbeat(gateway.claim(job), 60, Progress(stage=Stage.TRAIN, loss=float("nan")))
    assert lift("jobs", "show", job, "--json").json["progress"]["loss"] is None
    assert "loss=nan" in lift("jobs", "show", job).out


@pytest.fixture
def ready(lift, gateway, tmp_path) -> str:
    """An adapter that can be asked."""
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    made = lift("ingest", str(file), "--json").json
    gateway.train(made["job"])
    return made["adapter"]


def test_query_streams_the_answer_or_prints_all_its_facts(lift, ready):
    assert lift("query", ready, "What rings?").out == "The tide bell.\n"
    answer = lift("query", ready, "What rings?", "--context", "none", "--max-tokens", "9", "--json").json
    assert (answer["answer"], answer["adapter"], answer["revision"]) == ("The tide bell.", ready, "d" * 64)
    assert (answer["prompt_tokens"], answer["completion_tokens"]) == (7, 3)
    assert 0 < answer["first_token_seconds"] <= answer["total_seconds"]


def test_query_says_whether_the_documents_in_the_prompt_were_cut(lift, ready, monkeypatch):
    asking = ("query", ready, "What rings?", "--context", "document", "--json")
    assert lift(*asking).json["context_truncated"] is False
    monkeypatch.setattr("server.gateway.contexts.MAX_CHARACTERS", 8)
    assert lift(*asking).json["context_truncated"] is True


def test_the_base_model_is_asked_with_an_empty_adapter(lift):
    assert lift("query", "", "What rings?", "--json").json["adapter"] is None


def test_adapters_are_shown_downloaded_rolled_back_and_deleted(lift, ready, tmp_path):
    shown = lift("adapters", "show", ready, "--json").json
    assert [revision["digest"] for revision in shown["revisions"]] == ["d" * 64]
    files = lift("adapters", "download", ready, str(tmp_path / "peft"), "--json").json["files"]
    assert len(files) == 3
    assert lift("adapters", "rollback", ready, "d" * 64, "--json").json["revision"] == "d" * 64
    assert lift("adapters", "delete", ready, "--json").json["kind"] == "delete"


def test_sentences_that_a_revision_does_not_know_are_listed(lift, ready):
    unknown = lift("adapters", "sentences", ready, "--unknown", "--json").json["sentences"]
    assert [(sentence["text"], sentence["known"]) for sentence in unknown] == [("It.", False)]
    assert len(lift("adapters", "sentences", ready, "--json").json["sentences"]) == 2
    assert "It." in lift("adapters", "sentences", ready).out


def test_jobs_are_listed_cancelled_and_retried(lift, tmp_path):
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    job = lift("ingest", str(file), "--json").json["job"]
    assert lift("jobs", "cancel", job, "--json").json["state"] == "cancelled"
    watched = lift("jobs", "watch", job)
    assert (watched.code, watched.err.splitlines()[-1]) == (1, "The job was cancelled")
    assert lift("jobs", "retry", job, "--json").json["state"] == "queued"
    assert [row["id"] for row in lift("jobs", "list", "--json").json["jobs"]] == [job]


def test_a_cancellation_says_what_became_of_the_job(lift, gateway, ready, tmp_path):
    def said(job):
        told = lift("jobs", "cancel", job)
        assert (told.code, told.err, told) == (0, "", lift("admin", "jobs", "cancel", "mine", job))
        return told.out

    trained = lift("adapters", "show", ready, "--json").json["job"]
    assert said(trained) == "The job had ended before it could be cancelled: succeeded\n"
    failed, held, queued = (
        lift("ingest", str(tmp_path / "tides.txt"), "--adapter", id_, "--json").json["job"] for id_ in ("a", "b", "c")
    )
    gateway.catalogue.leases.fail(gateway.claim(failed), "no")
    assert said(failed) == "The job had ended before it could be cancelled: failed\n"
    gateway.claim(held)
    assert said(held) == "The job has been asked to stop\n"
    assert said(queued) == "The job is cancelled\n"
    assert said(queued) == "The job is cancelled\n"


def test_a_deletion_goes_on_and_says_so(lift, gateway, tmp_path):
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    made = lift("ingest", str(file), "--json").json
    gateway.claim(made["job"])  # for which the deletion waits
    deletion = lift("adapters", "delete", made["adapter"], "--json").json["id"]
    assert lift("jobs", "cancel", deletion).out == "The job goes on: it deletes an adapter, which is not cancelled\n"


def test_a_jobs_stages_are_drawn_also_before_it_has_ended(lift, gateway, tmp_path):
    file = tmp_path / "tides.txt"
    file.write_text("The tide bell rings.")
    job = lift("ingest", str(file), "--json").json["job"]
    for state in ("queued", "succeeded"):
        picture = tmp_path / f"{state}.svg"
        assert lift("jobs", "show", job, "--timeline", str(picture), "--json").json["state"] == state
        assert ("no stage has begun" in picture.read_text()) is (state == "queued")
        if state == "queued":
            gateway.train(job)
    lift("jobs", "show", job, "--timeline", str(tmp_path / "job.png"))
    with Image.open(tmp_path / "job.png") as drawn:
        assert drawn.format == "PNG"


@pytest.mark.parametrize(
    ("name", "problem"),
    [("job.txt", "ends in .png"), ("nowhere/job.png", "no such folder"), ("folder.png", "Is a directory")],
)
def test_a_picture_that_cannot_be_written_is_said_in_one_sentence(lift, ready, tmp_path, name, problem):
    (tmp_path / "folder.png").mkdir()
    job = lift("jobs", "list", "--json").json["jobs"][0]["id"]
    done = lift("jobs", "show", job, "--timeline", str(tmp_path / name))
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert problem in done.err


def test_a_deletion_and_an_unknown_job_have_no_picture(lift, ready, tmp_path):
    deletion = lift("adapters", "delete", ready, "--json").json["id"]
    picture = tmp_path / "job.png"
    assert "only trainings have stages" in lift("jobs", "show", deletion, "--timeline", str(picture)).err
    assert lift("jobs", "show", "job-nope", "--timeline", str(picture)).code == 1
    assert not picture.exists()


def test_the_port_of_another_service_is_said_to_be_one(lift, gateway, monkeypatch):
    monkeypatch.setenv("LIFT_ADMIN_ADDRESS", gateway.address)
    monkeypatch.setenv("LIFT_OPERATOR_KEY", "operator-key")
    said = lift("admin", "tenants", "list")
    assert said.code == 1
    assert said.err.startswith(
        f"The gateway cannot be reached (address: {gateway.address}, problem: what listens there"
    )


def test_an_operator_makes_a_tenant_whose_key_works(lift, monkeypatch):
    assert lift("admin", "tenants", "create", "theirs", "--max-documents", "3", "--json").json["id"] == "theirs"
    key = lift("admin", "keys", "create", "theirs", "--json").json
    assert {row["id"] for row in lift("admin", "tenants", "list", "--json").json["tenants"]} == {"mine", "theirs"}
    with monkeypatch.context() as environment:
        environment.setenv("LIFT_KEY", key["secret"])
        assert lift("documents", "list", "--json").json == {"documents": []}
        assert lift("admin", "keys", "revoke", "theirs", key["id"], "--json").code == 0
        assert lift("documents", "list").err == "The key is unknown or revoked\n"
    assert lift("admin", "nodes", "drain", "engine-1", "--json").json["draining"] is True
    assert lift("admin", "nodes", "list", "--json").json["nodes"][0]["draining"] is True


def test_an_operator_changes_what_is_given_of_a_tenant_and_nothing_else(lift):
    lift("admin", "tenants", "create", "theirs", "--title", "Theirs", "--max-documents", "3", "--max-adapters", "2")
    changed = lift(
        "admin", "tenants", "update", "theirs", "--max-adapters", "0", "--max-active-jobs", "4", "--json"
    ).json
    assert changed == lift("admin", "tenants", "show", "theirs", "--json").json
    assert (changed["title"], {name: limit for name, limit in changed["quotas"].items() if limit}) == (
        "Theirs",
        {"max_documents": 3, "max_active_jobs": 4},
    )
    assert lift("admin", "tenants", "update", "theirs", "--title", "", "--json").json["title"] == ""


def test_an_operator_sees_whose_jobs_do_not_end_and_cancels_one(lift, gateway, ready, tmp_path):
    ended = lift("adapters", "show", ready, "--json").json["job"]
    file = tmp_path / "bells.txt"
    file.write_text("The fog bell rings.")
    held, queued = (lift("ingest", str(file), "--adapter", id_, "--json").json["job"] for id_ in ("bells", "gulls"))
    gateway.claim(held)
    said = lift("admin", "jobs", "list").out
    assert [line.split()[:7] for line in said.splitlines()[1:]] == [
        ["mine", held, "train", "bells", "running", "1", "0"],
        ["mine", queued, "train", "gulls", "queued", "0", "0"],
    ]
    [shown] = lift("admin", "jobs", "list", "running", "--json").json["jobs"]
    assert (shown["tenant"], shown["id"], shown["worker"], shown["reason"]) == ("mine", held, "trainer", "")
    assert shown["lease_expires_at"] > shown["started_at"]
    both = lift("admin", "jobs", "list", "queued", "succeeded", "--tenant", "mine", "--json").json["jobs"]
    assert [row["id"] for row in both] == [queued, ended]
    assert lift("admin", "jobs", "cancel", "mine", queued, "--json").json["state"] == "cancelled"
    assert lift("jobs", "show", queued, "--json").json["state"] == "cancelled"
    assert lift("admin", "jobs", "list", "--tenant", "nobody").err == "No tenant with this id (tenant: nobody)\n"


def test_what_is_nothing_is_left_out_for_people(lift, ready):
    lift("admin", "tenants", "create", "theirs", "--max-documents", "3")
    assert "quotas      max_documents=3\n" in lift("admin", "tenants", "show", "theirs").out
    assert "quotas      -\n" in lift("admin", "tenants", "show", "mine").out
    job = lift("adapters", "show", ready, "--json").json["job"]
    assert "pairs=8 step=4 steps=4 loss=0.25 seconds=(extract=0.5 total=2)\n" in lift("jobs", "show", job).out


def test_a_title_that_looks_like_markup_is_shown_as_it_stands(lift, monkeypatch):
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"The tide bell rings.")))
    lift("ingest", "-", "--title", "[/red] tides")
    assert "[/red] tides" in lift("documents", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("query", "nope", "?"), 1, "No adapter with this id (adapter: nope)"),
        (("ingest", "/nowhere/tale.txt"), 1, "No such file or directory: /nowhere/tale.txt"),
        (("jobs", "show", "UPPER"), 1, "This is not a valid name or id (id: UPPER, expected: a letter"),
        (("query", "a", "?", "--max-tokens", "0"), 2, "Invalid value for '--max-tokens'"),
        (("query", "a", "?", "--max-tokens", "99999999999"), 2, "Invalid value for '--max-tokens'"),
        (("query", "a", "\udcff?"), 1, r"This cannot be written in utf-8: '\udcff'"),
        (("admin", "tenants", "create", "--max-documents", str(2**31)), 2, "Invalid value for '--max-documents'"),
        (("admin", "tenants", "create", "--max-document-bytes", str(2**63)), 2, "Invalid value for '--max-document-"),
        (("frobnicate",), 2, "No such command 'frobnicate'."),
        (("ingest",), 2, "Missing argument 'FILE...'."),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_goes_wrong_is_one_sentence_on_stderr(lift, arguments, code, sentence, as_json):
    done = lift(*arguments, *(["--json"] if as_json else []))
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(sentence)
    assert len(done.err.splitlines()) == 1


def test_a_stack_that_does_not_run_has_no_status_and_cannot_be_stopped(lift):
    for command in ("status", "down"):
        done = lift(command, "--json")
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("The stack of this state folder is not running")


def test_config_prints_all_settings_and_no_secret(lift, monkeypatch):
    monkeypatch.setenv("LIFT_NODE_TOKEN", "a-secret")
    monkeypatch.setenv("LIFT_GATEWAY__PORT", "7000")
    monkeypatch.setenv("LIFT_CATALOGUE__URL", "postgresql+psycopg://lift:password@host/lift")
    for content in (tomllib.loads(lift("config").out), lift("config", "--json").json):
        assert content["gateway"]["port"] == 7000
        assert content["node_token"] == content["catalogue"]["url"] == "**********"


def test_config_says_what_each_setting_is_for(lift):
    for line in filter(None, lift("config").out.splitlines()):
        assert "  # " in line


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LIFT_GATEWAY__PORT", "a port", "gateway.port"),
        ("LIFT_GATEWAY__PORT", "65536", "gateway.port"),
        ("LIFT_GATEWAY__PROT", "7000", "gateway.prot, problem: no such setting"),
        ("LIFT_GATWAY__PORT", "7000", "LIFT_GATWAY__PORT, problem: no such setting"),
        ("LIFT_CONFIG", "/nowhere/lift.toml", "no such file"),
        ("LIFT_CONFIG", __file__, "LIFT_CONFIG"),
    ],
)
def test_a_setting_that_cannot_be_is_named(lift, monkeypatch, name, value, sentence):
    monkeypatch.setenv(name, value)
    done = lift("config", "--json")
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert sentence in done.err


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from lift import cli; sys.argv = ['lift', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('grpc', 'pydantic', 'torch', 'google.protobuf') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *text, imported = done.stdout.splitlines()
    assert imported == "[]"
    commands = "up down status ingest query gateway generator trainer engine config documents adapters jobs admin"
    variables = "LIFT_ADDRESS LIFT_KEY LIFT_ADMIN_ADDRESS LIFT_OPERATOR_KEY"
    assert all(name in "\n".join(text) for name in f"{commands} {variables}".split())


def test_a_role_command_becomes_the_roles_process():
    command = [sys.executable, "-m", "lift.cli", "generator"]
    environment = {"LIFT_GENERATOR__PORT": "0", "LIFT_LOG__JSON_LINES": "true"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as role:
        started = json.loads(role.stderr.readline())
        role.terminate()  # a shell in between would not hand the signal on
        assert role.wait(timeout=120) == 0
    assert (started["role"], started["event"]) == ("generator", "generator_started")


def test_a_role_says_what_is_wrong_with_its_settings_in_one_sentence():
    command = [sys.executable, "-m", "lift.cli", "generator"]
    environment = {"LIFT_GENERATOR__PORT": "not a port"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "generator.port" in done.stderr
    assert done.stderr.count("\n") == 1
