"""The catalogue: the only truth about tenants, documents, adapters, revisions, jobs and nodes.

Its calls block; asyncio code makes them with `asyncio.to_thread`. Any call can raise CatalogueUnavailable.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from lift.errors import InvalidOption
from storage.catalogue.adapters import Adapters
from storage.catalogue.database import Database
from storage.catalogue.documents import Documents
from storage.catalogue.jobs import Jobs
from storage.catalogue.keys import Keys
from storage.catalogue.leases import Leases
from storage.catalogue.nodes import Nodes
from storage.catalogue.revisions import Revisions
from storage.catalogue.tenants import Tenants


class Catalogue:
    """One database: sqlite:///path, or postgresql+psycopg://user:password@host/database.

    Of the connections that calls at once open, `kept_connections` stay: many processes share what a server allows.
    """

    def __init__(self, url: str, kept_connections: int = 2) -> None:
        self._database = Database(url, kept_connections)
        self.tenants = Tenants(self._database)
        self.keys = Keys(self._database)
        self.documents = Documents(self._database)
        self.adapters = Adapters(self._database)
        self.revisions = Revisions(self._database)
        self.jobs = Jobs(self._database)
        self.leases = Leases(self._database)
        self.nodes = Nodes(self._database)

    def migrate(self) -> None:
        """Makes or updates the tables. Every role does so at its start: one does it, the others wait for it.

        InvalidOption: a newer version of this software has updated them.
        """
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        with self._database.migration() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:  # the tables say that a migration was done which is not here
                raise InvalidOption(option="catalogue.url", problem="a newer version has updated it") from error

    def close(self) -> None:
        """Closes all connections."""
        self._database.close()
