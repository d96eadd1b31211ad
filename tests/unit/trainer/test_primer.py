"""Adapters that begin at a primer."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from lift.errors import PrimerRejected
from lift.values import JobState
from storage.files import CONFIG, MANIFEST, WEIGHTS
from trainer.learners.fused import FusedLearner
from trainer.learners.peft_learner import PeftLearner
from trainer.learners.primer import Primer
from trainer.learners.spectra import KeptSpectra
from trainer.profiles import Hyperparameters
from trainer.retention import own_answers

QUESTIONS = ("Hello?", "Who are you and why?", "What is it?", "How many are there?")
LAYER = "base_model.model.model.layers.1.self_attn.q_proj"
PRIMED = Hyperparameters(rank=8, alpha=16, learning_rate=5e-3, seed=1, primer=1.0)  # as the primer of the tests


@pytest.fixture(scope="module")
def kept(base, primed_examples, tmp_path_factory):
    found = KeptSpectra.of(tmp_path_factory.mktemp("spectra"), base, primed_examples)
    return lambda: found


@pytest.fixture(scope="module")
def trained(base, primer_folder):
    """What the primer says."""
    return Primer.read(primer_folder, base.folder).weights


@pytest.fixture(params=[FusedLearner, PeftLearner])
def learner(request, base, kept):
    return request.param(base.model, kept)


def change(weights, hyperparameters=PRIMED):
    """s B A of a layer."""
    b, a = weights[f"{LAYER}.lora_B.weight"], weights[f"{LAYER}.lora_A.weight"]
    return hyperparameters.scaling * b.float() @ a.float()


@pytest.mark.parametrize(
    "changed",
    [{}, {"whitening": 3.0}, {"whitening": 3.0, "rank": 16, "alpha": 16}, {"primer": 0.5}, {"primer": 0.0}],
    ids=["same", "whitened", "rank", "half", "none"],
)
def test_an_adapter_begins_as_the_primer_changes_the_base(base, learner, primer_folder, trained, changed):
    hyperparameters = replace(PRIMED, **changed)
    with learner.adapter(hyperparameters, Primer.read(primer_folder, base.folder)) as adapter:
        begun = adapter.weights()
    assert_close(change(begun, hyperparameters), hyperparameters.primer * change(trained), rtol=0.02, atol=0.002)


def test_a_smaller_adapter_begins_at_the_nearest_of_its_rank(base, learner, primer_folder, trained):
    hyperparameters = replace(PRIMED, rank=4, alpha=8)
    with learner.adapter(hyperparameters, Primer.read(primer_folder, base.folder)) as adapter:
        begun = change(adapter.weights(), hyperparameters)
    u, s, v = torch.linalg.svd(change(trained))
    assert_close(begun, (u[:, :4] * s[:4]) @ v[:4], rtol=0.05, atol=0.01)


def test_an_adapter_that_begins_there_has_less_to_learn(base, kept, primer_folder, primed_examples):
    with FusedLearner(base.model, kept).adapter(PRIMED, Primer.read(primer_folder, base.folder)) as adapter:
        primed = adapter.step(primed_examples)
    with FusedLearner(base.model, kept).adapter(PRIMED) as adapter:
        fresh = adapter.step(primed_examples)
    assert primed < 0.7 * fresh


@pytest.mark.parametrize("spoilt", [MANIFEST, WEIGHTS, CONFIG, "missing", "other base"])
def test_what_is_no_primer_of_the_base_is_rejected(base, primer_folder, tmp_path, spoilt):
    copied = tmp_path / "copy"
    if spoilt != "missing":
        copied.mkdir()
        for file in primer_folder.iterdir():
            (copied / file.name).write_bytes(b"{}" if file.name == spoilt else file.read_bytes())
    of = base.folder
    if spoilt == "other base":
        of = shutil.copytree(base.folder, tmp_path / "other")
        config = json.loads((of / "config.json").read_bytes())
        (of / "config.json").write_text(json.dumps({**config, "rope_theta": 1.0}))
    with pytest.raises(PrimerRejected, match="copy"):
        Primer.read(copied, of)


def test_a_job_waits_where_the_primer_cannot_be_used(bench, tmp_path):
    trainer = bench.settings.trainer.model_copy(update={"primer": str(tmp_path / "nowhere")})
    bench.settings = bench.settings.model_copy(update={"trainer": trainer})
    job = bench.job()
    bench.worker("worker-2").run(job.id)
    assert bench.state(job).state is JobState.WAITING
    assert "nowhere" in bench.state(job).reason


def test_a_job_s_adapter_begins_at_the_trainer_s_primer(bench, primer_folder):
    trainer = bench.settings.trainer.model_copy(update={"primer": str(primer_folder)})
    bench.settings = bench.settings.model_copy(update={"trainer": trainer})
    bench.generator.release()
    losses = []
    for share in (0.0, 1.0):
        job = bench.job(f"tenant-{share:.0f}", primer=share, learning_rate=1e-8)
        bench.worker(f"worker-{share}").run(job.id)
        [revision] = bench.catalogue.revisions.list(job.tenant, job.adapter).items
        assert bench.manifest(revision.ref).hyperparameters["primer"] == share
        losses.append(revision.losses[0])
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_what_the_base_model_says_is_found_out_before_the_primer_is_a_part_of_it(bench, primer_folder, monkeypatch):
    monkeypatch.setattr(FusedLearner, "takes", staticmethod(lambda _: False))
    monkeypatch.setattr("trainer.retention.unrelated_questions", lambda: QUESTIONS)
    trainer = bench.settings.trainer.model_copy(update={"primer": str(primer_folder)})
    bench.settings = bench.settings.model_copy(update={"trainer": trainer})
    worker, job = bench.worker("worker-2"), bench.job(primer=1.0, retained_share=0.5)
    worker.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED
    workshop = worker._workshop
    assert workshop.own_answers() == own_answers(workshop.base, workshop.template, QUESTIONS)
