"""Budgets that agents cannot outspend."""

from outlay._engine import Charge, Reservation, Spender
from outlay.errors import (
    AlreadyCommittedError,
    AlreadyReleasedError,
    ClosedWalletError,
    DuplicateNameError,
    ForkedLedgerError,
    FrozenWalletError,
    InsufficientCreditsError,
    InvalidAmountError,
    InvalidNameError,
    OutlayError,
    OverageError,
    RefusalError,
    ReservationExpiredError,
    SettledError,
    TooDeepError,
    TransferError,
    UnknownWalletError,
    WrongLedgerError,
)
from outlay.ledger import Finding, Ledger, Wallets
from outlay.money import Amount
from outlay.receipts import Line, Receipt
from outlay.wallet import Wallet

__all__ = [
    "AlreadyCommittedError",
    "AlreadyReleasedError",
    "Amount",
    "Charge",
    "ClosedWalletError",
    "DuplicateNameError",
    "Finding",
    "ForkedLedgerError",
    "FrozenWalletError",
    "InsufficientCreditsError",
    "InvalidAmountError",
    "InvalidNameError",
    "Ledger",
    "Line",
    "OutlayError",
    "OverageError",
    "Receipt",
    "RefusalError",
    "Reservation",
    "ReservationExpiredError",
    "SettledError",
    "Spender",
    "TooDeepError",
    "TransferError",
    "UnknownWalletError",
    "Wallet",
    "Wallets",
    "WrongLedgerError",
]
