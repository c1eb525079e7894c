"""AutoGen (autogen-core and autogen-agentchat 0.7): paid tools, and a team that stops when broke.

    search = metered(web_search, researcher, 5)                  # every call costs 5
    fetch = metered(fetch_page, researcher, lambda args: 2 * args["pages"])
    agent = AssistantAgent("researcher", model_client, tools=[search, fetch])
    team = RoundRobinGroupChat([agent, ...], termination_condition=BudgetTermination(researcher))

The money is reserved before the tool runs and settled when it ends, so calls in flight count. A
call that cannot be paid is answered with a tool error that the model reads; the tool is not called.

AssistantAgent hangs for ever when anything but an Exception leaves a tool (microsoft/autogen#7956).
What interrupts a metered tool is therefore settled and turned into an Exception.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    Generator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypeVar, cast

import msgspec
from autogen_agentchat.base import TerminatedException, TerminationCondition
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, StopMessage
from autogen_core import CancellationToken, MessageHandlerContext
from autogen_core.tools import BaseStreamTool, BaseTool, FunctionTool, StreamTool, Tool, ToolSchema
from pydantic import BaseModel

from outlay._engine import Reservation, Spender
from outlay.errors import InvalidAmountError, OutlayError
from outlay.money import Amount, decimal, nanos
from outlay.wallet import Wallet

__all__ = [
    "Actual",
    "BudgetTermination",
    "MeteredStreamTool",
    "MeteredTool",
    "Price",
    "Settlement",
    "ToolCancelledError",
    "UnpaidCallError",
    "WalletSource",
    "metered",
]

Price = Amount | Callable[[Mapping[str, Any]], Amount]
"""A fixed price, or a function of the call's arguments (validated, defaults filled in)."""

Actual = Callable[[Mapping[str, Any], Any], Amount | None]
"""What a call did cost, of its arguments and its result; None if that is not known."""

WalletSource = (
    Wallet
    | Spender
    | Mapping[str, Wallet | Spender]
    | Callable[[str | None], Wallet | Spender | None]
)
"""Who pays: one wallet, one for each agent by name, or a function of the calling agent's name."""

Settlement = Literal["commit", "release"]

_T = TypeVar("_T")
_R = TypeVar("_R")

_PAYERS = (Wallet, Spender)

_log = logging.getLogger(__name__)


class UnpaidCallError(OutlayError):
    """Raised when a call has no wallet or no price: the tool was not called, nothing charged."""


class ToolCancelledError(OutlayError):
    """Raised in place of what interrupted a tool, once the call has been settled."""


