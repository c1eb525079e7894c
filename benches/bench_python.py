"""What outlay costs in Python, in one run: calls, threads, memory.

    python benches/bench_python.py [--json] [--rounds N] [--only calls|threads|memory]

All cases take turns within each round, so that what slows the machine slows all of them. A ratio is
the median of the rounds' ratios; a time is the best of the rounds, with the median beside it. Calls
are timed by the processor time that they had, threads by the wall.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from timeit import Timer

from dict_wallet import DictWallet, NoMoneyError

import outlay
from outlay import _engine

TURN = 0.01  # seconds
MILLION = 1_000_000
EMPTY_LOOP = "pass"
EMPTY = 'idle.spend(5, service="search")'


# Calls


def chain(parent, depth, *, shared):
    """Return the last of a chain of wallets that is `depth` long, its first included."""
    for level in range(2, depth + 1):
        name = f"{'shared' if shared else 'slice'} {depth}.{level}"
        parent = parent.create_child(name, 10**8 * (depth + 1 - level), shared=shared)
    return parent


def names():
    """Return what the statements below can use."""
    ledger = outlay.Ledger()
    task = ledger.wallets.create("task", 2 * 10**9)
    homemade = homemade4 = DictWallet("task", 10**12)
    for name in "abc":
        homemade4 = DictWallet(name, 10**12, homemade4)
    return {
        "idle": _engine.Idle(),
        "wallet": task.create_child("agent", 10**9 // 4),
        "spender": task.create_child("other agent", 10**8).spender(),
        "slice1": ledger.wallets.create("slice 1", 10**8),
        "slice4": chain(ledger.wallets.create("slice 4", 10**9 // 2), 4, shared=False),
        "slice16": chain(task, 16, shared=False),
        "shared2": chain(task, 2, shared=True),
        "shared4": chain(task, 4, shared=True),
        "poor": task.create_child("poor", 1),
        "homemade": homemade,
        "homemade4": homemade4,
        "poor_homemade": DictWallet("poor", 1),
        "metadata": {"query": "agents", "page": 2},
        "cost": outlay.money.decimal(50_000_000),
        "InsufficientCreditsError": outlay.InsufficientCreditsError,
        "NoMoneyError": NoMoneyError,
    }


def refused(call, error, then="pass"):
    """Return a statement that makes a call and expects an error."""
    return f"try:\n    {call}\nexcept {error}:\n    {then}"


CALLS = {
    "What the call costs before it does anything": {
        "an empty loop": EMPTY_LOOP,
        "empty method(5)": "idle.spend(5)",
        "empty method(5, service)": EMPTY,
        "empty method, all labels": 'idle.spend(5, service="a", agent="b", run="c", model="d")',
    },
    "Spending": {
        "spend(5)": "wallet.spend(5)",
        "spend(5, service)": 'wallet.spend(5, service="search")',
        "spend, all labels": 'wallet.spend(5, service="a", agent="b", run="c", model="d")',
        "spend(5, service, metadata)": 'wallet.spend(5, service="search", metadata=metadata)',
        'spend("0.05", service)': 'wallet.spend("0.05", service="search")',
        "spend(0.05, service)": 'wallet.spend(0.05, service="search")',
        'spend(Decimal("0.05"), service)': 'wallet.spend(cost, service="search")',
        "try_spend(5, service)": 'wallet.try_spend(5, service="search")',
        "spender.spend(5, service)": 'spender.spend(5, service="search")',
    },
    "Reserving": {
        "reserve(5).commit()": "wallet.reserve(5).commit()",
        "reserve(5, service).commit()": 'wallet.reserve(5, service="search").commit()',
        "reserve(5, service).commit(4)": 'wallet.reserve(5, service="search").commit(4)',
        "reserve(5).release()": "wallet.reserve(5).release()",
        "with reserve(5, service)": 'with wallet.reserve(5, service="search"):\n    pass',
        "with a ttl": 'with wallet.reserve(5, service="search", ttl=60):\n    pass',
    },
    "Being refused": {
        "try_spend -> None": 'poor.try_spend(5, service="search")',
        "try_reserve -> None": 'poor.try_reserve(5, service="search")',
        "InsufficientCreditsError": refused(
            'poor.spend(5, service="search")', "InsufficientCreditsError"
        ),
        "and its message": refused(
            'poor.spend(5, service="search")', "InsufficientCreditsError as error", "str(error)"
        ),
    },
    "Deeper in the tree: spend(5, service)": {
        "slice, depth 1": 'slice1.spend(5, service="search")',
        "slice, depth 4": 'slice4.spend(5, service="search")',
        "slice, depth 16": 'slice16.spend(5, service="search")',
        "shared, depth 2": 'shared2.spend(5, service="search")',
        "shared, depth 4": 'shared4.spend(5, service="search")',
    },
    "Reading": {
        "wallet.available": "wallet.available",
        "wallet.spent": "wallet.spent",
        "charge.amount": "charge.amount",
    },
    "A dict and a lock (benches/dict_wallet.py)": {
        "dict: spend(5, service)": 'homemade.spend(5, service="search")',
        "dict: reserve and commit": 'homemade.commit(homemade.reserve(5), service="search")',
        "dict: refused": refused('poor_homemade.spend(5, service="search")', "NoMoneyError"),
        "dict: spend(5, service), depth 4": 'homemade4.spend(5, service="search")',
    },
}


def timers(given):
    """Return by case its timer, and how many repeats fill a turn."""
    # timeit switches the collector off; programs do not.
    made = {}
    for cases in CALLS.values():
        for case, statement in cases.items():
            names_and_gc = {**given, "gc": gc}
            timer = Timer(statement, "gc.enable()", time.process_time, globals=names_and_gc)
            made[case] = timer, max(1_000, int(2_000 * TURN / timer.timeit(2_000)))
    return made


def calls(rounds):
    """Time every call; return by case the nanoseconds of each round."""
    given = names()
    given["charge"] = given["wallet"].spend(5)
    made = timers(given)
    took = {case: [] for case in made}
    for _ in range(rounds):
        for case, (timer, number) in made.items():
            took[case].append(timer.timeit(number) / number * 1e9)
    return took


def ratio(ours, theirs, loop=None):
    """Return the median of the rounds' ratios, without what the loop itself takes if given."""
    loop = loop or [0.0] * len(ours)
    pairs = zip(ours, theirs, loop, strict=True)
    return statistics.median((a - c) / (b - c) for a, b, c in pairs)


