"""Turns a served revision into what it knows, by asking it closed-book.

Asked are the pairs that were kept out of training (recall), as many of the others as a limit allows, sentence by
sentence (coverage), and general questions that the base model answers right (retention).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path

import structlog

from lift.errors import JobCancelled, LeaseLost, LiftError
from lift.scoring import contains, same_answer
from storage import knowledge
from storage.journal import Pair
from storage.knowledge import AskedPair, SentenceKnowledge
from storage.objects import ObjectStore
from storage.records import Node, Revision, RevisionRef
from trainer.jobs.engines import Asked, Engines
from trainer.jobs.training import Training

PAIR_TOKENS = 64
GENERAL_TOKENS = 24

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a revision was made from; a pair's `sentence_index` is a place among the sentences."""

    sentences: tuple[SentenceKnowledge, ...]
    training: Training


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """A question about no document, and words of which the right answer has one."""

    question: str
    accepted: tuple[str, ...]

    def right(self, reply: str) -> bool:
        """Whether the reply has one of them."""
        return any(contains(reply, answer) for answer in self.accepted)


@cache
def general_questions() -> tuple[General, ...]:
    """The questions of `general.tsv`: question, tab, accepted answers with | between them."""
    lines = (Path(__file__).parent / "general.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return tuple(General(question=question, accepted=tuple(accepted.split("|"))) for question, accepted in rows)


class Examiner:
    """Examines revisions on the engines that have loaded them."""

    def __init__(self, engines: Engines, objects: ObjectStore, asked_pairs: int) -> None:
        """At most `asked_pairs` pairs of each revision are asked."""
        self._engines = engines
        self._objects = objects
        self._asked_pairs = asked_pairs
        self._base_knows: dict[str, tuple[General, ...]] = {}  # by the base model's revision

    def examine(self, node: Node | None, revision: Revision, made_of: Material, check: Callable[[], None]) -> Revision:
        """The revision with its figures; what it knows of each sentence goes to an object of its own.

        No engine, or one that goes away, costs the figures, not the revision. What `check` raises; StoreUnavailable.
        """
        known: dict[Pair, bool] = {}
        kept: float | None = None
        try:
            if node:
                check()
                general = self._known_to_base(node, revision)
                check()
                known, kept = self._asked(node, revision.ref, made_of.training, general)
        except (LeaseLost, JobCancelled):
            raise
        except LiftError as error:
            log.warning("revision_not_measured", error=str(error))
        sentences = with_pairs(made_of, known)
        knowledge.write(self._objects, revision.ref, sentences)
        recall = _share([known[pair] for pair in made_of.training.held_out if pair in known])
        coverage = _share([sentence.known for sentence in sentences if sentence.known is not None])
        log.info("revision_measured", recall=recall, coverage=coverage, retention=kept, asked=len(known))
        return replace(revision, recall=recall, coverage=coverage, retention=kept)

    def _known_to_base(self, node: Node, revision: Revision) -> tuple[General, ...]:
        """The general questions that the base model answers right; found once for each base model."""
        base = revision.base_model_revision
        if base not in self._base_knows:
            questions = general_questions()
            asked = [Asked(general.question, GENERAL_TOKENS) for general in questions]
            replies = self._engines.answers(node, revision.ref.tenant, None, asked)
            right = (general for general, reply in zip(questions, replies, strict=True) if general.right(reply))
            self._base_knows[base] = tuple(right)
        return self._base_knows[base]

    def _asked(
        self, node: Node, ref: RevisionRef, training: Training, general: Sequence[General]
    ) -> tuple[dict[Pair, bool], float | None]:
        """Which pairs the revision knows, and its share of the general questions: all asked in one go."""
        pairs = in_order_of_asking(training)[: self._asked_pairs]
        asked = [Asked(pair.question, PAIR_TOKENS) for pair in pairs]
        asked += [Asked(one.question, GENERAL_TOKENS) for one in general]
        replies = self._engines.answers(node, ref.tenant, ref, asked)
        of_pairs, of_general = replies[: len(pairs)], replies[len(pairs) :]
        known = {pair: same_answer(reply, pair.answer) for pair, reply in zip(pairs, of_pairs, strict=True)}
        return known, _share([one.right(reply) for one, reply in zip(general, of_general, strict=True)])


def in_order_of_asking(training: Training) -> list[Pair]:
    """The pairs held out, then one of those trained on of each sentence, then the second of each, and so on."""
    by_sentence: dict[int, list[Pair]] = defaultdict(list)
    for pair in training.pairs:
        if pair.question:
            by_sentence[pair.sentence_index].append(pair)
    in_turn = chain.from_iterable(zip_longest(*by_sentence.values()))
    return list(dict.fromkeys([*training.held_out, *(pair for pair in in_turn if pair is not None)]))


def with_pairs(made_of: Material, known: Mapping[Pair, bool]) -> tuple[SentenceKnowledge, ...]:
    """The sentences with their pairs, and which of those are known."""
    pairs: dict[int, list[AskedPair]] = defaultdict(list)
    for held_out, written in ((False, made_of.training.pairs), (True, made_of.training.held_out)):
        for pair in filter(lambda pair: pair.question, written):
            asked = AskedPair(question=pair.question, answer=pair.answer, held_out=held_out, known=known.get(pair))
            pairs[pair.sentence_index].append(asked)
    return tuple(
        sentence.model_copy(update={"pairs": tuple(pairs[index])}) for index, sentence in enumerate(made_of.sentences)
    )


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None
