"""`lift bench recipes`: pairs are written once, each combination is trained on them, and what adapters say counts."""

import math
import tomllib
from pathlib import Path

import pytest
import torch

from benchmarks import trials
from benchmarks.closed_book import answers, chances, merged
from benchmarks.recipes import Plan, bench_recipes
from evals.errors import DataMalformed
from lift.errors import EndpointUnavailable, InvalidOption, StackStopped
from lift.settings import GeneratorSettings, ModelSettings, Settings, TrainerSettings
from lift.stack.folder import StateFolder
from lift.toml import revealed, to_toml
from trainer.profiles import Hyperparameters
from trainer.testing import ScriptedGenerator, make_tiny_model, serving
from trainer.workshop import Workshop

TOKEN = "node-token"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def generator():
    return ScriptedGenerator(TOKEN)


@pytest.fixture
def state(tmp_path, model, generator):
    """A state folder whose generator runs for as long as the test."""
    folder = StateFolder(tmp_path / "state")
    folder.path.mkdir()
    with serving(generator) as address:
        settings = Settings(
            node_token=TOKEN,
            state_dir=folder.path,
            model=ModelSettings(base_model=str(model), max_lora_rank=16),
            generator=GeneratorSettings(address=address),
            trainer=TrainerSettings(device="cpu", threads=1),
        )
        folder.config.write_text(to_toml(revealed(settings)))
        yield folder


@pytest.fixture(autouse=True)
def general(tmp_path, monkeypatch):
    """One general question in place of sixty, each of which would take the tiny model 64 tokens."""
    file = tmp_path / "general.tsv"
    file.write_text("What is a cat?\tanimal\n")
    monkeypatch.setattr(trials, "GENERAL", file)


@pytest.fixture
def document(tmp_path):
    file = tmp_path / "facts.txt"
    file.write_text("blue\nseven\n")
    file.with_suffix(".tsv").write_text("What is fact 0?\tblue\nFact 1 is what?\tseven\n")
    return file


@pytest.fixture
def tried(tmp_path, state, document):
    """Tries values on the document."""

    def recipes(**values):
        plan = Plan(state=state, data=[document], values=values, out=tmp_path / "out", say=print)
        return bench_recipes(plan)["recipes"]

    return recipes


def test_what_an_adapter_learned_is_told_from_what_it_did_not(tried):
    taught, untaught = tried(learning_rate=("0.01", "1e-8"), alpha=("16",), epochs=("40",), held_out=("0",))
    assert (taught["right"], untaught["right"]) == (2, 0)
    assert taught["expected"] > 1
    assert untaught["expected"] < 0.1
    assert taught["questions"] == untaught["questions"] == 2
    assert taught["final_loss"] < untaught["final_loss"]


def test_what_the_base_model_says_with_the_passage_takes_the_answers_place(tried):
    own, distilled = tried(distil_share=("0", "1"), learning_rate=("0.01",), alpha=("16",), epochs=("40",))
    assert own["right"] == 2
    assert distilled["right"] == 0  # an untaught model says nothing that is right
    assert distilled["expected"] < own["expected"] / 10


def test_every_combination_is_tried_on_pairs_that_were_written_once(tried, generator):
    found = tried(rank=("8",), epochs=("1", "2"), seed=("0", "1"))
    assert [recipe["set"] for recipe in found] == [
        {"rank": 8, "epochs": epochs, "seed": seed} for epochs in (1, 2) for seed in (0, 1)
    ]
    assert {recipe["pairs"] for recipe in found} == {4}
    assert len(generator.requests) == 1


def test_weights_are_asked_at_the_rank_that_is_published(tried):
    taught = {"rank": ("16",), "alpha": ("16",), "learning_rate": ("0.01",), "epochs": ("40",), "held_out": ("0",)}
    found = tried(**taught, shrink_epsilon=("0", "10"))
    assert [recipe["rank"] for recipe in found] == [16, 8]
    assert [recipe["right"] for recipe in found] == [2, 2]


def test_a_rerun_does_what_is_missing(tmp_path, tried, generator):
    before = tried(epochs=("1",))
    generator.go_down()
    assert tried(epochs=("1", "2"))[0] == before[0]
    assert len((tmp_path / "out" / "recipes.jsonl").read_text().splitlines()) == 2


