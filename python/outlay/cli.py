"""The command line: `outlay demo`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from outlay.errors import InvalidAmountError
from outlay.money import nanos

MOST_ROUNDS = 200
SMALLEST_BUDGET = 20  # a share of less would not pay for one call of every role


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns its exit code: 0, 1 for trouble found, 2 for a bad request."""
    options = _parser().parse_args(argv)
    try:
        return _demo(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has left. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="outlay", description="Budgets that agents cannot overspend."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="an AutoGen group chat that cannot outspend its budget",
        description="Run a group chat of four agents on real AutoGen, with scripted models and"
        " paid tools, until its roles have spent their budgets; then print the receipt."
        " Exits with 1 if a credit is unaccounted for.",
    )
    demo.add_argument("--seed", type=int, default=7, help="which chat to play (default: 7)")
    demo.add_argument(
        "--rounds", type=_rounds, default=30, help="end after this many rounds (default: 30)"
    )
    demo.add_argument(
        "--budget",
        type=_budget,
        default=Decimal(1000),
        help="credits for the task: 40%% go to the researcher, 30%% to the writer, 15%% to the"
        " critic, 15%% stay as a buffer (default: 1000)",
    )
    demo.add_argument("--json", action="store_true", help="print one JSON document, nothing else")
    return parser


def _demo(options: argparse.Namespace) -> int:
    try:
        from outlay import demo
    except ModuleNotFoundError as error:
        print(
            f"outlay demo needs AutoGen ({error.name} is missing):"
            " pip install 'outlay[autogen,cli]'",
            file=sys.stderr,
        )
        return 2
    return demo.play(
        budget=options.budget, seed=options.seed, rounds=options.rounds, as_json=options.json
    )


def _rounds(text: str) -> int:
    try:
        rounds = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not 1 <= rounds <= MOST_ROUNDS:
        raise argparse.ArgumentTypeError(f"{rounds} is not between 1 and {MOST_ROUNDS}")
    return rounds


def _budget(text: str) -> Decimal:
    try:
        nanos(text)
        budget = Decimal(text)
    except (InvalidOperation, InvalidAmountError):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of credits") from None
    if budget < SMALLEST_BUDGET:
        raise argparse.ArgumentTypeError(
            f"{text} is too little: below {SMALLEST_BUDGET} some role could not pay for one call"
        )
    if budget != round(budget, 2):
        raise argparse.ArgumentTypeError(f"{text} has more than two decimal places")
    return budget
