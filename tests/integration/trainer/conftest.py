"""The trainer's process between a real broker, a real store, a real catalogue and a scripted generator."""

import contextlib
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from lift.errors import TenantExists
from lift.values import Quotas
from storage import keys
from storage.journal import Journal, Pair
from storage.s3 import S3Objects
from storage.wakeups import CeleryWakeups
from trainer.testing import ScriptedGenerator, make_tiny_model, serving

TOKEN = "node-token"
LEASE_SECONDS = 6  # longer than a busy machine keeps a heartbeat waiting; tests wait for its end
STOP_SECONDS = 120


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


class Deployment:
    """What the trainer's process is connected to, the process itself, and what tests do with them."""

    def __init__(self, catalogue, s3_settings, broker_url, generator, folder):
        self.catalogue = catalogue
        self.objects = S3Objects(s3_settings)
        self.generator = generator
        self.broker_url = broker_url
        self.queue = folder.name  # tests share a broker
        self.wakeups = CeleryWakeups(broker_url, self.queue)
        self.log = folder / "trainer.log"
        self.process = None
        self.environment = os.environ | {
            "LIFT_OBJECTS__ENDPOINT": s3_settings.endpoint,
            "LIFT_OBJECTS__ACCESS_KEY": s3_settings.access_key,
            "LIFT_OBJECTS__SECRET_KEY": s3_settings.secret_key.get_secret_value(),
            "LIFT_OBJECTS__BUCKET": s3_settings.bucket,
            "LIFT_QUEUE__URL": broker_url,
            "LIFT_QUEUE__NAME": self.queue,
            "LIFT_MODEL__MAX_LORA_RANK": "8",
            "LIFT_NODE_TOKEN": TOKEN,
            "LIFT_TRAINER__LEASE_SECONDS": str(LEASE_SECONDS),
            "LIFT_TRAINER__SWEEP_SECONDS": "0.2",
            "LIFT_TRAINER__RETRY_SECONDS": "0.2",
            "LIFT_TRAINER__THREADS": "1",
        }

    def start(self, **changes):
        """Starts the trainer, with other settings where given; its log is printed where the test fails."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainer"],
                env=self.environment | changes,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[3],
            )

    def child(self):
        """Process id of the child that trains: torch makes it the largest."""
        children = psutil.Process(self.process.pid).children()
        return max(children, key=lambda child: child.memory_info().rss).pid

    def kill(self):
        """Kills the process and its children, as a power cut would."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait()

    def stop(self):
        """Stops the process as an operator would; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            if self.process.poll() is None:
                self.kill()

    def job(self, tenant="acme", lines=4, wake=True, **options):
        """A queued job about as many sentences."""
        content = "".join(f"{tenant} fact {index}\n" for index in range(lines)).encode()
        digest = sha256(content).hexdigest()
        with contextlib.suppress(TenantExists):
            self.catalogue.tenants.create(id=tenant, title="", quotas=Quotas())
        document = self.catalogue.documents.create(
            tenant,
            title="Facts",
            media_type="text/plain",
            sha256=digest,
            size_bytes=len(content),
            put=lambda id_: self.objects.put(keys.document(tenant, id_, digest), content),
        )
        options = {"rank": 8, "epochs": 2, "batch_size": 4, **options}
        job = self.catalogue.adapters.create(
            tenant, id=None, title="", documents=[document.id], base_model="tiny", options=options
        )[1]
        if wake:
            self.wakeups.wake(job.id)
        return job

    def state(self, job):
        """The job as it is now."""
        return self.catalogue.jobs.get(job.tenant, job.id)

    def pairs(self, job):
        """The pairs in the job's journal."""
        entries = Journal(self.objects, job.tenant, job.id, 0).read()
        return [entry for entry in entries if isinstance(entry, Pair)]


@pytest.fixture
def own_parts(sqlite_url, model_folder):
    """Settings of what is this test's own."""
    return {"LIFT_CATALOGUE__URL": sqlite_url, "LIFT_MODEL__BASE_MODEL": str(model_folder)}


@pytest.fixture
def deployment(catalogue, s3_settings, broker_url, own_parts, tmp_path):
    generator = ScriptedGenerator(TOKEN)
    with serving(generator) as address:
        deployment = Deployment(catalogue, s3_settings, broker_url, generator, tmp_path)
        deployment.environment |= own_parts | {"LIFT_GENERATOR__ADDRESS": address}
        yield deployment
        if deployment.process is not None and deployment.process.poll() is None:
            deployment.kill()
        if deployment.log.exists():
            print(deployment.log.read_text()[-8000:])  # noqa: T201 - shown where the test failed
    deployment.wakeups.close()
    deployment.objects.close()
