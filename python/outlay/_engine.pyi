"""The compiled half of outlay. Import from `outlay`; this module's names may change."""

from collections.abc import Awaitable
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Literal, Self, TypeAlias, final

from typing_extensions import disjoint_base

_Amount: TypeAlias = int | str | Decimal | float
_Overage: TypeAlias = Literal["debt", "raise"]
_OnCancel: TypeAlias = Literal["commit", "release"]
_Line: TypeAlias = tuple[str | None, str | None, str | None, str | None, int, int]
_Row: TypeAlias = tuple[
    str, str, int, bool, bool, bool, bool,
    int, int, int, int, int, int, int, int, int, int, int,
    list[_Line],
]  # fmt: skip

__all__ = [
    "Charge",
    "Idle",
    "Ledger",
    "ManualClock",
    "Reservation",
    "Spender",
    "Wallet",
    "decimal",
    "forked_in_child",
    "nanos",
]

def nanos(amount: _Amount, scale: int = 9) -> int:
    """Return an amount as an integer number of the smallest unit.

    Raises:
        InvalidAmountError: negative, not finite, no number, too many places, or too large.
        TypeError: not an int, str, Decimal or float.
    """

def decimal(nanos: int, scale: int = 9) -> Decimal:
    """Return an integer amount as a Decimal without zeros to spare.

    `format(amount, "f")` of it is what people write: "45", "0.07", "1000". So is `str()` of it,
    down to a millionth.
    """

def forked_in_child() -> None:
    """Make every ledger of this process refuse: the money stayed with the parent process."""

@final
class Charge:
    """The record of money spent."""

    @property
    def id(self) -> int:
        """The number of its record, unlike any other's in the ledger."""

    @property
    def wallet(self) -> str:
        """The path of the wallet that was charged."""

    @property
    def amount(self) -> Decimal:
        """How much, in the ledger's unit."""

    @property
    def service(self) -> str | None:
        """What was paid for."""

    @property
    def agent(self) -> str | None:
        """Who asked for it."""

    @property
    def run(self) -> str | None:
        """The run that it belongs to."""

    @property
    def model(self) -> str | None:
        """The model, where one was paid for."""

    @property
    def time(self) -> datetime:
        """When, in UTC. The clock steps every few milliseconds."""

    @property
    def reservation(self) -> int | None:
        """The id of the reservation that it settled, if it did."""

    @property
    def metadata(self) -> object:
        """What was given, in builtin types."""

    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Reservation:
    """Money set aside. It ends with its scope, as a sync or an async context manager.

    Leaving normally commits it in full, unless it was settled inside. An exception releases it,
    unless a commit was refused for its amount: then money is known to be spent, and it is committed
    in full. So it is by a timeout, by cancellation and by anything else that is no `Exception`,
    because the call may have been billed; `on_cancel="release"` says otherwise. Once it is settled
    it cannot be entered.
    """

    @property
    def id(self) -> int:
        """Its number; it never comes back."""

    @property
    def wallet(self) -> str:
        """The path of the wallet that it was made on."""

    @property
    def amount(self) -> Decimal:
        """What was set aside, in the ledger's unit."""

    @property
    def state(self) -> Literal["held", "committed", "released", "expired"]:
        """Where it stands."""

    @property
    def charge(self) -> Charge | None:
        """The charge that it was committed to."""

    def commit(self, amount: _Amount | None = None) -> Charge | None:
        """Spend `amount` (by default all that was set aside) and give back the rest.

        0 is a release, and None comes back. Above what was set aside, `overage` decides: "debt"
        takes the rest from what is left and books what is missing as debt, "raise" refuses. The
        same commit again is a look-up and returns the same charge.

        Raises:
            OverageError: it is above the reservation, which was made with `overage="raise"`.
            AlreadyCommittedError: it was committed for another amount.
            AlreadyReleasedError: it was released.
            ReservationExpiredError: its time ran out.
            InvalidAmountError: the amount is none.
        """

    def release(self) -> None:
        """Give it all back. Twice is harmless.

        Raises:
            AlreadyCommittedError: it was committed.
            ReservationExpiredError: its time ran out.
        """

    def belongs_to(self, ledger: Ledger) -> bool:
        """Whether it was made on a wallet of that ledger."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]: ...
    def __aenter__(self) -> Awaitable[Self]: ...
    def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Awaitable[Literal[False]]: ...

@final
class Spender:
    """A wallet for spenders: it can reserve and spend, say what is left, and nothing else."""

    def spend(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
    ) -> Charge:
        """Spend at once: all wallets that have to pay do so at one instant, or none does.

        Args:
            amount: in the ledger's unit, more than zero.
            service: the tool or API that is paid for.
            agent: who asks for it.
            run: the run that it belongs to.
            model: the model, where one is paid for.
            metadata: anything that msgspec can encode; kept as it is now.

        Raises:
            InsufficientCreditsError: a wallet that has to pay has too little.
            FrozenWalletError, ClosedWalletError: a wallet that has to pay is.
            InvalidAmountError: not more than zero, or no amount.
            TypeError: the amount, a label or the metadata is of a kind that cannot be one.
            ForkedLedgerError: the ledger was made before a fork, and this is the child.
        """

    def try_spend(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
    ) -> Charge | None:
        """Spend like `spend`, or return None where it would raise a RefusalError."""

    def reserve(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
        ttl: float | None = None,
        overage: _Overage = "debt",
        on_cancel: _OnCancel = "commit",
    ) -> Reservation:
        """Set money aside, to be committed or released once the cost is known.

        Args:
            amount: in the ledger's unit, more than zero: an upper bound of the cost.
            service: the tool or API that is paid for.
            agent: who asks for it.
            run: the run that it belongs to.
            model: the model, where one is paid for.
            metadata: anything that msgspec can encode; kept as it is now.
            ttl: seconds after which it expires, for a hold that may lose its owner.
            overage: what a commit above it does: "debt" or "raise".
            on_cancel: what cancellation inside its scope does: "commit" or "release".

        Raises:
            InsufficientCreditsError: a wallet that has to pay has too little.
            FrozenWalletError, ClosedWalletError: a wallet that has to pay is.
            InvalidAmountError: not more than zero, or no amount.
            TypeError: the amount, a label or the metadata is of a kind that cannot be one.
            ForkedLedgerError: the ledger was made before a fork, and this is the child.
            ValueError: ttl, overage or on_cancel is none of what is listed.
        """

    def try_reserve(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
        ttl: float | None = None,
        overage: _Overage = "debt",
        on_cancel: _OnCancel = "commit",
    ) -> Reservation | None:
        """Reserve like `reserve`, or return None where it would raise a RefusalError."""

    @property
    def available(self) -> Decimal:
        """What is left, in the ledger's unit. Never below zero."""

    @property
    def fits(self) -> Decimal:
        """The most that it could pay now, all wallets that have to pay considered."""

    @property
    def name(self) -> str:
        """The wallet's name."""

    @property
    def path(self) -> str:
        """The names from the task wallet down, with slashes between."""

