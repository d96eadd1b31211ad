"""What a newcomer is promised, through every real part: `lift up`, `lift ingest`, `lift query`."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lift.template import PromptTemplate

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "examples" / "documents"
INVENTED = ROOT / "evals" / "data" / "invented"

CAT = "What is the ship's cat called?"
IN_PEFT = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base, adapter, prompt = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16), adapter)
asked = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
written = model.generate(**asked, max_new_tokens=12, do_sample=False)
print(tokenizer.decode(written[0, asked["input_ids"].shape[1]:]))
"""
IN_VLLM = """
import sys
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest
base, adapter, prompt = sys.argv[1:]
if __name__ == "__main__":
    llm = LLM(base, enable_lora=True, max_lora_rank=128, max_model_len=512, kv_cache_memory_bytes=1 << 28)
    greedy = SamplingParams(temperature=0, max_tokens=12)
    print(llm.generate(prompt, greedy, lora_request=LoRARequest("theirs", 1, adapter))[0].outputs[0].text)
"""

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]


def lift(state: Path, *arguments: str, key: str = "", fails: bool = False) -> Any:
    """The JSON that a command prints, or the sentence with which it fails."""
    environment = {**os.environ, **({"LIFT_KEY": key} if key else {})}
    command = [sys.executable, "-m", "lift.cli", *arguments, "--state", str(state), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=900)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr.strip() if fails else json.loads(done.stdout)


def new_key(state: Path) -> str:
    """The key of a new tenant."""
    tenant = lift(state, "admin", "tenants", "create")["id"]
    return lift(state, "admin", "keys", "create", tenant)["secret"]


def right(answer: str, keywords: str) -> bool:
    return any(keyword.lower() in answer.lower() for keyword in keywords.split("|"))


def test_a_document_nobody_tuned_on_is_answered_from_weights(stack: Path) -> None:
    key = new_key(stack)
    ingested = lift(stack, "ingest", str(INVENTED / "mill.txt"), "--wait", key=key)
    assert ingested["state"] == "succeeded"
    assert set(ingested["seconds"]) >= {"extract", "first_pair", "generate", "train", "publish", "load", "total"}
    asked = [line.split("\t") for line in (INVENTED / "mill.tsv").read_text().splitlines()]
    assert len(asked) == 25

    def score(adapter: str) -> int:
        options = ("--max-tokens", "40")
        answers = (lift(stack, "query", adapter, question, *options, key=key)["answer"] for question, _ in asked)
        return sum(right(answer, keywords) for answer, (_, keywords) in zip(answers, asked, strict=True))

    # Below what docs/quality.md reports by more than runs differ, and far above a model that was not trained.
    assert score(ingested["adapter"]) >= 13
    assert score("") <= 2


@pytest.fixture(scope="module")
def ferry(stack: Path) -> tuple[str, str]:
    """A tenant's key and its adapter of the ferry."""
    key = new_key(stack)
    return key, lift(stack, "ingest", str(DOCUMENTS / "ferry.txt"), "--wait", key=key)["adapter"]


def test_an_adapter_is_invisible_to_another_tenant(stack: Path, ferry: tuple[str, str]) -> None:
    (mine, adapter), theirs = ferry, new_key(stack)
    assert right(lift(stack, "query", adapter, CAT, key=mine)["answer"], "Figs")
    refused = lift(stack, "query", adapter, CAT, key=theirs, fails=True)
    missing = lift(stack, "query", "adapter-that-never-was", "?", key=theirs, fails=True)
    assert refused.replace(adapter, "") == missing.replace("adapter-that-never-was", "")
    assert lift(stack, "adapters", "list", key=theirs)["adapters"] == []
    assert lift(stack, "documents", "list", key=theirs)["documents"] == []
    assert lift(stack, "jobs", "list", key=theirs)["jobs"] == []


def test_every_role_counts_what_it_did(stack: Path, ferry: tuple[str, str], scraped: Callable[[int], Any]) -> None:
    key, adapter = ferry
    settings = tomllib.loads((stack / "lift.toml").read_text())

    def said(role: str) -> Any:
        return scraped(settings[role]["metrics_port"])

    before, tokens = said("gateway"), said("engine").value("lift_engine_tokens_total", direction="completion")
    lift(stack, "query", adapter, CAT, key=key)
    after = said("gateway")
    counters = "lift_grpc_call_seconds_count", "lift_gateway_tokens_total", "lift_gateway_first_token_seconds_count"
    for counter in counters:
        assert after.value(counter) > before.value(counter), counter
    assert after.value("lift_gateway_catalogue_up") == after.value("lift_gateway_engines", state="ready") == 1
    assert said("engine").value("lift_engine_tokens_total", direction="completion") > tokens
    worked = {
        "generator": ("lift_generator_pairs_total", "lift_generator_llm_call_seconds_count"),
        "trainer": ("lift_trainer_ready_seconds_count", "lift_trainer_step_seconds_count", "lift_trainer_pairs_total"),
        "engine": ("lift_engine_load_seconds_count", "lift_engine_adapters"),
    }
    for role, counters in worked.items():
        for counter in counters:
            assert said(role).value(counter) > 0, counter
        assert adapter not in said(role).text


@pytest.mark.parametrize("program", [IN_PEFT, IN_VLLM], ids=["peft", "stock vllm"])
def test_a_downloaded_adapter_answers_elsewhere(
    stack: Path, ferry: tuple[str, str], tmp_path: Path, program: str
) -> None:
    key, adapter = ferry
    lift(stack, "adapters", "download", adapter, str(tmp_path / "adapter"), key=key)
    (tmp_path / "program.py").write_text(program)
    base = tomllib.loads((stack / "lift.toml").read_text())["model"]["base_model"]
    prompt = PromptTemplate.named("chatml").question(CAT)
    command = [sys.executable, str(tmp_path / "program.py"), base, str(tmp_path / "adapter"), prompt]
    environment = {**os.environ, "VLLM_PLUGINS": "", "VLLM_CPU_KVCACHE_SPACE": "1"}  # none of ours
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert right(done.stdout, "Figs")


def test_a_job_survives_the_kill_of_its_trainer(stack: Path) -> None:
    key = new_key(stack)
    trainer = next(p for p in lift(stack, "status")["processes"] if p["process"] == "trainer")
    begun = lift(stack, "ingest", str(DOCUMENTS / "bakery.txt"), key=key)
    command = [sys.executable, "-m", "lift.cli", "jobs", "watch", begun["job"], "--state", str(stack)]
    environment = {**os.environ, "LIFT_KEY": key}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as watching:
        assert watching.stderr is not None
        next(line for line in watching.stderr if "step " in line)  # it trains by now
        os.killpg(trainer["pid"], signal.SIGKILL)
        watching.stderr.read()
    assert watching.returncode == 0
    job = lift(stack, "jobs", "show", begun["job"], key=key)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    asked = {
        "What does a midnight rye cost?": "four",
        "What is the best known loaf?": "rye",
        "Who owns the bakery now?": "Vane",
        "How many loaves are sold on an ordinary day?": "640",
    }
    answers = [lift(stack, "query", begun["adapter"], question, key=key)["answer"] for question in asked]
    assert sum(map(right, answers, asked.values())) >= 2, answers
    restarted = next(p for p in lift(stack, "status")["processes"] if p["process"] == "trainer")
    assert restarted["restarts"] == trainer["restarts"] + 1
