"""`python -m lift.cli`: the same as `lift`."""

from lift.cli import main

main()