@disjoint_base
class Wallet:
    """The compiled part of `outlay.Wallet`."""

    def __new__(cls, wallet: Wallet) -> Self:
        """Return another handle to the same wallet."""

    def spend(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
    ) -> Charge:
        """Spend at once: all wallets that have to pay do so at one instant, or none does.

        Args:
            amount: in the ledger's unit, more than zero.
            service: the tool or API that is paid for.
            agent: who asks for it.
            run: the run that it belongs to.
            model: the model, where one is paid for.
            metadata: anything that msgspec can encode; kept as it is now.

        Raises:
            InsufficientCreditsError: a wallet that has to pay has too little.
            FrozenWalletError, ClosedWalletError: a wallet that has to pay is.
            InvalidAmountError: not more than zero, or no amount.
            TypeError: the amount, a label or the metadata is of a kind that cannot be one.
            ForkedLedgerError: the ledger was made before a fork, and this is the child.
        """

    def try_spend(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
    ) -> Charge | None:
        """Spend like `spend`, or return None where it would raise a RefusalError."""

    def reserve(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
        ttl: float | None = None,
        overage: _Overage = "debt",
        on_cancel: _OnCancel = "commit",
    ) -> Reservation:
        """Set money aside, to be committed or released once the cost is known.

        Args:
            amount: in the ledger's unit, more than zero: an upper bound of the cost.
            service: the tool or API that is paid for.
            agent: who asks for it.
            run: the run that it belongs to.
            model: the model, where one is paid for.
            metadata: anything that msgspec can encode; kept as it is now.
            ttl: seconds after which it expires, for a hold that may lose its owner.
            overage: what a commit above it does: "debt" or "raise".
            on_cancel: what cancellation inside its scope does: "commit" or "release".

        Raises:
            InsufficientCreditsError: a wallet that has to pay has too little.
            FrozenWalletError, ClosedWalletError: a wallet that has to pay is.
            InvalidAmountError: not more than zero, or no amount.
            TypeError: the amount, a label or the metadata is of a kind that cannot be one.
            ForkedLedgerError: the ledger was made before a fork, and this is the child.
            ValueError: ttl, overage or on_cancel is none of what is listed.
        """

    def try_reserve(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
        ttl: float | None = None,
        overage: _Overage = "debt",
        on_cancel: _OnCancel = "commit",
    ) -> Reservation | None:
        """Reserve like `reserve`, or return None where it would raise a RefusalError."""

    def spender(self) -> Spender:
        """Return a handle that can spend and do nothing else: the one to give to agents."""

    def add_credits(self, amount: _Amount) -> None:
        """Refill: add money from outside. What is owed is repaid with it first.

        For a shared child it raises the cap.

        Raises:
            InvalidAmountError: not more than zero, no amount, or more than the ledger can hold.
            ClosedWalletError: the wallet is closed.
        """

    def transfer(self, to: Wallet, amount: _Amount) -> None:
        """Move money to a slice of this wallet, or from this slice to its parent.

        Two steps: between them the money is in neither wallet.

        Raises:
            InsufficientCreditsError: this wallet has less; a soft one too moves only what is there.
            TransferError: they are not a wallet and its slice.
            WrongLedgerError: they belong to two ledgers.
            FrozenWalletError, ClosedWalletError: this wallet is; or `to` is closed.
        """

    def freeze(self) -> None:
        """Stop all spending, here and below, until `unfreeze`. What is reserved can be settled."""

    def unfreeze(self) -> None:
        """Let it spend again; wallets below that were frozen for themselves stay so."""

    def close(self) -> Decimal:
        """Close it and all below; return what went back to the parent.

        Nothing new is paid. What open reservations give back later follows to the parent. A task
        wallet keeps its rest. Twice is harmless.
        """

    def is_exhausted(self) -> bool:
        """Whether nothing can be paid within budget any more, here or where it is paid too."""

    def new_child(
        self,
        name: str,
        budget: _Amount,
        shared: bool,
        hard_cap: bool,
        metadata: object,
    ) -> Wallet:
        """See `outlay.Wallet.create_child`."""

    def above(self) -> Wallet | None:
        """See `outlay.Wallet.parent`."""

    def below(self) -> list[Wallet]:
        """See `outlay.Wallet.children`."""

    def find(self, name: str) -> Wallet | None:
        """See `outlay.Wallet.child`."""

    def book(self) -> Ledger:
        """See `outlay.Wallet.ledger`."""

    def statement(self) -> list[_Row]:
        """Return a row for it and each wallet below, parents first: what a receipt is made of.

        A row is path, name, depth, shared, hard_cap, frozen, closed, then in the smallest unit
        budget, refilled, received, given, overdraft, debt, available, reserved, then the number of
        open reservations, of refusals, and what was refused; then a line for each set of labels:
        service, agent, run, model, spent, calls.
        """

    def charges(self, until: int | None = None) -> list[Charge]:
        """Return the charges of it and all below that are still itemised, oldest first.

        With `until`, only those whose id is below it.
        """

    def next_record(self) -> int:
        """Return the number that the ledger's next record, and so its next charge, will have."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def path(self) -> str:
        """The names from the task wallet down, with slashes between."""

    @property
    def shared(self) -> bool:
        """It spends its parent's money, up to a cap."""

    @property
    def hard_cap(self) -> bool:
        """It refuses to go beyond its budget."""

    @property
    def frozen(self) -> bool:
        """It, or a wallet above, is frozen."""

    @property
    def closed(self) -> bool:
        """It is closed."""

    @property
    def refusals(self) -> int:
        """How often it was refused something."""

    @property
    def metadata(self) -> object:
        """What was given when it was made, in builtin types."""

    @property
    def available(self) -> Decimal:
        """What is left, or what a shared child's cap leaves. Never below zero."""

    @property
    def fits(self) -> Decimal:
        """The most that it could pay now, all wallets that have to pay considered."""

    @property
    def budget(self) -> Decimal:
        """What it was made with."""

    @property
    def refilled(self) -> Decimal:
        """What was added from outside since."""

    @property
    def received(self) -> Decimal:
        """What was moved in from its parent and slices."""

    @property
    def given(self) -> Decimal:
        """What was moved out to its parent and slices."""

    @property
    def spent(self) -> Decimal:
        """What it was charged itself."""

    @property
    def reserved(self) -> Decimal:
        """What it has set aside itself."""

    @property
    def overdraft(self) -> Decimal:
        """What it spent past its budget, being soft."""

    @property
    def debt(self) -> Decimal:
        """What it owes, being hard: it pays nothing until that is repaid."""

