"""Why outlay says no: one tree of exceptions, each with the numbers in it.

OutlayError                         everything below; `except outlay.OutlayError` catches it all
    InvalidAmountError              (ValueError) not an exact, positive number of the ledger's unit
    InvalidNameError                (ValueError) not a name a wallet can have
    DuplicateNameError              (ValueError) a sibling has that name already
    UnknownWalletError              (LookupError) no wallet at that path
    TooDeepError                    (ValueError) too many wallets on top of each other
    WrongLedgerError                (ValueError) the object belongs to another ledger
    TransferError                   (ValueError) money cannot move between these two wallets
    ForkedLedgerError               the ledger was made before fork(); its money stayed there
    OverageError                    a commit above its reservation, with overage="raise"
    RefusalError                    the money cannot be spent; nothing was changed
        InsufficientCreditsError    too little is left
        FrozenWalletError           the wallet, or one above it, is frozen
        ClosedWalletError           the wallet is closed
    SettledError                    the reservation was settled before
        AlreadyCommittedError       by a commit of another amount, or by a commit before a release
        AlreadyReleasedError        by a release
        ReservationExpiredError     by the end of its ttl

A value of the wrong type (True, None or a list for an amount; metadata that cannot be encoded) is
a plain TypeError. Whatever is raised, no money has moved.

Messages are written when they are read: a refusal that is only caught costs no formatting.
Every exception here can be pickled and copied.
"""

from __future__ import annotations

from decimal import Context, Decimal

# Amounts have up to 19 digits: results are exact, whatever context the caller has set.
_EXACT = Context(prec=40)


def _plain(amount: Decimal) -> str:
    return format(_EXACT.normalize(amount), "f")


class OutlayError(Exception):
    """Base of every exception that outlay raises on purpose."""


class InvalidAmountError(OutlayError, ValueError):
    """Raised when an amount is not an exact, positive number in the range of the ledger.

    Negative, NaN, infinite, more decimal places than the ledger's scale, above 2^62 - 1 of its
    smallest step, text that is no number; and zero, where something is spent or reserved.
    """


class InvalidNameError(OutlayError, ValueError):
    """Raised when a wallet is given an empty or over-long name, or one with a "/" in it."""


class DuplicateNameError(OutlayError, ValueError):
    """Raised when a wallet is created under a name that one of its siblings has.

    `name` is the name, `parent` the path of the wallet it was to be a child of, or None for a
    task wallet.
    """

    def __init__(self, name: str, parent: str | None = None) -> None:
        super().__init__(name, parent)
        self.name = name
        self.parent = parent

    def __str__(self) -> str:
        if self.parent is None:
            return (
                f"there is a task wallet {self.name!r} already: "
                f"choose another name, or use ledger.wallets[{self.name!r}]"
            )
        return (
            f"{self.parent!r} has a child {self.name!r} already: "
            f"choose another name, or use child({self.name!r})"
        )


