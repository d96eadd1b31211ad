"""Turns what is wanted of adapters and revisions into the calls of AdapterService."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from lift import values
from lift.client import reading
from lift.client.call import Call, Page
from lift.errors import InternalError
from lift.ids import name_of
from lift.v1 import adapters_pb2 as pb
from lift.v1.adapters_pb2_grpc import AdapterServiceStub

DOWNLOAD_SECONDS = 600.0


def create(
    documents: Sequence[str], *, title: str, id: str | None, options: values.TrainingOptions | None
) -> Call[values.Job]:
    """Creates an adapter; the job trains its first revision."""
    request = pb.CreateAdapterRequest(
        adapter=pb.Adapter(title=title, documents=_documents(documents)),
        adapter_id=id or "",
        options=_options(options),
        request_id=str(uuid.uuid4()),
    )
    return Call(stub=AdapterServiceStub, method="CreateAdapter", request=lambda: request, read=reading.job)


def get(adapter: str) -> Call[values.Adapter]:
    """Gets an adapter."""
    request = pb.GetAdapterRequest(name=name_of("adapters", adapter))
    return Call(stub=AdapterServiceStub, method="GetAdapter", request=lambda: request, read=reading.adapter)


def page(token: str) -> Call[Page[values.Adapter]]:
    """Gets a page of the listing, newest first."""
    request = pb.ListAdaptersRequest(page_token=token)
    return Call(
        stub=AdapterServiceStub,
        method="ListAdapters",
        request=lambda: request,
        read=lambda response: reading.page(response.adapters, reading.adapter, response.next_page_token),
    )


def retrain(adapter: str, documents: Sequence[str] | None, options: values.TrainingOptions | None) -> Call[values.Job]:
    """Trains a new revision; resumes a job that failed or was cancelled where nothing changes."""
    request = pb.RetrainAdapterRequest(
        name=name_of("adapters", adapter),
        documents=_documents(documents or ()),
        options=_options(options),
        request_id=str(uuid.uuid4()),
    )
    return Call(stub=AdapterServiceStub, method="RetrainAdapter", request=lambda: request, read=reading.job)


def revisions(adapter: str) -> Callable[[str], Call[Page[values.Revision]]]:
    """The listing of an adapter's revisions, newest first."""

    def page_of(token: str) -> Call[Page[values.Revision]]:
        request = pb.ListRevisionsRequest(parent=name_of("adapters", adapter), page_token=token)
        return Call(
            stub=AdapterServiceStub,
            method="ListRevisions",
            request=lambda: request,
            read=lambda response: reading.page(response.revisions, reading.revision, response.next_page_token),
        )

    return page_of


def sentences(adapter: str, revision: str | None) -> Callable[[str], Call[Page[values.Sentence]]]:
    """The listing of a revision's sentences, of the current one's where it is None, in order."""
    name = name_of("adapters", adapter)
    parent = name_of(name, "revisions", revision) if revision else name

    def page_of(token: str) -> Call[Page[values.Sentence]]:
        request = pb.ListSentencesRequest(parent=parent, page_token=token)
        return Call(
            stub=AdapterServiceStub,
            method="ListSentences",
            request=lambda: request,
            read=lambda response: reading.page(response.sentences, reading.sentence, response.next_page_token),
        )

    return page_of


def rollback(adapter: str, revision: str) -> Call[values.Adapter]:
    """Makes an earlier revision the current one."""
    name = name_of("adapters", adapter)
    request = pb.RollbackAdapterRequest(name=name, revision=name_of(name, "revisions", revision))
    return Call(stub=AdapterServiceStub, method="RollbackAdapter", request=lambda: request, read=reading.adapter)


def delete(adapter: str) -> Call[values.Job]:
    """Deletes an adapter; the job says when everything is gone."""
    request = pb.DeleteAdapterRequest(name=name_of("adapters", adapter))
    return Call(stub=AdapterServiceStub, method="DeleteAdapter", request=lambda: request, read=reading.job)


def watch(job: str, timeout_seconds: float | None) -> Call[values.Job]:
    """Streams a job at each of its changes."""
    request = pb.WatchOperationRequest(name=name_of("operations", job))
    return Call(
        stub=AdapterServiceStub,
        method="WatchOperation",
        request=lambda: request,
        read=lambda response: reading.job(response.operation),
        timeout_seconds=timeout_seconds,
    )


def download(adapter: str, revision: str | None) -> Call[pb.DownloadRevisionResponse]:
    """Streams the files of a revision, of the current one where it is None."""
    name = name_of("adapters", adapter)
    request = pb.DownloadRevisionRequest(name=name_of(name, "revisions", revision) if revision else name)
    return Call(
        stub=AdapterServiceStub,
        method="DownloadRevision",
        request=lambda: request,
        read=lambda response: response,
        timeout_seconds=DOWNLOAD_SECONDS,
    )


class Files:
    """Writes the pieces of a download into a folder. A file has its name only once it is complete."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._sizes: dict[str, int] = {}

    def take(self, piece: pb.DownloadRevisionResponse) -> None:
        """Writes one piece. InternalError: the server gave a name that is not one of a file."""
        if piece.file_name != Path(piece.file_name).name:
            raise InternalError(problem="a downloaded file's name holds a folder")
        with self._unfinished(piece.file_name).open("ab" if piece.file_name in self._sizes else "wb") as file:
            file.write(piece.chunk)
        self._sizes[piece.file_name] = piece.file_size_bytes

    def finished(self) -> tuple[Path, ...]:
        """The files. InternalError: one is not of its announced size."""
        if any(self._unfinished(name).stat().st_size != size for name, size in self._sizes.items()):
            raise InternalError(problem="a downloaded file is not of its announced size")
        return tuple(self._unfinished(name).rename(self._folder / name) for name in self._sizes)

    def _unfinished(self, name: str) -> Path:
        return self._folder / f".{name}.part"


def _documents(ids: Sequence[str]) -> list[str]:
    return [name_of("documents", id_) for id_ in ids]


def _options(options: values.TrainingOptions | None) -> pb.TrainingOptions | None:
    if options is None:
        return None
    return pb.TrainingOptions(**{name: value for name, value in asdict(options).items() if value is not None})