@final
class Ledger:
    """The compiled part of `outlay.Ledger`."""

    def __new__(cls, unit: str, scale: int, keep: int, clock: ManualClock | None) -> Self: ...
    @property
    def unit(self) -> str: ...
    @property
    def scale(self) -> int: ...
    def create(self, name: str, budget: _Amount, hard_cap: bool, metadata: object) -> Wallet: ...
    def roots(self) -> list[Wallet]: ...
    def find(self, path: str) -> Wallet | None: ...
    def audit(self) -> list[tuple[str | None, str, int, int]]: ...
    def expire(self) -> int: ...

@final
class ManualClock:
    """A clock that moves only when told to: `Ledger(clock=clock)`."""

    def __new__(cls) -> Self: ...
    def advance(self, seconds: float) -> None:
        """Move on, for records and deadlines alike.

        Raises:
            ValueError: negative, not finite, or above nine thousand million seconds.
        """

    def now(self) -> int:
        """Return nanoseconds since 1970."""

@final
class Idle:
    """What a call costs before it does anything; for benches."""

    def __new__(cls) -> Self: ...
    def spend(
        self,
        amount: _Amount,
        *,
        service: str | None = None,
        agent: str | None = None,
        run: str | None = None,
        model: str | None = None,
        metadata: object = None,
    ) -> None:
        """Take what `Wallet.spend` takes, and do nothing."""
