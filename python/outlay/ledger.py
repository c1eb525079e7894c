"""The ledger: one tree of wallets in one unit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from outlay import _engine
from outlay.errors import UnknownWalletError, WrongLedgerError
from outlay.money import Amount, decimal
from outlay.wallet import Wallet

if TYPE_CHECKING:
    from outlay._engine import Charge, ManualClock, Reservation

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_engine.forked_in_child)


class Finding(msgspec.Struct, frozen=True):
    """Two numbers that ought to be the same and are not.

    Attributes:
        wallet: path of the wallet, or None for the ledger as a whole.
        rule: what was checked.
        expected: what the records add up to, in the ledger's unit (or a count of reservations).
        found: what is there.
    """

    wallet: str | None
    rule: str
    expected: Decimal
    found: Decimal

    def __str__(self) -> str:
        """Return it as a sentence."""
        where = self.wallet or "the ledger"
        return f"{where}: {self.rule} should be {self.expected} and is {self.found}"


class Ledger:
    """One tree of wallets in one unit, kept in memory.

    Args:
        unit: what amounts count: "credits", "USD", "tokens".
        scale: decimal places of an amount, 0 to 9, for the ledger's life. At nine places the ledger
            can hold 4.6 billion units.
        keep: how many records are kept to itemise receipts; totals are exact for ever.
        clock: for tests; see `outlay.testing.ManualClock`.

    Raises:
        ValueError: scale is not 0 to 9.
    """

    __slots__ = ("__weakref__", "_engine", "wallets")

    wallets: Wallets

    def __init__(
        self,
        *,
        unit: str = "credits",
        scale: int = 9,
        keep: int = 65_536,
        clock: ManualClock | None = None,
    ) -> None:
        self._engine = _engine.Ledger(unit, scale, keep, clock)
        self.wallets = Wallets(self)

    @classmethod
    def around(cls, engine: _engine.Ledger) -> Ledger:
        """Return the face of a compiled ledger that exists already."""
        ledger = cls.__new__(cls)
        ledger._engine = engine  # noqa: SLF001  # its own
        ledger.wallets = Wallets(ledger)
        return ledger

    @property
    def unit(self) -> str:
        """What amounts count."""
        return self._engine.unit

    @property
    def scale(self) -> int:
        """Decimal places of an amount."""
        return self._engine.scale

    def audit(self) -> list[Finding]:
        """Check that money is conserved; return what is not as it should be.

        It compares every wallet's balance, what is set aside, and the sum of all money with what
        the records add up to. While others spend it looks again, for a tenth of a second and eight
        times at least, and reports only what stays the same.
        """
        counts = "open reservations"
        return [
            Finding(
                wallet,
                rule,
                *(Decimal(n) if rule == counts else decimal(n, self.scale) for n in (must, found)),
            )
            for wallet, rule, must, found in self._engine.audit()
        ]

    def expire(self) -> int:
        """Give back what is held beyond its time; return how many reservations that were.

        Reading a balance, and any call that is about to refuse, does so too.
        """
        return self._engine.expire()

    def commit(self, reservation: Reservation, amount: Amount | None = None) -> Charge | None:
        """Commit a reservation of this ledger; see `Reservation.commit`.

        Raises:
            WrongLedgerError: it is another ledger's.
        """
        return self._own(reservation).commit(amount)

    def release(self, reservation: Reservation) -> None:
        """Release a reservation of this ledger; see `Reservation.release`.

        Raises:
            WrongLedgerError: it is another ledger's.
        """
        self._own(reservation).release()

    def _own(self, reservation: Reservation) -> Reservation:
        if not isinstance(reservation, _engine.Reservation):
            raise TypeError(f"{reservation!r} is no reservation: give what reserve() returned")
        if not reservation.belongs_to(self._engine):
            raise WrongLedgerError(
                f"reservation {reservation.id} is of another ledger's wallet; settle it there"
            )
        return reservation

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self._engine == other._engine

    def __hash__(self) -> int:
        return hash(self._engine)

    def __repr__(self) -> str:
        return f"<Ledger in {self.unit}: {len(self.wallets)} task wallets>"


class Wallets:
    """The task wallets of a ledger; and any wallet by path, `ledger.wallets["task/researcher"]`."""

    __slots__ = ("_ledger",)

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def create(
        self,
        name: str,
        budget: Amount,
        *,
        hard_cap: bool = True,
        metadata: object = None,
    ) -> Wallet:
        """Make a task wallet, the root of a task.

        Args:
            name: unlike any other task wallet's; 1 to 256 bytes, no slash, no control character.
            budget: in the ledger's unit; may be 0.
            hard_cap: refuse to go beyond the budget. What a soft wallet spends past it goes
                through, and is counted as overdraft.
            metadata: anything that msgspec can encode.

        Raises:
            DuplicateNameError: the name is taken.
            InvalidNameError: the name cannot be one.
            InvalidAmountError: the budget is no amount, or more than the ledger can hold.
            TypeError: the metadata cannot be encoded.
        """
        return Wallet(self._ledger._engine.create(name, budget, hard_cap, metadata))  # noqa: SLF001

    def list(self) -> list[Wallet]:
        """Return the task wallets, oldest first."""
        return [Wallet(root) for root in self._ledger._engine.roots()]  # noqa: SLF001

    def get(self, path: str) -> Wallet | None:
        """Return the wallet at a path, or None."""
        found = self._ledger._engine.find(path)  # noqa: SLF001
        return None if found is None else Wallet(found)

    def __getitem__(self, path: str) -> Wallet:
        found = self.get(path)
        if found is None:
            raise UnknownWalletError(path)
        return found

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.get(path) is not None

    def __iter__(self) -> Iterator[Wallet]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self._ledger._engine.roots())  # noqa: SLF001
