"""`python -m outlay` is the same as `outlay`."""

from outlay.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
