"""``python -m selfsort.cli``."""

from selfsort.cli import main

main(prog_name="selfsort")