def show_calls(took):
    """Print the tables, and the two ratios that the design sets a target for."""
    loop, empty = took["an empty loop"], took["empty method(5, service)"]
    for title, cases in CALLS.items():
        print(f"\n### {title}\n")
        print("| call | best ns | median ns | / empty method | / the same, loop taken off |")
        print("|---|--:|--:|--:|--:|")
        for case in cases:
            times = took[case]
            print(
                f"| {case} | {min(times):.0f} | {statistics.median(times):.0f} "
                f"| {ratio(times, empty):.2f} | {ratio(times, empty, loop):.2f} |"
            )
    spend = took["spend(5, service)"]
    deep = ratio(took["slice, depth 16"], took["slice, depth 1"])
    homemade = ratio(spend, took["dict: spend(5, service)"])
    print("\n### In proportion\n")
    print("| what | found | target |")
    print("|---|--:|--:|")
    print(f"| spend(5, service) / empty method(5, service) | {ratio(spend, empty):.2f} | <= 3 |")
    print(f"| spend: slice at depth 16 / at depth 1 | {deep:.2f} | <= 1.10 |")
    print(f"| spend(5, service) / the same with a dict and a lock | {homemade:.2f} | |")


# Threads

CROWDS = {
    "empty method": [EMPTY, EMPTY],
    "spend, same wallet": ['wallet.spend(5, service="a")'] * 2,
    "spend, sibling slices": ['wallet.spend(5, service="a")', 'spender.spend(5, service="a")'],
    "spend, shared path": ['shared4.spend(5, service="a")'] * 2,
    "dict and lock": ['homemade.spend(5, service="a")'] * 2,
}


def together(statements, given, number):
    """Return how many thousand calls a second the threads make, a thread to a statement."""
    ready = threading.Barrier(len(statements) + 1)

    def run(statement):
        timer = Timer(statement, setup="gc.enable()", globals={**given, "gc": gc})
        ready.wait()
        timer.timeit(number)

    threads = [threading.Thread(target=run, args=[statement]) for statement in statements]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return len(statements) * number / (time.perf_counter() - start) / 1e3


