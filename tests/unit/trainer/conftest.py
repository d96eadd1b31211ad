"""A tiny base model, and a trainer between real and small parts."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import grpc
import pytest

from lift.errors import CatalogueUnavailable, TenantExists
from lift.internal.v1.engine_pb2_grpc import add_EngineServiceServicer_to_server
from lift.settings import ModelSettings, Settings, TrainerSettings
from lift.template import PromptTemplate
from lift.values import Quotas
from storage import keys
from storage.files import MANIFEST
from storage.journal import Journal
from storage.memory import MemoryObjects
from storage.revisions import Manifest
from trainer import base_model
from trainer.examples.batches import Encoder
from trainer.jobs.engines import Engines
from trainer.jobs.generation import Generator
from trainer.jobs.job import Trainer
from trainer.jobs.publish import Made, write_system_adapter
from trainer.learners.fused import FusedLearner
from trainer.profiles import Hyperparameters
from trainer.testing import ScriptedGenerator, make_tiny_model, serving


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def base(model_folder):
    return base_model.load(str(model_folder), "cpu", threads=1)


@pytest.fixture(scope="session")
def encoder(base):
    return Encoder(base.tokenizer, PromptTemplate.for_vocabulary(base.tokenizer.get_vocab()), 512)


@pytest.fixture(scope="session")
def primed_examples(encoder):
    """What the primer of these tests was taught."""
    return [encoder.encode(f"How many {thing}?", thing * 3) for thing in "abcdef"]


@pytest.fixture(scope="session")
def primer_folder(base, encoder, primed_examples, tmp_path_factory):
    """A primer as it is shipped."""
    folder = tmp_path_factory.mktemp("primer") / "tiny"
    hyperparameters = Hyperparameters(rank=8, alpha=16, learning_rate=5e-3)
    with FusedLearner(base.model).adapter(hyperparameters) as adapter:
        for _ in range(10):
            adapter.step(primed_examples)
        weights = adapter.weights()
    made = Made(
        base=base,
        template=PromptTemplate.for_vocabulary(base.tokenizer.get_vocab()),
        hyperparameters=hyperparameters,
        data_sha256="0" * 64,
        sentences=1,
        pairs=len(primed_examples),
    )
    write_system_adapter(folder, weights, made)
    return folder


TOKEN = "node-token"


class Outage:
    """A catalogue's database that cannot be reached while the outage lasts; `refused` counts who tried."""

    def __init__(self, catalogue):
        self._lasts = threading.Event()
        self.refused = 0
        database = catalogue._database
        database.read, database.write = self._unless_away(database.read), self._unless_away(database.write)

    def begin(self):
        self._lasts.set()

    def end(self):
        self._lasts.clear()

    def _unless_away(self, transaction):
        def begun():
            if self._lasts.is_set():
                self.refused += 1
                raise CatalogueUnavailable
            return transaction()

        return begun


class Bench:
    """A trainer on a catalogue, a store in memory and a scripted generator, and what tests do with them."""

    def __init__(self, catalogue, model_folder, generator, address, state_dir):
        self.catalogue = catalogue
        self.objects = MemoryObjects()
        self.generator = generator
        self.stopping = threading.Event()
        self.settings = Settings(
            node_token=TOKEN,
            state_dir=state_dir,
            model=ModelSettings(base_model=str(model_folder), max_lora_rank=8),
            trainer=TrainerSettings(lease_seconds=30, max_attempts=2, retry_seconds=0.5, device="cpu", threads=1),
        )
        self.client = Generator(address, TOKEN)
        self.trainer = self.worker("worker-1")

    def worker(self, name):
        engines = Engines(self.catalogue.nodes, token=TOKEN, node_timeout_seconds=3600, load_timeout_seconds=60)
        return Trainer(
            self.settings,
            catalogue=self.catalogue,
            objects=self.objects,
            generator=self.client,
            engines=engines,
            worker=name,
            stopping=self.stopping.is_set,
        )

    def document(self, tenant, content, media_type="text/plain"):
        """A document's id; the tenant is made where there is none."""
        with contextlib.suppress(TenantExists):
            self.catalogue.tenants.create(id=tenant, title="", quotas=Quotas())
        digest = sha256(content).hexdigest()
        return self.catalogue.documents.create(
            tenant,
            title="Facts",
            media_type=media_type,
            sha256=digest,
            size_bytes=len(content),
            put=lambda id_: self.objects.put(keys.document(tenant, id_, digest), content),
        ).id

    def job(self, tenant="acme", content=b"one\ntwo\nthree\nfour\n", media_type="text/plain", **options):
        """A queued job of a new adapter."""
        document = self.document(tenant, content, media_type)
        options = {"rank": 8, "epochs": 2, "batch_size": 4, **options}
        return self.catalogue.adapters.create(
            tenant, id=None, title="", documents=[document], base_model="tiny", options=options
        )[1]

    def state(self, job):
        """The job as it is now."""
        return self.catalogue.jobs.get(job.tenant, job.id)

    def journal(self, job):
        """What the job's journal holds."""
        return Journal(self.objects, job.tenant, job.id, 0).read()

    def manifest(self, ref):
        """The manifest of a revision."""
        return Manifest.from_bytes(self.objects.get(keys.revision(ref, MANIFEST)))

    def outage(self):
        """An outage of the catalogue, to begin and to end."""
        return Outage(self.catalogue)

    def outage_at(self, nouns, method):
        """One that begins when that method of the catalogue is called for the first time."""
        outage, call = self.outage(), getattr(nouns, method)
        beginnings = iter([outage.begin])

        def cut_off(*arguments):
            next(beginnings, lambda: None)()
            return call(*arguments)

        setattr(nouns, method, cut_off)
        return outage

    @contextlib.contextmanager
    def running(self, job):
        """Runs the job in a thread while the block lasts, and waits for its end."""
        thread = threading.Thread(target=self.trainer.run, args=[job.id])
        thread.start()
        yield thread
        self.generator.release()
        thread.join(120)
        assert not thread.is_alive()


@pytest.fixture
def bench(catalogue, model_folder, tmp_path):
    generator = ScriptedGenerator(TOKEN)
    with serving(generator) as address:
        bench = Bench(catalogue, model_folder, generator, address, tmp_path / "state")
        yield bench
        bench.stopping.set()
        bench.client.close()


@pytest.fixture
def start(catalogue):
    """Starts an engine and has it report to the catalogue."""
    servers = []

    def started(node, engine, base_model_revision="base-1"):
        server = grpc.server(ThreadPoolExecutor(max_workers=16))
        add_EngineServiceServicer_to_server(engine, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        servers.append(server)
        catalogue.nodes.report(
            node,
            address=address,
            base_model="tiny",
            base_model_revision=base_model_revision,
            slots=4,
            answers_at_once=8,
            resident=[],
        )
        return engine

    yield started
    for server in servers:
        server.stop(None).wait()
