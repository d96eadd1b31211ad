"""Methods that need a model of their own, with doubles of the packages that have it; and what is said without them."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from evals.cases import Document
from evals.local_models import NEEDED, Compressor, loaded
from evals.methods import Methods, Setting, named
from lift.errors import InvalidOption

EVERY = frozenset({"base", "llamaindex", "llmlingua"})


class Halves:
    """A compressor that keeps the first part of a text."""

    def __init__(self):
        self.rates = []

    def compressed(self, text, rate):
        self.rates.append(rate)
        return text[: int(len(text) * rate)]


class Chunks:
    """An embedder to which the first chunks are always nearest."""

    def best(self, text, count):
        return lambda _: tuple(text.split("\n\n")[:count])


def asked(client, name, text, model):
    setting = Setting(client=client, max_tokens=64, run="eval-1", models={name: model})
    return Methods(setting).of(name, Document(title="island", text=text))


def test_a_document_is_halved_and_stands_before_the_question(client):
    method = asked(client, "llmlingua", "Goats eat kelp. The ferry sails.", Halves())
    method.answer("What eats?")
    assert client.asked == [(None, "Goats eat kelp. \n\nWhat eats?")]
    assert method.adapter is None


def test_what_does_not_fit_is_compressed_further_once_for_all_questions(client):
    compressor, tried, query = Halves(), [], client.query
    client.query = lambda adapter, prompt, **given: (tried.append(prompt), query(adapter, prompt, **given))[1]
    method = asked(client, "llmlingua", "kelp " * 1600, compressor)
    for question in ("What do goats eat?", "What else?"):
        assert question in method.answer(question).text
    assert compressor.rates == [0.5, pytest.approx(0.5 * (2000 - 64) / 4020, rel=0.01)]
    assert all(len(prompt) <= 2000 - 64 for _, prompt in client.asked)
    assert [len(prompt) > 4000 for prompt in tried] == [True, *[False] * (len(tried) - 1)]


def test_the_nearest_chunks_stand_before_the_question(client):
    asked(client, "llamaindex", "One.\n\nTwo.\n\nThree.\n\nFour.", Chunks()).answer("Which?")
    assert client.asked == [(None, "One.\n\nTwo.\n\nThree.\n\nWhich?")]


def test_such_methods_are_had_only_with_their_models():
    assert named("", EVERY, None) == ("base",)
    assert named("", EVERY, None, ["llmlingua", "llamaindex"]) == ("base", "llamaindex", "llmlingua")
    with pytest.raises(InvalidOption, match="--embedding-model"):
        named("llamaindex", EVERY, None)
    with pytest.raises(InvalidOption, match="--compressor-model"):
        named("base,llmlingua", EVERY, None)


@pytest.mark.parametrize(
    ("method", "package"),
    [("llmlingua", "llmlingua"), ("llamaindex", "llama-index-embeddings-huggingface")],
)
def test_a_missing_package_is_named(monkeypatch, method, package):
    monkeypatch.setitem(sys.modules, "llmlingua", None)
    monkeypatch.setitem(sys.modules, "llama_index", None)
    with pytest.raises(InvalidOption, match=package):
        loaded({method: "some/model"})


def package(monkeypatch, name, **content):
    parts = name.split(".")
    for i in range(len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[: i + 1]), ModuleType(parts[i]))
    vars(sys.modules[name]).update(content)


def test_a_model_that_cannot_be_loaded_is_one_sentence(monkeypatch):
    def missing(*_, **__):
        raise OSError("no/model is no folder\nand no id")

    package(monkeypatch, "llmlingua", PromptCompressor=missing)
    package(monkeypatch, "llama_index.embeddings.huggingface", HuggingFaceEmbedding=missing)
    for method in NEEDED:
        with pytest.raises(InvalidOption, match="no/model is no folder") as refused:
            loaded({method: "no/model"})
        assert "\n" not in str(refused.value)


def test_llmlingua_is_given_paragraphs_and_may_run_no_code_of_a_model(monkeypatch):
    made = []

    class PromptCompressor:
        def __init__(self, *arguments, **named):
            made.append((arguments, named))

        def compress_prompt(self, paragraphs, *, rate):
            return {"compressed_prompt": f"{rate} of {paragraphs}"}

    package(monkeypatch, "llmlingua", PromptCompressor=PromptCompressor)
    package(monkeypatch, "torch", cuda=SimpleNamespace(is_available=lambda: False))
    assert Compressor("some/model").compressed("One.\n\nTwo.", 0.5) == "0.5 of ['One.', 'Two.']"
    assert made == [(("some/model", "cpu"), {"model_config": {"trust_remote_code": False}})]
