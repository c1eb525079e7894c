"""What people write instead: a dict a wallet, one lock a tree, a list of what was charged."""

import time
from collections import deque
from threading import Lock


class NoMoneyError(Exception):
    """There is not enough."""


class DictWallet:
    """A budget whose children spend their parents' money. Right as long as everyone plays along."""

    def __init__(self, name, budget, parent=None):
        self.path = [*(parent.path if parent else ()), {"name": name, "left": budget}]
        self.lock = parent.lock if parent else Lock()
        self.charges = parent.charges if parent else deque(maxlen=65_536)

    def spend(self, amount, *, service=None, metadata=None):
        """Take the amount from every wallet up to the root, or from none."""
        return self.commit(self.reserve(amount), service=service, metadata=metadata)

    def reserve(self, amount):
        """Set the amount aside."""
        if amount <= 0:
            raise ValueError(amount)
        with self.lock:
            for wallet in self.path:
                if wallet["left"] < amount:
                    raise NoMoneyError(wallet["name"], amount, wallet["left"])
            for wallet in self.path:
                wallet["left"] -= amount
        return amount

    def commit(self, amount, *, service=None, metadata=None):
        """Write down what was set aside as spent. Nothing keeps anyone from doing that twice."""
        charge = {
            "wallet": self.path[-1]["name"],
            "amount": amount,
            "service": service,
            "metadata": metadata,
            "time": time.time(),
        }
        self.charges.append(charge)
        return charge
