"""Says in one sentence what is wrong with where a server is to listen."""

from lift.errors import InvalidOption


def cannot_listen(address: str) -> InvalidOption:
    """What a server says whose host and port are not to be had."""
    return InvalidOption(option="host and port", value=address, problem="taken, or none of this machine")
