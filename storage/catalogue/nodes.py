"""Engine nodes as they report themselves: a report is a heartbeat."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from lift.errors import NodeMissing
from storage.catalogue import schema
from storage.catalogue.database import Database, now
from storage.catalogue.pages import MAX_SIZE, page_of
from storage.records import Node, Page, RevisionRef


class Nodes:
    """Engine processes, and the revisions that each holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(
        self,
        id: str,
        *,
        address: str,
        base_model: str,
        base_model_revision: str,
        slots: int,
        answers_at_once: int,
        resident: Sequence[RevisionRef],
    ) -> None:
        """Stores what a node says about itself; whether it is to be drained stays as it was said to the catalogue."""
        n = schema.nodes
        said = {
            "address": address,
            "base_model": base_model,
            "base_model_revision": base_model_revision,
            "slots": slots,
            "answers_at_once": answers_at_once,
        }
        with self._database.write() as connection:
            values = {**said, "heartbeat_at": now(connection)}
            if not connection.execute(update(n).where(n.c.id == id).values(**values)).rowcount:
                connection.execute(insert(n).values(id=id, draining=False, **values))
            if _residents(connection, id) != tuple(resident):
                _replace_residents(connection, id, resident)

    def residents(self, id: str) -> tuple[RevisionRef, ...]:
        """What the node held when it last reported, in its order; empty where it never did."""
        with self._database.read() as connection:
            return _residents(connection, id)

    def holding(self, ref: RevisionRef) -> tuple[str, ...]:
        """Ids of the nodes that said they hold the revision."""
        r = schema.residents
        held = select(r.c.node).where(r.c.tenant == ref.tenant, r.c.adapter == ref.adapter, r.c.digest == ref.digest)
        with self._database.read() as connection:
            return tuple(connection.execute(held.order_by(r.c.node)).scalars())

    def residents_of(self, tenant: str, adapter: str) -> tuple[RevisionRef, ...]:
        """Revisions of the adapter that some node said it holds, also such as were never published."""
        r = schema.residents
        held = select(r.c.digest).distinct().where(r.c.tenant == tenant, r.c.adapter == adapter)
        with self._database.read() as connection:
            digests = connection.execute(held.order_by(r.c.digest)).scalars()
            return tuple(RevisionRef(tenant=tenant, adapter=adapter, digest=digest) for digest in digests)

    def list(self) -> tuple[Node, ...]:
        """All nodes, by id, also those that have long been silent."""
        with self._database.read() as connection:
            rows = connection.execute(_counted().order_by(schema.nodes.c.id)).all()
            time = now(connection)
        return tuple(_record(row, row.resident, time) for row in rows)

    def page(self, page_size: int = 0, page_token: str = "") -> Page[Node]:
        """One page of `list`; a size of 0 is the largest. InvalidOption, MalformedPageToken."""
        with self._database.read() as connection:
            time = now(connection)
            return page_of(
                connection,
                _counted(),
                (schema.nodes.c.id,),
                page_size=page_size or MAX_SIZE,
                page_token=page_token,
                record=lambda row: _record(row, row.resident, time),
                ascending=True,
            )

    def drain(self, id: str, draining: bool) -> Node:
        """Says whether the node is to get new queries and adapters. NodeMissing."""
        n = schema.nodes
        with self._database.write() as connection:
            row = connection.execute(update(n).where(n.c.id == id).values(draining=draining).returning(n)).first()
            if row is None:
                raise NodeMissing(node=id)
            return _record(row, len(_residents(connection, id)), now(connection))

    def forget(self, silent_seconds: float) -> tuple[str, ...]:
        """Forgets the nodes that have been silent for longer, drained ones too, and returns their ids."""
        n = schema.nodes
        with self._database.write() as connection:
            silent = n.c.heartbeat_at < now(connection) - timedelta(seconds=silent_seconds)
            return tuple(connection.execute(delete(n).where(silent).returning(n.c.id)).scalars())


def _counted() -> Select[Any]:
    """Nodes with how many revisions each holds."""
    n, r = schema.nodes, schema.residents
    return select(n, select(func.count()).where(r.c.node == n.c.id).scalar_subquery().label("resident"))


def _residents(connection: Connection, node: str) -> tuple[RevisionRef, ...]:
    r = schema.residents
    rows = connection.execute(select(r).where(r.c.node == node).order_by(r.c.position))
    return tuple(RevisionRef(tenant=row.tenant, adapter=row.adapter, digest=row.digest) for row in rows)


def _replace_residents(connection: Connection, node: str, resident: Sequence[RevisionRef]) -> None:
    connection.execute(delete(schema.residents).where(schema.residents.c.node == node))
    rows = [
        {"node": node, "position": n, "tenant": ref.tenant, "adapter": ref.adapter, "digest": ref.digest}
        for n, ref in enumerate(resident)
    ]
    if rows:
        connection.execute(insert(schema.residents), rows)


def _record(row: Row[Any], resident: int, time: datetime) -> Node:
    return Node(
        id=row.id,
        address=row.address,
        base_model=row.base_model,
        base_model_revision=row.base_model_revision,
        slots=row.slots,
        answers_at_once=row.answers_at_once,
        resident=resident,
        draining=row.draining,
        heartbeat_at=row.heartbeat_at,
        silent_seconds=(time - row.heartbeat_at).total_seconds(),
    )
