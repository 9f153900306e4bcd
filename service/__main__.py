"""The program: `batchlens`, and the same as `python -m service`."""

import sys

from service.malloc import restart_with_bounded_malloc


def main() -> None:
    """Run the command line; `serve` with a bound on retained memory."""
    if sys.argv[1:2] == ["serve"]:
        restart_with_bounded_malloc()  # First of all: it starts again from nothing.
    from service.cli import main as run

    run()


if __name__ == "__main__":
    main()