def test_a_row_that_was_cut_off_is_made_anew(tmp_path, tried):
    both = tried(epochs=("1", "2"))
    rows = tmp_path / "out" / "recipes.jsonl"
    whole = rows.read_bytes()
    rows.write_bytes(whole[:-20])
    again = tried(epochs=("1", "2"))
    assert again[0] == both[0]
    assert again[1]["steps"] == both[1]["steps"]
    assert rows.read_bytes().splitlines()[0] == whole.splitlines()[0]
    assert len(rows.read_bytes().splitlines()) == 2


def test_a_line_that_is_no_row_is_named(tmp_path, tried):
    tried(epochs=("1",))
    with (tmp_path / "out" / "recipes.jsonl").open("a") as rows:
        rows.write('{"choice": {}}\n')
    with pytest.raises(DataMalformed, match="line: 2"):
        tried(epochs=("1",))


def test_pairs_that_were_not_written_whole_are_written_again(tmp_path, tried, generator, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as until_killed:
        until_killed.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            tried(epochs=("1",))
    assert not list((tmp_path / "out").glob("pairs-*.jsonl"))
    assert tried(epochs=("1",))[0]["pairs"] == 4
    assert len(generator.requests) == 2


def test_pairs_without_the_places_of_their_sentences_are_written_again(tmp_path, tried, generator):
    tried(epochs=("1",))
    (plan,) = (tmp_path / "out").glob("pairs-*.plan")
    plan.unlink()
    assert tried(epochs=("2",))[0]["pairs"] == 4
    assert len(generator.requests) == 2


def test_another_way_to_write_has_pairs_of_its_own(tried, generator):
    tried(strategy=("grounded", "raw"), epochs=("1",))
    assert [request.strategy for request in generator.requests] == ["grounded", "raw"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ranks": ("8",)}, "option: set, value: ranks"),
        ({"rank": ("x",)}, "option: set rank"),
        ({"rank": ("7",)}, "option: rank"),
        ({"second_round": ("0.1",)}, "second_round"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_is_written(tmp_path, tried, values, said):
    with pytest.raises(InvalidOption, match=said):
        tried(**values)
    assert not (tmp_path / "out").exists()


def test_a_generator_that_is_down_leaves_no_pairs_behind(tmp_path, tried, generator):
    generator.go_down(before_sentence=1)
    with pytest.raises(EndpointUnavailable):
        tried(epochs=("1",))
    assert not list((tmp_path / "out").glob("pairs-*"))


def test_a_folder_without_a_stack_is_said_to_have_none(tmp_path, document):
    with pytest.raises(StackStopped):
        bench_recipes(Plan(state=StateFolder(tmp_path), data=[document], values={}, out=tmp_path / "o", say=print))


def settings_of(state):
    return Settings.read(**tomllib.loads(state.config.read_text()))


def test_merged_weights_answer_as_the_adapter_does_and_are_gone_behind_the_block(state):
    workshop = Workshop.of(settings_of(state))
    hyperparameters = Hyperparameters(rank=8, alpha=16.0, learning_rate=0.01)
    example = workshop.encoder(512).encode("What is fact 0?", "blue")
    before = {name: weight.clone() for name, weight in workshop.base.model.named_parameters()}
    with workshop.learner.adapter(hyperparameters) as adapter:
        for _ in range(60):
            adapter.step([example])
        weights = adapter.weights()
    with merged(workshop, weights, hyperparameters.scaling):
        assert answers(workshop, ["What is fact 0?"], 8) == ["blue"]
    assert answers(workshop, ["What is fact 0?"], 8) != ["blue"]
    for name, weight in workshop.base.model.named_parameters():
        assert torch.equal(weight, before[name]), name


def test_a_chance_is_the_product_of_its_tokens(model):
    workshop = Workshop.of(Settings(model=ModelSettings(base_model=str(model)), trainer=TrainerSettings(device="cpu")))
    replies = ["blue", "seven and more"]
    encoder = workshop.encoder(512)
    expected = []
    for reply in replies:
        example = encoder.encode("What is fact 0?", reply)
        with torch.inference_mode():
            logits = workshop.base.model(input_ids=torch.tensor([example.tokens])).logits[0].float().log_softmax(-1)
        places = range(example.answer_start, len(example.tokens))
        expected.append(math.exp(sum(float(logits[place - 1, example.tokens[place]]) for place in places)))
    assert chances(workshop, "What is fact 0?", replies) == pytest.approx(expected, rel=0.05)
    assert chances(workshop, "What is fact 0?", []) == []