class UnknownWalletError(OutlayError, LookupError):
    """Raised when no wallet has the path that was asked for.

    `path` is what was asked for, as in "task" or "task/researcher".
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"no wallet at {self.path!r}: paths read 'task/child', "
            "and ledger.wallets.list() has the task wallets"
        )


class TooDeepError(OutlayError, ValueError):
    """Raised when a wallet is created more than 64 deep, or as the third soft slice in a row."""


class WrongLedgerError(OutlayError, ValueError):
    """Raised when a reservation or a wallet of one ledger is given to another."""


class TransferError(OutlayError, ValueError):
    """Raised when two wallets cannot pass money to each other.

    A transfer goes between a wallet and one of its slices, in either direction.
    """


class ForkedLedgerError(OutlayError):
    """Raised by every call on a ledger that was copied by fork(): the money stayed behind."""

    def __str__(self) -> str:
        return (
            "this ledger was made before fork() and its money stayed with the parent process: "
            "spend there, or make a Ledger in this process"
        )


class OverageError(OutlayError):
    """Raised when a reservation made with overage="raise" is committed above its amount.

    The reservation stays open. `reserved` and `asked` are amounts in the ledger's unit.
    """

    def __init__(self, reservation: int, reserved: Decimal, asked: Decimal) -> None:
        super().__init__(reservation, reserved, asked)
        self.reservation = reservation
        self.reserved = reserved
        self.asked = asked

    def __str__(self) -> str:
        return (
            f"reservation {self.reservation} holds {_plain(self.reserved)} "
            f"and cannot commit {_plain(self.asked)}. It is still open: "
            f"commit {_plain(self.reserved)} or less, or release it"
        )


class RefusalError(OutlayError):
    """Base of the answers "this cannot be spent". `wallet` is the path of the one that refused."""

    def __init__(self, wallet: str) -> None:
        super().__init__(wallet)
        self.wallet = wallet


class InsufficientCreditsError(RefusalError):
    """Raised when a wallet that must pay has less available than was asked.

    All amounts are in `unit`. `wallet` is the path of the wallet that was short, `asked` what was
    asked, `available` what that wallet had left, `shortfall` what was missing there, and `fits`
    the most that every wallet on the path could have paid together.

    The message is written for the model that asked: it says what it can still do.
    """

    def __init__(
        self,
        wallet: str,
        asked: Decimal,
        available: Decimal,
        fits: Decimal,
        unit: str = "credits",
    ) -> None:
        super().__init__(wallet)
        self.args = (wallet, asked, available, fits, unit)  # what pickle and copy rebuild from
        self.asked = asked
        self.available = available
        self.fits = fits
        self.unit = unit

    @property
    def shortfall(self) -> Decimal:
        """What was missing in `wallet`: `asked` less `available`."""
        return _EXACT.subtract(self.asked, self.available)

    def __str__(self) -> str:
        name = self.wallet.rpartition("/")[2]
        way_out = (
            f"Use {_plain(self.fits)} or less, or finish with what you have."
            if self.fits > 0
            else "Nothing more can be spent for now: finish with what you have."
        )
        return (
            f"{name} cannot pay {_plain(self.asked)} {self.unit}: {_plain(self.available)} left "
            f"in {self.wallet!r} (short by {_plain(self.shortfall)}). {way_out}"
        )


class FrozenWalletError(RefusalError):
    """Raised when money is asked of a wallet that is frozen, alone or with one above it."""

    def __str__(self) -> str:
        return f"{self.wallet!r} is frozen: nothing can be spent until its owner calls unfreeze()"


class ClosedWalletError(RefusalError):
    """Raised when a wallet is used after it, or one above it, was closed."""

    def __str__(self) -> str:
        return f"{self.wallet!r} is closed for good: spend from another wallet"


class SettledError(OutlayError):
    """Base of the answers "too late": a reservation is settled once. `reservation` is its id."""

    def __init__(self, reservation: int) -> None:
        super().__init__(reservation)
        self.reservation = reservation


class AlreadyCommittedError(SettledError):
    """Raised when a committed reservation is released, or committed with another amount.

    `amount` is what was committed. Committing that same amount again is no error.
    """

    def __init__(self, reservation: int, amount: Decimal) -> None:
        super().__init__(reservation)
        self.args = (reservation, amount)  # what pickle and copy rebuild from
        self.amount = amount

    def __str__(self) -> str:
        return (
            f"reservation {self.reservation} was committed already, "
            f"with {_plain(self.amount)}: make another one to spend more"
        )


class AlreadyReleasedError(SettledError):
    """Raised when a reservation is committed after its release."""

    def __str__(self) -> str:
        return (
            f"reservation {self.reservation} was released already "
            "and its money went back: reserve again"
        )


class ReservationExpiredError(SettledError):
    """Raised when a reservation is committed after its ttl ran out."""

    def __str__(self) -> str:
        return (
            f"reservation {self.reservation} outlived its ttl "
            "and its money went back: reserve again, with a longer ttl"
        )