def threads(rounds):
    """Return by crowd and number of threads the thousands of calls a second of each round."""
    given = names()
    found = {crowd: {"one": [], "two": []} for crowd in CROWDS}
    for _ in range(rounds):
        for crowd, statements in CROWDS.items():
            found[crowd]["one"].append(together(statements[:1], given, 200_000))
            found[crowd]["two"].append(together(statements, given, 100_000))
    return found


def show_threads(found):
    """Print the table."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"\n### Threads, {'with' if gil else 'without'} the global interpreter lock\n")
    print("| calls, thousands a second | one thread | two threads | two / one |")
    print("|---|--:|--:|--:|")
    for crowd, rates in found.items():
        one, two = (statistics.median(rates[which]) for which in ("one", "two"))
        print(f"| {crowd} | {one:.0f} | {two:.0f} | {ratio(rates['two'], rates['one']):.2f} |")


# Memory


def resident():
    """Return the bytes that this process has in memory."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def wallets():
    """Wallets, without the Python objects."""
    task = outlay.Ledger().wallets.create("task", 1)
    for number in range(MILLION):
        task.create_child(f"agent-{number}", 0)
    return task


def wallet_objects():
    """Wallets, each with a Python object that is kept."""
    task = outlay.Ledger().wallets.create("task", 1)
    return [task.create_child(f"agent-{number}", 0) for number in range(MILLION)]


def reservations():
    """Reservations that are open, each with its Python object."""
    task = outlay.Ledger().wallets.create("task", MILLION)
    return [task.reserve(1, service="search") for _ in range(MILLION)]


def records():
    """Records that are kept to itemise."""
    task = outlay.Ledger(keep=2 * MILLION).wallets.create("task", MILLION)
    for _ in range(MILLION):
        task.spend(1, service="search")
    return task


def records_with_metadata():
    """The same, with metadata of 23 bytes."""
    task = outlay.Ledger(keep=2 * MILLION).wallets.create("task", MILLION)
    for number in range(MILLION):
        task.spend(1, service="search", metadata={"query": "agents", "page": number})
    return task


def charges():
    """Charges whose Python objects are kept."""
    task = outlay.Ledger().wallets.create("task", MILLION)
    return [task.spend(1, service="search") for _ in range(MILLION)]


def dict_records():
    """What a dict and a lock keep of a charge."""
    wallet = DictWallet("task", MILLION)
    return [wallet.spend(1, service="search") for _ in range(MILLION)]


THINGS = {
    "a wallet": wallets,
    "a wallet and its Python object": wallet_objects,
    "an open reservation and its Python object": reservations,
    "a record kept": records,
    "a record kept, with metadata": records_with_metadata,
    "a charge's Python object": charges,
    "a charge, as a dict": dict_records,
}


def measure(thing):
    """Print how many bytes one of a million of these takes, and leave at once."""
    before = resident()
    made = THINGS[thing]()
    print((resident() - before) / MILLION, flush=True)
    del made  # was needed until here
    os._exit(0)


def memory():
    """Return by thing the bytes that one takes, each measured in a process of its own."""
    command = [sys.executable, __file__, "--measure"]
    found = {}
    for thing in THINGS:
        done = subprocess.run([*command, thing], check=True, capture_output=True, text=True)
        found[thing] = float(done.stdout)
    return found


def show_memory(found):
    """Print the table."""
    print("\n### Memory: bytes of resident memory for one of a million\n")
    print("| what | bytes |")
    print("|---|--:|")
    for thing, size in found.items():
        print(f"| {thing} | {size:.0f} |")


def main():
    """Run what is asked for, or all of it."""
    parts = {"calls": calls, "threads": threads, "memory": lambda _: memory()}
    shows = {"calls": show_calls, "threads": show_threads, "memory": show_memory}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=parts)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no tables")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--measure", choices=THINGS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.measure)
    found = {part: parts[part](asked.rounds) for part in parts if asked.only in (None, part)}
    if asked.json:
        print(json.dumps({"bench": "python", "python": sys.version, **found}))
    else:
        for part, result in found.items():
            shows[part](result)


if __name__ == "__main__":
    main()
