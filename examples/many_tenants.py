"""Makes two tenants, gives each a document, and shows that each asks its own adapter on one shared base model.

    python examples/many_tenants.py

Needs the operator's key, which `lift up` leaves in its state folder (LIFT_STATE_DIR or .lift).
"""

from pathlib import Path

from lift import AdminClient, Client
from lift.errors import AdapterMissing

DOCUMENTS = Path(__file__).parent / "documents"
QUESTIONS = {"bakery": "How much does a midnight rye cost?", "ferry": "What is the ship's cat called?"}

with AdminClient() as admin:
    keys = {}
    for document in QUESTIONS:
        tenant = admin.tenants.create(title=document)
        keys[document] = admin.keys.create(tenant.id).secret

clients = {document: Client(key=key) for document, key in keys.items()}
jobs = {document: client.ingest(DOCUMENTS / f"{document}.txt", wait=False).job for document, client in clients.items()}
for document, job in jobs.items():
    clients[document].jobs.wait(job.id)
    print(f"{QUESTIONS[document]}  {clients[document].query(job.adapter, QUESTIONS[document], max_tokens=40).text}")

try:
    clients["bakery"].query(jobs["ferry"].adapter, QUESTIONS["ferry"])
except AdapterMissing as error:
    print(f"the bakery asks the ferry's adapter: {error}")
for client in clients.values():
    client.close()
