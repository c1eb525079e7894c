"""What every test gets: both event loops, a search that suits the occasion, and an audit."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

import anyio
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
def audited(request: pytest.FixtureRequest) -> Iterator[None]:
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

    # Not the fixture of that name: by it a test would be taken for one that cannot run in parallel.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlay.Ledger, "__init__", remembered)
        yield
    for ledger in made:
        ledger.expire()
        assert [path for task in ledger.wallets.list() for path in open_holds(task)] == []
        assert ledger.audit() == []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under pytest-run-parallel, `make test-freethreaded`, several threads run a test at once."""
    if str(config.getoption("parallel_threads", "1")) == "1":
        return
    for item in items:
        if isinstance(item, pytest.Function) and isinstance(item.parent, pytest.Module):
            item.obj = with_its_own(item)
        if "caplog" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.thread_unsafe(reason="all threads write one log"))


def with_its_own(item: pytest.Function) -> Callable[..., None]:
    """A test that, in every thread, has the fixtures of its file and an event loop to itself.

    The plugin would hand one wallet to all threads, and would not wait for an asynchronous test.
    """
    test = item.obj
    known = item._fixtureinfo.name2fixturedefs

    def own(name: str, made: dict[str, Any]) -> Any:
        if name not in made:
            fixture = known[name][-1]
            if fixture.func.__module__ == test.__module__:
                made[name] = fixture.func(**{arg: own(arg, made) for arg in fixture.argnames})
            else:
                made[name] = item.funcargs[name]
        return made[name]

    @functools.wraps(test)
    def run(**given: Any) -> None:
        foreign = [name for name in given if known[name][-1].func.__module__ != test.__module__]
        made = {name: given[name] for name in foreign}
        call = functools.partial(test, **{name: own(name, made) for name in given})
        if inspect.iscoroutinefunction(test):
            anyio.run(call, backend=item.callspec.params["anyio_backend"])
        else:
            call()

    return run
