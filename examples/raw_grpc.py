"""Ingests a document and asks it with nothing but grpcio and the stubs of lift.v1: what any language would do.

    python examples/raw_grpc.py [FILE] [QUESTION]

Reads the address and the key from STATE/client.json, which `lift up` writes (STATE is LIFT_STATE_DIR or .lift). A
document that is there already is used: the error says which one it is.
"""

import json
import os
import sys
import uuid
from pathlib import Path

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lift.v1 import adapters_pb2, adapters_pb2_grpc, documents_pb2, documents_pb2_grpc, queries_pb2, queries_pb2_grpc

HERE = Path(__file__).parent


def main(file: Path, question: str) -> None:
    client = json.loads((Path(os.environ.get("LIFT_STATE_DIR", ".lift")) / "client.json").read_text())
    credential = (("authorization", f"Bearer {client['key']}"),)
    with grpc.insecure_channel(client["address"]) as channel:
        document = document_of(file, documents_pb2_grpc.DocumentServiceStub(channel), credential)
        operation = adapters_pb2_grpc.AdapterServiceStub(channel).CreateAdapter(
            adapters_pb2.CreateAdapterRequest(
                adapter=adapters_pb2.Adapter(title=file.stem, documents=[document]), request_id=str(uuid.uuid4())
            ),
            metadata=credential,
            timeout=30,
        )
        while not operation.done:
            request = operations_pb2.WaitOperationRequest(name=operation.name)
            request.timeout.FromSeconds(60)
            operation = operations_pb2_grpc.OperationsStub(channel).WaitOperation(
                request, metadata=credential, timeout=90
            )
        if operation.HasField("error"):
            raise SystemExit(operation.error.message)
        adapter = adapters_pb2.Adapter()
        operation.response.Unpack(adapter)

        query = queries_pb2.QueryRequest(adapter=adapter.name, question=question, max_tokens=40)
        for piece in queries_pb2_grpc.QueryServiceStub(channel).StreamQuery(
            queries_pb2.StreamQueryRequest(query=query), metadata=credential, timeout=60
        ):
            print(piece.delta, end="", flush=True)
            if piece.HasField("end"):
                print(f"\n({piece.end.usage.prompt_tokens} prompt tokens, {piece.end.usage.total_seconds:.2f} s)")


def document_of(
    file: Path, documents: documents_pb2_grpc.DocumentServiceStub, credential: tuple[tuple[str, str], ...]
) -> str:
    """documents/{document} of the file's bytes, sent where they are not there yet."""
    request = documents_pb2.CreateDocumentRequest(
        document=documents_pb2.Document(title=file.stem, media_type="text/plain"),
        content=file.read_bytes(),
        request_id=str(uuid.uuid4()),
    )
    try:
        return documents.CreateDocument(request, metadata=credential, timeout=30).name
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        info = error_details_pb2.ErrorInfo()  # every error has one
        if not rpc_status.from_call(error).details[0].Unpack(info):
            raise
        return f"documents/{info.metadata['document']}"


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        Path(arguments[0]) if arguments else HERE / "documents" / "ferry.txt",
        arguments[1] if len(arguments) > 1 else "Who is the captain of the Saint Orla?",
    )
