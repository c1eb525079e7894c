"""The engine with one protection taken out at a time: a named loom model must catch each.

    python3 rust/core/tests/loom/mutations.py            # all, in a copy below target/proof
    python3 rust/core/tests/loom/mutations.py --check    # only whether the table fits the source

The source itself has no switches for this: a mutation is a text that is put in place of another.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[4]
PROOF = ROOT / "target" / "proof"
SECONDS_MAX = 300


class Mutation(NamedTuple):
    """A text of a source file, what stands there without the protection, and who must notice."""

    fact: str
    file: str
    text: str
    instead: str
    model: str


TABLE = [
    Mutation(
        "a wallet that pays alone is refused while another's charge is pending",
        "path.rs",
        "                if word.pending {\n"
        "                    self.help(ReservationId(word.last));\n"
        "                    word = node.word.load();\n"
        "                    continue;\n"
        "                }\n"
        "                if let Some(verdict) = objection(node, word, amount, demand, 0) {",
        "                if let Some(verdict) = objection(node, word, amount, demand, 0) {",
        "doomed_draw_against_payable",
    ),
    Mutation(
        "a charge along a path is refused on a word that is not clean",
        "path.rs",
        "            if word.pending {\n                self.help(ReservationId(word.last));\n"
        "                word = node.word.load();\n                continue;\n            }\n"
        "            if let Some(verdict) = objection(node, word, step.amount",
        "            let short = objection(node, word, step.amount, slot.demand(), 0).is_some();\n"
        "            if word.pending && !short {\n"
        "                self.help(ReservationId(word.last));\n"
        "                word = node.word.load();\n                continue;\n            }\n"
        "            if let Some(verdict) = objection(node, word, step.amount",
        "doomed_reserve_against_payable",
    ),
    Mutation(
        "a late helper does not look whether the charge is decided",
        "path.rs",
        "            if slot.state().phase != Phase::Undecided {\n                return None;",
        "            if false {\n                return None;",
        "helper_after_a_newer_charge",
    ),
    Mutation(
        "a helper does not stay registered while it works",
        "path.rs",
        "            self.drive(id, slot, Step::first(slot.wallet(), slot.amount()));\n"
        "            self.slots.leave(id);",
        "            self.slots.leave(id);\n"
        "            self.drive(id, slot, Step::first(slot.wallet(), slot.amount()));",
        "helper_after_the_slot_was_recycled",
    ),
    Mutation(
        "a slot's next reservation has the id of the one before",
        "reservation.rs",
        "        let generation = slot.state().generation + 1;",
        "        let generation = 1;",
        "helper_after_the_slot_was_recycled",
    ),
    Mutation(
        "a word forgets who was installed last",
        "word.rs",
        "        Word { pending: false, ..self.plus(back) }",
        "        Word { pending: false, last: 0, ..self.plus(back) }",
        "helper_after_the_grant",
    ),
    Mutation(
        "refunds go from the bottom up",
        "path.rs",
        "        if let Some(up) = climb(node, step, on) {\n"
        "            self.credit_from(up, back, returned);\n        }\n"
        "        self.add(step.wallet, node, step.amount - on, returned);",
        "        self.add(step.wallet, node, step.amount - on, returned);\n"
        "        if let Some(up) = climb(node, step, on) {\n"
        "            self.credit_from(up, back, returned);\n        }",
        "reserve_against_release_on_three_levels",
    ),
    Mutation(
        "a word is changed while a charge is pending on it",
        "path.rs",
        "            if word.pending {\n                self.help(ReservationId(word.last));\n"
        "                word = node.word.load();\n                continue;\n            }\n"
        "            match node.word.swap(word, next(word)?) {",
        "            match node.word.swap(word, next(word)?) {",
        "freeze_against_reserve",
    ),
    Mutation(
        "a closed slice keeps what comes back",
        "path.rs",
        "Some(_) if word.closed && !node.shared => amount.min(word.owed()),",
        "Some(_) if false => amount.min(word.owed()),",
        "close_against_release",
    ),
    Mutation(
        "a release is written down after its money can be used",
        "ledger.rs",
        "                self.write_settlement(Kind::Release, id, slot);\n"
        "                self.give_back(slot, slot.amount());",
        "                self.give_back(slot, slot.amount());\n"
        "                self.write_settlement(Kind::Release, id, slot);",
        "release_before_spend",
    ),
    Mutation(
        "nobody waits for another that gives an expired hold back",
        "ledger.rs",
        "        while slot.state().phase == Phase::Expiring {",
        "        while false {",
        "expired_hold_against_two_spends",
    ),
]


def stale() -> list[str]:
    """Return the facts of the entries whose text does not stand in the source exactly once."""
    sources = ROOT / "rust" / "core" / "src"
    return [
        entry.fact
        for entry in TABLE
        if (sources / entry.file).read_text(encoding="utf-8").count(entry.text) != 1
    ]


def copied() -> Path:
    """Return a fresh copy of what cargo needs; what was built from the last one is kept."""
    copy = PROOF / "source"
    shutil.rmtree(copy, ignore_errors=True)
    for folder in ("core", "pyext"):
        shutil.copytree(
            ROOT / "rust" / folder,
            copy / "rust" / folder,
            ignore=shutil.ignore_patterns("target", "fuzz"),
        )
    shutil.copytree(ROOT / "benches", copy / "benches")
    for file in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(ROOT / file, copy / file)
    return copy


def cargo(source: Path, *arguments: str) -> int | None:
    """Run the loom tests in the copy; return the exit code, or None if they did not end in time."""
    command = ["cargo", "test", "--quiet", "--release", "--package=outlay-core", "--test=loom"]
    built = {"RUSTFLAGS": "--cfg loom", "CARGO_TARGET_DIR": str(PROOF / "built")}
    try:
        return subprocess.run(
            [*command, *arguments],
            cwd=source,
            env=os.environ | built,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS_MAX,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def survives(source: Path, entry: Mutation) -> bool:
    """Put one mutation in, see what its model says, and take it out again."""
    file = source / "rust" / "core" / "src" / entry.file
    sound = file.read_text(encoding="utf-8")
    file.write_text(sound.replace(entry.text, entry.instead), encoding="utf-8")
    start = time.monotonic()
    try:
        if cargo(source, "--no-run") != 0:
            print(f"does not build: {entry.fact}")
            return True
        code = cargo(source, "--", entry.model)
    finally:
        file.write_text(sound, encoding="utf-8")
    how = {None: "never ends", 0: "NOT CAUGHT"}.get(code, "caught")
    print(f"{how:10} {time.monotonic() - start:4.0f} s  {entry.model}: {entry.fact}", flush=True)
    return code == 0


def main() -> int:
    """Check the table, then every mutation in it."""
    for fact in stale():
        print(f"the table is stale: {fact}")
    if stale() or "--check" in sys.argv:
        return len(stale())
    source = copied()
    left = sum(survives(source, entry) for entry in TABLE)
    print(f"{len(TABLE) - left} passed, {left} failed")
    return left


if __name__ == "__main__":
    sys.exit(main())
