"""Wallets: what an agent's owner holds. The calls made for every charge are compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlay import _engine
from outlay.errors import UnknownWalletError

if TYPE_CHECKING:
    from outlay.ledger import Ledger
    from outlay.money import Amount
    from outlay.receipts import Receipt


class Wallet(_engine.Wallet):
    """A node of the tree, with a budget.

    Made by `ledger.wallets.create()` and `wallet.create_child()`, never by itself. Two objects for
    one wallet are equal. All calls are thread-safe, and none waits.
    """

    __slots__ = ()

    @property
    def ledger(self) -> Ledger:
        """The ledger that it belongs to."""
        from outlay.ledger import Ledger

        return Ledger.around(self.book())

    @property
    def parent(self) -> Wallet | None:
        """The wallet above, or None for a task wallet."""
        above = self.above()
        return None if above is None else Wallet(above)

    @property
    def children(self) -> list[Wallet]:
        """The wallets below, oldest first."""
        return [Wallet(child) for child in self.below()]

    def child(self, name: str) -> Wallet:
        """Return the child of that name.

        Raises:
            UnknownWalletError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise UnknownWalletError(f"{self.path}/{name}")
        return Wallet(found)

    def create_child(
        self,
        name: str,
        budget: Amount,
        *,
        shared: bool = False,
        hard_cap: bool = True,
        metadata: object = None,
    ) -> Wallet:
        """Make a wallet below this one.

        A slice, the default, takes its budget out of this wallet now, and pays alone from then on.
        A shared child has only a cap: it spends this wallet's money, up to `budget`.

        Args:
            name: unlike any sibling's; 1 to 256 bytes, no slash and no control character.
            budget: in the ledger's unit; may be 0.
            shared: make a shared child.
            hard_cap: refuse to go beyond the budget. A soft slice draws what it lacks from this
                wallet and is refused only when this one cannot pay; a soft shared child's cap is
                counted, not enforced.
            metadata: anything that msgspec can encode.

        Raises:
            InsufficientCreditsError: a slice's budget is more than this wallet has.
            DuplicateNameError: the name is taken.
            InvalidNameError: the name cannot be one.
            TooDeepError: it would stand 64 deep, or be the third soft slice in a row.
            InvalidAmountError: the budget is no amount.
            FrozenWalletError, ClosedWalletError: this wallet is.
            TypeError: the metadata cannot be encoded.
        """
        return Wallet(self.new_child(name, budget, shared, hard_cap, metadata))

    def get_receipt(self) -> Receipt:
        """Return who spent what, here and below, with all that returned before this call."""
        from outlay.receipts import receipt_of

        return receipt_of(self)
