"""What can be wrong with an evaluation before or while it runs; each is one sentence on stderr and exit code 1."""

from lift.errors import InvalidInput, Precondition


class DataMalformed(InvalidInput):
    """The data are not in the benchmark's format"""


class OutputTaken(Precondition):
    """The output folder holds the results of another evaluation"""
