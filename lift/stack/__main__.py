"""`python -m lift.stack FOLDER`: the supervisor of a detached stack; says on stderr what went wrong."""

import sys
from pathlib import Path

from lift import logs
from lift.errors import LiftError
from lift.stack.folder import StateFolder
from lift.stack.up import up

if __name__ == "__main__":
    logs.configure(role="supervisor")
    try:
        up(StateFolder(Path(sys.argv[1])), ready=lambda _: None)
    except LiftError as error:
        sys.exit(str(error))
