"""Teaching a primer on lessons."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from lift.errors import BaseModelMissing, InvalidOption, PrimerRejected
from lift.teaching import Lesson, Pair
from storage.files import MANIFEST
from storage.revisions import Manifest
from storage.validation import validate
from trainer import priming
from trainer.learners.decomposition import shrunk
from trainer.learners.primer import Primer
from trainer.profiles import Hyperparameters
from trainer.workshop import Workshop

SMALL = Hyperparameters(
    rank=8, alpha=16.0, learning_rate=5e-3, epochs=2, batch_size=4, decay=True, word_dropout=0.2, primer=1.0
)


def lesson(number):
    """Facts that differ, asked for by rules in one way and by people in another."""
    pairs = [Pair(question=f"What is {number}{letter}?", answer=letter * 2) for letter in "abcd"]
    asked = [Pair(question=f"Say {number}{letter}!", answer=letter * 2) for letter in "abcd"]
    return Lesson(title=f"T{number}", pairs=(*pairs, Pair(question="", answer="As it stands.")), asked=tuple(asked))


def write(file, *lessons):
    file.write_text("".join(f"{each.model_dump_json()}\n" for each in lessons), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def workshop(base, encoder, tmp_path_factory):
    return Workshop(base, encoder._template, tmp_path_factory.mktemp("workshop"), devices=1)


def test_what_is_written_is_a_primer_from_which_lessons_of_other_titles_are_learned_sooner(tmp_path, base, workshop):
    read = priming.read_lessons(write(tmp_path / "lessons.jsonl", *map(lesson, range(48))), 0, seed=0)
    assert read.held_out
    assert not {each.title for each in read.held_out} & {each.title for each in read.taught}
    teaching = priming.Teaching(workshop, SMALL)
    result = priming.teach(read, teaching, teaching.begun(8), tmp_path / "made" / "primer", "tiny")
    assert result["lessons"] == len(read.taught)
    assert result["held_out_loss"] < 0.7 * result["held_out_loss_before"]
    folder = tmp_path / "made" / "primer"
    validate(folder, json.loads((base.folder / "config.json").read_bytes()), 8)
    manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes())
    assert (manifest.base_model, manifest.rank, manifest.data_sha256) == ("tiny", 8, read.sha256)
    assert Primer.read(folder, base.folder).scaling == SMALL.scaling


def test_a_primer_goes_on_from_another_one(tmp_path, base, workshop):
    read = priming.read_lessons(write(tmp_path / "lessons.jsonl", *map(lesson, range(16))), 0, seed=0)
    teaching = priming.Teaching(workshop, SMALL)
    first = priming.teach(read, teaching, teaching.begun(8), tmp_path / "first", "tiny")
    second = priming.teach(read, teaching, Primer.read(tmp_path / "first", base.folder), tmp_path / "second", "tiny")
    assert second["held_out_loss_before"] == pytest.approx(first["held_out_loss"], rel=0.05)
    assert second["held_out_loss"] < second["held_out_loss_before"]


def test_gradients_are_those_where_the_lesson_was_learned(workshop):
    teaching = priming.Teaching(workshop, SMALL)
    begun = teaching.begun(8)
    gradients, loss = teaching.gradients(begun, lesson(1))
    assert loss == pytest.approx(teaching.loss(begun, lesson(1)), rel=0.02)
    other, _ = teaching.gradients(begun, lesson(2))
    for name, weight in begun.weights.items():
        assert gradients[name].shape == weight.shape
    # B is zero at the primer, where an A has no gradient: it has one where the lesson was learned.
    assert all(gradients[name].any() for name in gradients)
    assert any(not gradients[name].equal(other[name]) for name in gradients)


def test_a_primer_moves_against_the_gradients_of_a_larger_adapter(workshop):
    teaching = priming.Teaching(workshop, SMALL)
    moving = teaching.moving(teaching.begun(2))
    before = moving.primer.weights
    gradients, _ = teaching.gradients(moving.primer, lesson(1))
    moving.move(gradients, 1e-2)
    for name, weight in moving.primer.weights.items():
        rows, columns = weight.shape
        own = gradients[name][:rows, :columns]
        assert ((before[name] - weight) * own.sign() >= 0).all()  # Adam's first step
        assert (before[name] - weight).abs().max() == pytest.approx(1e-2, rel=0.01)


def test_what_is_moved_of_a_whitened_layer_stays_out_of_its_strong_directions(workshop):
    plain, whitened = (priming.Teaching(workshop, replace(SMALL, whitening=w)) for w in (0.0, 30.0))
    begun = plain.begun(2)
    gradients, _ = plain.gradients(begun, lesson(1))
    spectra = workshop.spectra().spectra
    shares = []
    for teaching in (plain, whitened):
        moving = teaching.moving(begun)
        assert all(weight.allclose(begun.weights[name], atol=1e-5) for name, weight in moving.primer.weights.items())
        moving.move(gradients, 1e-2)
        name, moved = next(iter(moving.primer.weights.items()))
        step = moved - begun.weights[name]
        strongest = spectra[name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")].directions[:, :1]
        shares.append(float((step @ strongest).norm() / step.norm()))
    assert shares[1] < 0.7 * shares[0]


def test_a_primer_of_a_higher_rank_than_its_adapters_is_refused(workshop):
    teaching = priming.Teaching(workshop, SMALL)
    with pytest.raises(InvalidOption, match="rank"):
        teaching.moving(teaching.begun(16))


def test_a_smaller_one_is_the_nearest_of_its_rank_and_says_the_rest_of_itself(tmp_path, base, workshop):
    read = priming.read_lessons(write(tmp_path / "lessons.jsonl", lesson(1), lesson(2)), 0, seed=0)
    teaching = priming.Teaching(workshop, SMALL)
    priming.teach(read, teaching, teaching.begun(8), tmp_path / "primer", "tiny")
    priming.write_shrunk(tmp_path / "primer", 2, str(base.folder), tmp_path / "smaller")
    large, small = (Primer.read(tmp_path / name, base.folder) for name in ("primer", "smaller"))
    was, manifest = (Manifest.from_bytes((tmp_path / name / MANIFEST).read_bytes()) for name in ("primer", "smaller"))
    assert (manifest.rank, manifest.alpha, small.scaling) == (2, 4.0, large.scaling)
    assert (manifest.base_model, manifest.data_sha256, manifest.pairs) == ("tiny", was.data_sha256, was.pairs)
    for name, weight in shrunk(large.weights, 2).items():
        assert small.weights[name].equal(weight)
    with pytest.raises(InvalidOption, match="rank"):
        priming.write_shrunk(tmp_path / "primer", 16, str(base.folder), tmp_path / "larger")


def test_a_primer_that_is_none_is_said_before_a_base_model_is_looked_for(tmp_path):
    nowhere = str(tmp_path / "no-model")
    with pytest.raises(PrimerRejected, match=r"none.*No such file"):
        priming.write_shrunk(tmp_path / "none", 2, nowhere, tmp_path / "out")
    lessons = write(tmp_path / "lessons.jsonl", lesson(1))
    with pytest.raises(PrimerRejected, match=r"none.*No such file"):
        priming.train(lessons, tmp_path / "out", begin=tmp_path / "none", base_model=nowhere)
    with pytest.raises(BaseModelMissing):
        priming.train(lessons, tmp_path / "out", base_model=nowhere)


def test_the_loss_is_that_after_the_pairs_were_learned(workshop):
    learned, hardly = (
        priming.Teaching(workshop, replace(SMALL, learning_rate=rate, epochs=8)) for rate in (5e-3, 1e-8)
    )
    assert learned.loss(learned.begun(8), lesson(1)) < 0.9 * hardly.loss(hardly.begun(8), lesson(1))


def test_a_lesson_of_which_nothing_asked_is_short_enough_is_passed_over(tmp_path, workshop):
    long = lesson(1).model_copy(update={"asked": (Pair(question="Say it! " * 200, answer="aa"),)})
    read = priming.read_lessons(write(tmp_path / "lessons.jsonl", long, lesson(2)), 0, seed=0)
    teaching = priming.Teaching(workshop, SMALL)
    assert priming.teach(read, teaching, teaching.begun(8), tmp_path / "primer", "tiny")["lessons"] == 1


def test_as_many_lessons_are_taken_as_wanted(tmp_path):
    file = write(tmp_path / "lessons.jsonl", *map(lesson, range(20)))
    some = priming.read_lessons(file, 5, seed=0)
    assert len(some.taught) == 5
    assert some.taught == priming.read_lessons(file, 5, seed=0).taught
    assert some.taught != priming.read_lessons(file, 5, seed=1).taught


@pytest.mark.parametrize("content", ["", "no JSON\n", '{"title": "T", "pairs": [], "asked": []}\n'])
def test_what_holds_no_lessons_is_refused(tmp_path, content):
    (tmp_path / "lessons.jsonl").write_text(content)
    with pytest.raises(InvalidOption, match="--data"):
        priming.read_lessons(tmp_path / "lessons.jsonl", 0, seed=0)


def test_a_primer_of_a_rank_begins_adapters_of_another(workshop):
    primer = priming.Teaching(workshop, SMALL).begun(8)
    with workshop.learner.adapter(replace(SMALL, rank=16), primer) as adapter:
        assert len(adapter.weights()) == len(primer.weights)


@pytest.mark.parametrize("data", ["missing.jsonl", "empty.jsonl"])
def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path, data):
    (tmp_path / "empty.jsonl").write_text("")
    command = [sys.executable, "-m", "trainer.priming", "train", "--data", str(tmp_path / data), "--out"]
    ended = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    assert data in ended.stderr
    assert not (tmp_path / "out").exists()
