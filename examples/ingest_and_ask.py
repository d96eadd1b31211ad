"""Turns one document into an adapter and asks it: the shortest program an application developer writes.

    python examples/ingest_and_ask.py

Finds gateway and key in the state folder of `lift up` (LIFT_STATE_DIR or .lift), or in LIFT_ADDRESS and LIFT_KEY.
"""

from pathlib import Path

from lift import Client

DOCUMENT = Path(__file__).parent / "documents" / "bakery.txt"

with Client() as client:
    ingested = client.ingest(DOCUMENT, title="The Copper Goose")
    print(f"adapter {ingested.adapter}, trained on {ingested.job.progress.pairs} question-answer pairs")

    for piece in client.stream(ingested.adapter, "What is the best known loaf of the bakery?"):
        print(piece, end="", flush=True)
    print()