class MeteredTool(BaseTool[BaseModel, BaseModel]):
    """A tool that is paid for before it runs. Made by `metered`, which has the arguments.

    Name, description and schema are those of the tool inside. The schema is built once: AutoGen
    asks for it on every model call and every tool call, and a plain tool rebuilds it each time.
    """

    def __init__(
        self,
        tool: Tool,
        wallet: WalletSource,
        price: Price,
        *,
        service: str | None = None,
        actual: Actual | None = None,
        on_cancel: Settlement = "commit",
        on_error: Settlement = "release",
        name: str | None = None,
        description: str | None = None,
    ) -> None:
        schema = tool.schema
        super().__init__(
            tool.args_type(),
            tool.return_type(),
            name or tool.name,
            tool.description if description is None else description,
            schema.get("strict", False),
        )
        self._schema = cast(
            ToolSchema, {**schema, "name": self._name, "description": self._description}
        )
        self._inner = tool
        self._terms = _Terms(
            name=self._name,
            service=service or self._name,
            args_type=self._args_type,
            find_wallet=_wallet_finder(wallet),
            price=_checked_price(price, wallet),
            actual=actual,
            on_cancel=_checked_settlement(on_cancel),
            on_error=_checked_settlement(on_error),
        )

    @property
    def schema(self) -> ToolSchema:
        return self._schema

    def state_type(self) -> type[BaseModel] | None:
        return self._inner.state_type()

    def return_value_as_string(self, value: Any) -> str:
        return self._inner.return_value_as_string(value)

    async def save_state_json(self) -> Mapping[str, Any]:
        return await self._inner.save_state_json()

    async def load_state_json(self, state: Mapping[str, Any]) -> None:
        await self._inner.load_state_json(state)

    def run_json(
        self,
        args: Mapping[str, Any],
        cancellation_token: CancellationToken,
        call_id: str | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Pay for the call, run it, settle.

        Raises:
            RefusalError: the wallet cannot pay.
            UnpaidCallError: nobody is to pay, or the price is unknown.
            ToolCancelledError: the call was interrupted.
            Exception: what the tool raises.
        """
        run = self._run_paid(args, cancellation_token, call_id)
        return _Answering(run, self._name, cancellation_token)

    async def run(self, args: BaseModel, cancellation_token: CancellationToken) -> Any:
        return await self.run_json(args.model_dump(), cancellation_token)

    async def _run_paid(
        self, args: Mapping[str, Any], token: CancellationToken, call_id: str | None
    ) -> Any:
        with self._terms.pay(args, token, call_id) as payment:
            result = await self._inner.run_json(args, token, call_id)
            payment.settle(result)
        return result

    def _to_config(self) -> BaseModel:
        raise NotImplementedError(
            f"The metered tool {self._name!r} cannot be dumped: a wallet is live money, and a tool"
            " loaded without it would run unpaid. Dump the plain tool and meter it after loading."
        )


class MeteredStreamTool(MeteredTool, BaseStreamTool[BaseModel, BaseModel, BaseModel]):
    """A metered tool that streams, such as AgentTool and TeamTool: inner events stay visible."""

    async def run_json_stream(
        self,
        args: Mapping[str, Any],
        cancellation_token: CancellationToken,
        call_id: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Pay for the call, pass on what it yields, settle after the last item.

        Raises what `run_json` raises. A stream that is abandoned is settled by `on_cancel`.
        """
        inner = cast(StreamTool, self._inner)
        item: Any = None
        with self._terms.pay(args, cancellation_token, call_id) as payment:
            async with aclosing(inner.run_json_stream(args, cancellation_token, call_id)) as items:
                async for item in items:
                    yield item
            payment.settle(item)

    async def run_stream(
        self, args: BaseModel, cancellation_token: CancellationToken
    ) -> AsyncGenerator[Any, None]:
        async with aclosing(self.run_json_stream(args.model_dump(), cancellation_token)) as items:
            async for item in items:
                yield item


def metered(
    tool: Tool | Callable[..., Any],
    wallet: WalletSource,
    price: Price,
    *,
    service: str | None = None,
    actual: Actual | None = None,
    on_cancel: Settlement = "commit",
    on_error: Settlement = "release",
    name: str | None = None,
    description: str | None = None,
) -> MeteredTool:
    """Make a tool, or any callable that AutoGen can make a tool of, cost money.

    Args:
        tool: what is called once it is paid for.
        wallet: pays. With a mapping or a function the name of the calling agent decides who does,
            and a call without a wallet is denied. An agent has a name only in a team; inside an
            AgentTool it is the name of the agent outside.
        price: reserved before the call, in the ledger's unit; committed after it.
        service: labels the charge; the tool's name by default.
        actual: says what to commit instead of the price, when it knows.
        on_cancel: what becomes of the price of an interrupted call, which may have been billed.
        on_error: what becomes of the price if the tool raises an Exception. A TimeoutError counts
            as a cancellation: the call may have been billed.
        name: instead of the tool's.
        description: instead of the tool's.

    Raises:
        InvalidAmountError: a fixed price is no amount above zero.
        TypeError: anything is of the wrong type.
        ValueError: a settlement is neither "commit" nor "release".
    """
    if not isinstance(tool, Tool):
        tool = FunctionTool(tool, description=description or tool.__doc__ or "", name=name)
    kind = MeteredStreamTool if isinstance(tool, StreamTool) else MeteredTool
    return kind(
        tool,
        wallet,
        price,
        service=service,
        actual=actual,
        on_cancel=on_cancel,
        on_error=on_error,
        name=name,
        description=description,
    )


class BudgetTermination(TerminationCondition):
    """Ends a team's run once a wallet is dry; looked at after every turn.

    A wallet is dry when less than `floor` can be spent from it (without a floor: when it is
    exhausted), when it was asked for money and refused since the last reset (unless `on_refusal`
    is false), or when it is frozen or closed. A single wallet is watched, so a role that runs dry
    does not end a chat which watches another's: combine with `&` to go on until several are dry,
    with `|` to stop at the first. With `subtree`, the wallet and all below it are watched as one:
    what is left is the sum, and a refusal anywhere counts.

    Once it has fired it stays so until `reset`, which teams call themselves. A run that begins
    without a task has its first turn before any condition is asked.

    Args:
        wallet: what is watched.
        floor: in the ledger's unit.
        on_refusal: end the run when the wallet refuses a call.
        subtree: watch the wallets below, too.

    Raises:
        InvalidAmountError: the floor is no amount.
        TypeError: it is not a wallet that is to be watched, or the floor is no number.
    """

    def __init__(
        self,
        wallet: Wallet,
        floor: Amount | None = None,
        *,
        on_refusal: bool = True,
        subtree: bool = False,
    ) -> None:
        if not isinstance(wallet, Wallet):
            raise TypeError(f"a wallet is to be watched, not {type(wallet).__name__}")
        scale = wallet.ledger.scale
        self._wallet = wallet
        self._floor = None if floor is None else decimal(nanos(floor, scale), scale)
        self._on_refusal = on_refusal
        self._subtree = subtree
        self._refusals = self._count_refusals()
        self._terminated = False

    @property
    def terminated(self) -> bool:
        # Never read live: OrTerminationCondition fails the team if this changes between its turns.
        return self._terminated

    async def __call__(
        self, messages: Sequence[BaseAgentEvent | BaseChatMessage]
    ) -> StopMessage | None:
        if self._terminated:
            raise TerminatedException("The budget has already ended this run; reset it first.")
        reason = self._why_dry()
        if reason is None:
            return None
        self._terminated = True
        left = f"{self._left():f} {self._wallet.ledger.unit} left"
        return StopMessage(
            content=f"Out of budget: {self._wallet.path!r} {reason} ({left})",
            source=type(self).__name__,
        )

    async def reset(self) -> None:
        self._terminated = False
        self._refusals = self._count_refusals()

    def _why_dry(self) -> str | None:
        if self._wallet.closed:
            return "is closed"
        if self._wallet.frozen:
            return "is frozen"
        if self._on_refusal and self._count_refusals() > self._refusals:
            return "refused a call"
        if self._floor is not None:
            return f"is below {self._floor:f}" if self._left() < self._floor else None
        exhausted = self._left() == 0 if self._subtree else self._wallet.is_exhausted()
        return "is exhausted" if exhausted else None

    def _left(self) -> Decimal:
        # A shared child has a cap and no money: what it may spend is its parent's.
        wallet, *below = self._watched()
        left = min(wallet.available, wallet.fits) if wallet.shared else wallet.available
        return sum((child.available for child in below if not child.shared), left)

    def _count_refusals(self) -> int:
        return sum(wallet.refusals for wallet in self._watched())

    def _watched(self) -> list[Wallet]:
        wallets = [self._wallet]
        if self._subtree:
            for wallet in wallets:
                wallets.extend(wallet.children)
        return wallets

    def _to_config(self) -> BaseModel:
        raise NotImplementedError(
            f"The budget termination of {self._wallet.path!r} cannot be dumped: a wallet is live"
            " money. Add the condition to the team after loading it."
        )


class _Terms(msgspec.Struct, frozen=True):
    """Who pays for a tool's calls, how much, and what becomes of those that do not end well."""

    name: str
    service: str
    args_type: type[BaseModel]
    find_wallet: Callable[[str | None], Wallet | Spender | None]
    price: Price
    actual: Actual | None
    on_cancel: Settlement
    on_error: Settlement

    def pay(
        self, args: Mapping[str, Any], token: CancellationToken, call_id: str | None
    ) -> _Payment:
        arguments = args
        if callable(self.price) or self.actual is not None:
            # They must see what the tool will see: "3" times 2 is 6 there, but "33" in Python.
            arguments = self.args_type.model_validate(args).model_dump()
        return _Payment(self, arguments, token, self._reserve(arguments, call_id))

    def _reserve(self, arguments: Mapping[str, Any], call_id: str | None) -> Reservation:
        agent = _calling_agent()
        spender = self._ask(self.find_wallet, agent, "wallet")
        if not isinstance(spender, _PAYERS):
            who = "a caller whose name is unknown" if agent is None else f"the agent {agent!r}"
            self._deny(f"no wallet pays for {who}")
        price = self._ask(self.price, arguments, "price") if callable(self.price) else self.price
        try:
            return spender.reserve(
                price,
                service=self.service,
                agent=agent,
                metadata=None if call_id is None else {"call_id": call_id},
                on_cancel=self.on_cancel,
            )
        except (InvalidAmountError, TypeError) as error:
            self._deny(f"its price is unusable ({error})", error)

    def _ask(self, answer: Callable[[_T], _R], question: _T, noun: str) -> _R:
        try:
            return answer(question)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._deny(f"its {noun} could not be determined ({_named(error)})", error)

    def _deny(self, reason: str, cause: BaseException | None = None) -> NoReturn:
        raise UnpaidCallError(
            f"{self.name} was not called: {reason}. Nothing was charged. Do not repeat this call."
        ) from cause


class _Payment:
    """One call whose price is reserved: settled when its scope ends, however that ends."""

    __slots__ = ("_arguments", "_hold", "_terms", "_token")

    def __init__(
        self,
        terms: _Terms,
        arguments: Mapping[str, Any],
        token: CancellationToken,
        hold: Reservation,
    ) -> None:
        self._terms = terms
        self._arguments = arguments
        self._token = token
        self._hold = hold

    def settle(self, result: Any) -> None:
        if self._terms.actual is None:
            return
        try:
            self._hold.commit(self._terms.actual(self._arguments, result))
        except Exception as error:
            # The call was made. Without a cost that can be believed, the price stands.
            _log.warning(
                "%s: the actual cost is unusable (%s); charged %s",
                self._terms.name,
                _named(error),
                self._hold.amount,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failed = isinstance(error, Exception)
        if failed and self._terms.on_error == "commit" and self._hold.state == "held":
            self._hold.commit()
        # Commits at a normal end, releases on an Exception, follows `on_cancel` on all else;
        # unless it is settled already.
        self._hold.__exit__(kind, error, trace)
        if error is None or failed or isinstance(error, (GeneratorExit, KeyboardInterrupt)):
            return
        if isinstance(error, asyncio.CancelledError) and _is_task_cancelled(self._token):
            return
        outcome = "charged" if self._terms.on_cancel == "commit" else "not charged"
        raise ToolCancelledError(
            f"{self._terms.name} was interrupted ({type(error).__name__}) before it answered;"
            f" the call was {outcome}."
        ) from error


class _Answering(Coroutine[Any, Any, Any]):
    """A coroutine that raises an Exception if its token cancels it before it has begun.

    AutoGen makes a task of every call and links it to the token; when that fires before the task's
    first step, not one line of a tool is run, and the agent waits for its answer for ever.
    """

    def __init__(self, run: Coroutine[Any, Any, Any], name: str, token: CancellationToken) -> None:
        self._run = run
        self._name = name
        self._token = token

    def send(self, value: Any) -> Any:
        return self._run.send(value)

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        error = typ if val is None else val
        begun = inspect.getcoroutinestate(self._run) != inspect.CORO_CREATED
        if begun or not self._token.is_cancelled():
            return self._run.throw(error)
        self._run.close()
        raise ToolCancelledError(
            f"{self._name} was cancelled before it began; nothing was charged."
        ) from (error if isinstance(error, BaseException) else None)

    def close(self) -> None:
        self._run.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._run.__await__()


def _calling_agent() -> str | None:
    try:
        agent = MessageHandlerContext.agent_id()
    except RuntimeError:  # outside a message handler: an agent that runs alone, without a team
        return None
    return agent.type.removesuffix(f"_{agent.key}")  # a team registers "writer" as "writer_<team>"


def _is_task_cancelled(token: CancellationToken) -> bool:
    # A fired token cancels the task too, but only as AutoGen's way to say "stop this call".
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0 and not token.is_cancelled()


def _wallet_finder(wallet: WalletSource) -> Callable[[str | None], Wallet | Spender | None]:
    if isinstance(wallet, Wallet):
        wallet = wallet.spender()
    if isinstance(wallet, Spender):
        spender = wallet
        return lambda _: spender
    if isinstance(wallet, Mapping):
        wallets = wallet
        return lambda agent: None if agent is None else wallets.get(agent)
    if callable(wallet):
        return wallet
    raise TypeError(f"a wallet, a mapping or a function is to pay, not {type(wallet).__name__}")


def _checked_price(price: Price, wallet: WalletSource) -> Price:
    if inspect.iscoroutinefunction(price):
        raise TypeError("a price is known before the call: its function cannot be async")
    if callable(price):
        return price
    # Only an owner's handle tells the scale; of others, the first call will.
    if nanos(price, wallet.ledger.scale if isinstance(wallet, Wallet) else 9) == 0:
        raise InvalidAmountError("a price must be above zero; a free tool needs no metering")
    return price


def _checked_settlement(settlement: Settlement) -> Settlement:
    if settlement not in ("commit", "release"):
        raise ValueError(f"'commit' or 'release', not {settlement!r}")
    return settlement


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
