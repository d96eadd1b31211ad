"""Turns a waiting job into a published revision: claim, read, train, publish, load, measure, commit."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Self

import structlog

from lift import logs
from lift.errors import (
    BaseModelMissing,
    InternalError,
    InvalidOption,
    JobCancelled,
    LeaseLost,
    LiftError,
    PrimerRejected,
    RecallTooLow,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from lift.internal.v1 import generator_pb2
from lift.settings import Settings
from lift.values import JobKind, Stage
from storage import keys
from storage.catalogue import Catalogue
from storage.journal import Journal
from storage.knowledge import SentenceKnowledge
from storage.objects import ObjectStore
from storage.records import Job, Lease, Revision, RevisionRef
from storage.s3 import S3Objects
from storage.text import read_text
from trainer import metrics
from trainer.jobs.engines import Engines
from trainer.jobs.examination import Examiner, Material
from trainer.jobs.generation import Generator, Source
from trainer.jobs.hold import Hold, Stopping
from trainer.jobs.publish import Made, publish
from trainer.jobs.scope import scope_of
from trainer.jobs.shrink import shrink
from trainer.jobs.stream import PairStream
from trainer.jobs.teacher import Teacher
from trainer.jobs.training import train
from trainer.learners.shared import SharedLearner
from trainer.metrics import Outcome
from trainer.profiles import Hyperparameters, hyperparameters
from trainer.workshop import Workshop

MAX_PAUSE_SECONDS = 300.0
JOIN_AFTER_SECONDS = 1.0

log = structlog.get_logger()


class Unworthy(Exception):
    """A revision is there, and must not become current."""

    def __init__(self, revision: Revision, error: LiftError) -> None:
        super().__init__(str(error))
        self.revision = revision
        self.error = error


class Trainer:
    """Runs jobs as one worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalogue: Catalogue,
        objects: ObjectStore,
        generator: Generator,
        engines: Engines,
        worker: str,
        stopping: Callable[[], bool],
    ) -> None:
        """`worker` names this process in leases; `stopping` says whether the job in hand must be given back."""
        self._settings = settings
        self._catalogue = catalogue
        self._objects = objects
        self._generator = generator
        self._engines = engines
        self._worker = worker
        self._stopping = stopping
        self._in_hand: list[Job] = []
        self._workshop: Workshop | None = None
        self._loading = threading.Lock()
        self._examiner = Examiner(engines, objects, settings.trainer.asked_pairs)

    @classmethod
    def of(cls, settings: Settings, *, worker: str, stopping: Callable[[], bool]) -> Self:
        """A trainer on the catalogue, store, generator and engines that the settings name."""
        catalogue = Catalogue(settings.catalogue.url.get_secret_value())
        token = settings.node_token.get_secret_value()
        return cls(
            settings,
            catalogue=catalogue,
            objects=S3Objects(settings.objects),
            generator=Generator(settings.generator.address, token),
            engines=Engines(
                catalogue.nodes,
                token=token,
                node_timeout_seconds=settings.gateway.node_timeout_seconds,
                load_timeout_seconds=settings.trainer.publish_timeout_seconds,
            ),
            worker=worker,
            stopping=stopping,
        )

    def warm_up(self) -> None:
        """Makes ready what jobs share ahead of the first one; what is wrong with it is said by that job."""
        try:
            workshop = self._warm()
            chosen = hyperparameters({}, self._settings.trainer.profile, self._settings.model.max_lora_rank)
            if chosen.retained_share:
                workshop.own_answers()
            if chosen.whitening:
                workshop.spectra()
            if chosen.scope:
                workshop.vocabulary()
        except (BaseModelMissing, PrimerRejected, InvalidOption) as error:
            log.error("warm_up_failed", error=str(error))

    def at_once(self) -> int:
        """How many jobs may run in threads of this process at the moment."""
        shared = self._workshop is not None and isinstance(self._workshop.learner, SharedLearner)
        return self._settings.trainer.jobs_at_once if shared and not self._stopping() else 1

    def joinable(self, limit: int) -> tuple[str, ...]:
        """Jobs that no idle trainer takes; none until one is in hand, nor beside one that a trainer died over."""
        alone = not self._in_hand or any(job.crashes for job in self._in_hand)
        return self._catalogue.leases.joinable(limit, JOIN_AFTER_SECONDS) if limit and not alone else ()

    def run(self, job_id: str) -> None:
        """Does the job, where it is still waiting to be done, and writes down how it ended."""
        lease_seconds = self._settings.trainer.lease_seconds
        lease = self._catalogue.leases.claim(job_id, JobKind.TRAIN, self._worker, lease_seconds)
        if lease is None:
            return
        job = lease.job
        outcome = Outcome.CRASHED
        with logs.bound(job=job.id, tenant=job.tenant, adapter=job.adapter), metrics.RUNNING.track_inprogress():
            log.info("job_claimed", attempt=job.attempts, crashes=job.crashes, token=lease.token)
            self._in_hand.append(job)
            try:
                outcome = self._settle(lease, lease_seconds)
            except LeaseLost:
                outcome = Outcome.LOST
                log.warning("lease_lost", token=lease.token)
            except Stopping:
                outcome = Outcome.LOST
                log.warning("job_abandoned", token=lease.token)
            finally:
                self._in_hand.remove(job)
                metrics.JOBS.labels(outcome).inc()

    def _settle(self, lease: Lease, lease_seconds: float) -> Outcome:
        """Does the job and turns every way it can end into one write, which waits for a catalogue that is away.

        What nobody foresaw passes through: the lease then runs out, as if the process had died, and the next claim
        counts it as a crash. So does a stop that cannot be written down.
        """
        leases, job = self._catalogue.leases, lease.job
        with Hold(leases, lease, lease_seconds=lease_seconds, stopping=self._stopping) as hold:
            if job.crashes >= self._settings.trainer.max_attempts:
                log.error("job_given_up", crashes=job.crashes)
                reason = f"The trainer stopped unexpectedly {job.crashes} times while it worked on this job"
                hold.insist(leases.fail, lease, reason)
                return Outcome.FAILED
            outcome = Outcome.FAILED
            try:
                revision = self._do(hold)
                log.info("job_succeeded", revision=revision.digest)
                outcome = Outcome.SUCCEEDED
            except LeaseLost:
                raise
            except Stopping:
                log.info("job_given_back")
                hold.insist(leases.wait, lease, "The trainer was stopped", 0)
                outcome = Outcome.GIVEN_BACK
            except JobCancelled:
                log.info("job_cancelled")
                hold.insist(leases.cancelled, lease)
                outcome = Outcome.CANCELLED
            except (Unavailable, Unauthenticated, TimedOut, BaseModelMissing, PrimerRejected) as outage:
                pause = min(MAX_PAUSE_SECONDS, self._settings.trainer.retry_seconds * 2 ** min(job.attempts - 1, 16))
                log.warning("job_waits", error=str(outage), pause_seconds=pause)
                hold.insist(leases.wait, lease, str(outage), pause)
                outcome = Outcome.WAITS
            except Unworthy as made:
                log.warning("job_failed", error=str(made.error), revision=made.revision.ref.digest)
                hold.insist(leases.fail, lease, str(made.error), made.revision)
            except InternalError:
                raise
            except LiftError as error:
                log.warning("job_failed", error=str(error))
                hold.insist(leases.fail, lease, str(error))
        return outcome

    def _do(self, hold: Hold) -> RevisionRef:
        job = hold.lease.job
        accepted = datetime.now(UTC) - job.created_at
        began_at = time.monotonic()
        hold.report(stage=Stage.EXTRACT)
        hold.took(queue=accepted.total_seconds())
        chosen = hyperparameters(job.options, self._settings.trainer.profile, self._settings.model.max_lora_rank)
        with hold.timed("extract"):
            sources = self._read(job)
        with hold.timed("warm_up"):
            workshop = self._warm()
        hold.check()
        revision, made_of = self._train(hold, sources, chosen, workshop)
        check = partial(hold.check, finishing=True)
        hold.report(stage=Stage.LOAD)
        with hold.timed("load"):
            node = hold.insist(self._engines.load, revision.ref, revision.base_model_revision, check)
        hold.report(stage=Stage.MEASURE)
        with hold.timed("measure"):
            revision = self._examiner.examine(node, revision, made_of, check)
        hold.took(total=accepted.total_seconds() + time.monotonic() - began_at)
        hold.beat()
        hold.check(finishing=True)
        if revision.recall is not None and revision.recall < chosen.min_recall:
            raise Unworthy(revision, RecallTooLow(recall=round(revision.recall, 3), min_recall=chosen.min_recall))
        hold.insist(self._catalogue.leases.publish, hold.lease, revision)
        metrics.READY_SECONDS.observe((datetime.now(UTC) - job.created_at).total_seconds())
        return revision.ref

    def _read(self, job: Job) -> list[Source]:
        """The job's documents as text. DocumentMissing, ObjectMissing, and the errors of `read_text`."""
        sources = []
        for id in job.documents:
            document = self._catalogue.documents.get(job.tenant, id)
            content = self._objects.get(keys.document(job.tenant, document.id, document.sha256))
            sources.append(Source(title=document.title, text=read_text(content, document.media_type)))
        return sources

    def _warm(self) -> Workshop:
        with self._loading:
            if self._workshop is None:
                self._workshop = Workshop.of(self._settings)
            return self._workshop

    def _train(
        self, hold: Hold, sources: Sequence[Source], chosen: Hyperparameters, workshop: Workshop
    ) -> tuple[Revision, Material]:
        """Trains while the questions are being written, and publishes the files."""
        job = hold.lease.job
        encoder = workshop.encoder(chosen.max_pair_tokens)
        journal = Journal(self._objects, job.tenant, job.id, hold.lease.token)
        beside = workshop.beside(chosen)
        with (
            workshop.learner.adapter(chosen, workshop.primer) as adapter,
            PairStream(journal, lambda done: self._generator.generate(sources, job.options, done)) as stream,
        ):
            training = train(
                stream,
                encoder,
                adapter,
                chosen,
                hold,
                beside=beside,
                teacher=Teacher.of(workshop.base, encoder, sources, stream, chosen.distil_share),
                again=lambda weak: self._again(journal, sources, job, set(range(stream.sentences)) - weak),
            )
            plan = stream.plan
            hold.report(stage=Stage.PUBLISH)
            with hold.timed("publish"):
                weights = shrink(adapter, training.examples, chosen)
        made = Made(
            base=workshop.base,
            template=workshop.template,
            hyperparameters=chosen,
            data_sha256=training.data_sha256,
            sentences=len(plan),
            pairs=len(training.pairs),
        )
        with hold.timed("publish"):
            scope = scope_of(training, workshop.vocabulary, chosen)
            revision = publish(self._objects, job, weights, made, losses=training.losses, scope=scope)
        return revision, Material(sentences=_sentences(plan, job.documents, sources), training=training)

    def _again(self, journal: Journal, sources: Sequence[Source], job: Job, known: Collection[int]) -> PairStream:
        """More pairs about every sentence but those that are known."""
        return PairStream(journal, lambda _: self._generator.generate(sources, job.options, sorted(known)))


def _sentences(
    plan: Sequence[generator_pb2.Sentence], documents: Sequence[str], sources: Sequence[Source]
) -> tuple[SentenceKnowledge, ...]:
    return tuple(
        SentenceKnowledge(
            document=documents[place.document],
            start=place.start,
            end=place.end,
            text=sources[place.document].text[place.start : place.end],
        )
        for place in plan
    )
