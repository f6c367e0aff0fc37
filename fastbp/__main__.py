"""`python -m fastbp`: the command line."""

from .command.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
