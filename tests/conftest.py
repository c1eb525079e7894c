"""What every test gets: both event loops, a search that suits the occasion, and an audit."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

import outlay

# "nightly" is what `make laws` asks for. No deadlines: a slow machine is no fact about money.
hypothesis.settings.register_profile(
    "default", max_examples=60, stateful_step_count=30, deadline=None, print_blob=True
)
hypothesis.settings.register_profile(
    "nightly", max_examples=2_000, stateful_step_count=50, deadline=None, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("OUTLAY_PROFILE", "default"))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Runs an asynchronous test on both loops; a module that can have only one overrides this."""
    return request.param


def open_holds(wallet: outlay.Wallet) -> list[str]:
    """The paths below `wallet`, itself included, where money is still reserved."""
    below = [path for child in wallet.children for path in open_holds(child)]
    return [wallet.path, *below] if wallet.reserved else below


@pytest.fixture(autouse=True)
def audited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that leaves a reservation open, or a ledger whose books do not balance.

    The ledgers of a test are kept alive until it is over, or most would be gone unaudited. One that
    leaves holds on purpose, or makes more ledgers than fit in memory, is marked `leaves_holds`.
    """
    if request.node.get_closest_marker("leaves_holds"):
        yield
        return
    made: list[outlay.Ledger] = []
    init = outlay.Ledger.__init__

    def remembered(self: outlay.Ledger, *args: object, **options: object) -> None:
        init(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(outlay.Ledger, "__init__", remembered)
    yield
    for ledger in made:
        ledger.expire()
        assert [path for task in ledger.wallets.list() for path in open_holds(task)] == []
        assert ledger.audit() == []
