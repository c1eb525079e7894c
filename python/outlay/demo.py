"""The main job, on real AutoGen: a group chat whose roles cannot outspend their wallets.

A task wallet of 1000 credits; 400 of them for the researcher, 300 for the writer, 150 for the
critic, 150 left as a buffer. A planner without a wallet hands out the work. Everything is AutoGen's
own but the models' replies, which are scripted, so that no network and no key is needed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    ToolCallExecutionEvent,
    ToolCallRequestEvent,
)
from autogen_agentchat.teams import SelectorGroupChat
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    ModelFamily,
    ModelInfo,
    RequestUsage,
)
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from outlay.adapters.autogen import BudgetTermination, MeteredTool, metered
from outlay.ledger import Ledger
from outlay.wallet import Wallet

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

TASK = "groupchat-sprint-001"
BRIEF = "Write an illustrated report on how arctic terns find their way, and check every claim."
PLANNER = "planner"


class Role(msgspec.Struct, frozen=True):
    """A paid part: its share of the budget, how many calls it makes at once, its cheapest tool."""

    name: str
    goal: str
    share: Decimal
    fewest: int
    most: int
    cheapest: str


ROLES = (
    Role("researcher", "finds sources", Decimal("0.4"), 4, 7, "fetch_page"),
    Role("writer", "writes and illustrates", Decimal("0.3"), 2, 5, "edit_paragraph"),
    Role("critic", "checks claims and style", Decimal("0.15"), 4, 6, "grade_section"),
)

TOPICS = (
    "magnetic compass",
    "star maps",
    "wind drift",
    "coastlines",
    "sun angle",
    "krill blooms",
    "stopover islands",
    "moult and rest",
    "polar light",
    "homing chicks",
)


class Findings(BaseModel):
    """What deep research brought home; it is billed by the page."""

    summary: str
    pages: int


class Services:
    """What the agents buy. The services only pretend to work, for about `pace` seconds a call."""

    def __init__(self, pace: float) -> None:
        self._pace = pace

    def sold_to(self, role: str, wallet: Wallet) -> list[MeteredTool]:
        """The tools of a role, every call of which is paid from its wallet."""
        if role == "researcher":
            return [
                metered(self.web_search, wallet, 4),
                metered(self.fetch_page, wallet, lambda args: 2 * args["pages"]),
                metered(self.deep_research, wallet, 12, actual=lambda _, found: 2 * found.pages),
            ]
        if role == "writer":
            return [
                metered(self.write_section, wallet, 7),
                metered(self.draw_figure, wallet, 10),
                metered(self.edit_paragraph, wallet, 3),
            ]
        return [metered(self.check_facts, wallet, 4), metered(self.grade_section, wallet, 3)]

    async def web_search(self, topic: str) -> str:
        """Search the web. Costs 4 credits."""
        await asyncio.sleep(self._pace)
        if zlib.crc32(topic.encode()) % 16 == 0:
            raise ConnectionError("the search engine could not be reached; nothing was charged")
        return f"Ten links on {topic}."

    async def fetch_page(self, topic: str, pages: int = 1) -> str:
        """Fetch the best pages on a topic. Costs 2 credits a page."""
        await asyncio.sleep(self._pace)
        return f"{pages} pages on {topic}."

    async def deep_research(self, topic: str) -> Findings:
        """Read up to six pages on a topic. Costs 2 credits for each page read, at most 12."""
        await asyncio.sleep(self._pace * 2)
        return Findings(summary=f"All about {topic}.", pages=3 + len(topic) % 4)

    async def write_section(self, topic: str) -> str:
        """Write a section. Costs 7 credits."""
        await asyncio.sleep(self._pace * 2)
        return f"A section on {topic}."

    async def draw_figure(self, topic: str) -> str:
        """Draw a figure. Costs 10 credits."""
        await asyncio.sleep(self._pace * 2)
        return f"A figure of {topic}."

    async def edit_paragraph(self, topic: str) -> str:
        """Edit a paragraph. Costs 3 credits."""
        await asyncio.sleep(self._pace)
        return f"A better paragraph on {topic}."

    def check_facts(self, topic: str) -> str:
        """Check the facts. Costs 4 credits."""
        time.sleep(self._pace)  # not async, so AutoGen runs it in a thread
        return f"The claims on {topic} hold."

    async def grade_section(self, topic: str) -> str:
        """Grade a section. Costs 3 credits."""
        await asyncio.sleep(self._pace)
        return f"The section on {topic} is good."


class Script(Protocol):
    """What a scripted model has for a mind."""

    def reply(
        self, messages: Sequence[LLMMessage], tools: Sequence[str]
    ) -> str | list[FunctionCall]: ...


class Schedule:
    """Who speaks when: the planner opens a round, then every role speaks once, in any order."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next: list[str] = []

    def reply(self, messages: Sequence[LLMMessage], tools: Sequence[str]) -> str:
        if not self._next:
            names = [role.name for role in ROLES]
            self._next = [PLANNER, *self._chance.sample(names, len(names))]
        return self._next.pop(0)


class Plan:
    """The planner's part: a new topic for everybody each round. It costs nothing."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def reply(self, messages: Sequence[LLMMessage], tools: Sequence[str]) -> str:
        return f"Next: {self._chance.choice(TOPICS)}."


class Work:
    """A paid part: many calls at once; after a refusal the cheapest, until that is refused too."""

    def __init__(self, role: Role, chance: random.Random) -> None:
        self._role = role
        self._chance = chance
        self._calls = 0
        self._saving = False
        self._broke = False

    def reply(
        self, messages: Sequence[LLMMessage], tools: Sequence[str]
    ) -> str | list[FunctionCall]:
        last = messages[-1]
        if self._broke:
            return "I have no credits left and go on with what we have."
        if not isinstance(last, FunctionExecutionResultMessage):
            count = self._chance.randint(self._role.fewest, self._role.most)
            return [self._call(self._chance.choice(tools)) for _ in range(count)]
        refusals = [answer.content for answer in last.content if "cannot pay" in answer.content]
        if refusals and self._saving:
            self._broke = True
            return refusals[0]
        self._saving = self._saving or bool(refusals)
        if self._saving:
            return [self._call(self._role.cheapest)]
        return f"{len(last.content)} answers, thank you."

    def _call(self, tool: str) -> FunctionCall:
        self._calls += 1
        args: dict[str, Any] = {"topic": f"{self._chance.choice(TOPICS)}, part {self._calls}"}
        if tool == "fetch_page" and not self._saving:
            args["pages"] = self._chance.randint(1, 3)
        return FunctionCall(f"{self._role.name}-{self._calls}", json.dumps(args), tool)


class ScriptedModel(ChatCompletionClient):
    """A model client whose replies come from a script instead of a network."""

    component_type = "model"

    def __init__(self, script: Script, pace: float) -> None:
        self._script = script
        self._pace = pace

    async def create(
        self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = (), **_: Any
    ) -> CreateResult:
        await asyncio.sleep(self._pace)
        names = [tool.name if isinstance(tool, Tool) else tool["name"] for tool in tools]
        reply = self._script.reply(messages, names)
        return CreateResult(
            finish_reason="stop" if isinstance(reply, str) else "function_calls",
            content=reply,
            usage=self.actual_usage(),
            cached=False,
        )

    async def create_stream(
        self, messages: Sequence[LLMMessage], **options: Any
    ) -> AsyncGenerator[str | CreateResult, None]:
        yield await self.create(messages, **options)

    async def close(self) -> None:
        pass

    def actual_usage(self) -> RequestUsage:
        return RequestUsage(prompt_tokens=0, completion_tokens=0)

    def total_usage(self) -> RequestUsage:
        return self.actual_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], **_: Any) -> int:
        return 0

    def remaining_tokens(self, messages: Sequence[LLMMessage], **_: Any) -> int:
        return 1_000_000

    @property
    def capabilities(self) -> ModelInfo:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            structured_output=False,
            family=ModelFamily.UNKNOWN,
        )


class Turn(msgspec.Struct, frozen=True):
    """What one agent did before the next was asked."""

    round: int
    agent: str
    calls: int  # paid for
    failed: int  # tools that raised: the money went back
    refused: int
    spent: Decimal
    left: Decimal
    words: str


class Part(msgspec.Struct, frozen=True):
    """How a role came out of it."""

    name: str
    budget: Decimal
    spent: Decimal
    left: Decimal
    calls: int
    failed: int
    refused: int
    dry_in_round: int | None


class Chat:
    """The team, its wallets, and what has happened so far."""

    def __init__(self, budget: Decimal, seed: int, rounds: int, pace: float) -> None:
        self.ledger = Ledger()
        self.task = self.ledger.wallets.create(TASK, budget, metadata={"seed": seed})
        self.wallets = {
            role.name: self.task.create_child(role.name, budget * role.share) for role in ROLES
        }
        self.turns: list[Turn] = []
        self.round = 0
        self.speaker = PLANNER
        self.buying: list[str] = []
        self.stop_reason = ""
        self._calls = self._errors = 0
        self._token = CancellationToken()
        self._team = self._gather(seed, rounds, pace)

    def _gather(self, seed: int, rounds: int, pace: float) -> SelectorGroupChat:
        def model(name: str, script: type[Schedule | Plan]) -> ScriptedModel:
            return ScriptedModel(script(random.Random(f"{seed} {name}")), pace)

        services = Services(pace)
        planner = AssistantAgent(PLANNER, model(PLANNER, Plan), description="hands out the work")
        agents = [planner]
        for role in ROLES:
            work = Work(role, random.Random(f"{seed} {role.name}"))
            agents.append(
                AssistantAgent(
                    role.name,
                    ScriptedModel(work, pace),
                    tools=[*services.sold_to(role.name, self.wallets[role.name])],
                    description=role.goal,
                    max_tool_iterations=12,
                )
            )
        # One role that runs dry does not end the chat. When no role can buy, there is no point.
        researcher, writer, critic = (BudgetTermination(w) for w in self.wallets.values())
        return SelectorGroupChat(
            [*agents],
            model("selector", Schedule),
            termination_condition=researcher & writer & critic,
            max_turns=rounds * len(agents),
        )

    def stop(self) -> None:
        """Stop the chat at once."""
        # A team whose reader has left runs on, and spends, to its end; only its token stops it, and
        # frozen wallets keep it from spending meanwhile. It logs errors of its own while it is torn
        # down (microsoft/autogen#7007), which are no news to whoever stopped it.
        self.task.freeze()
        for name in ("asyncio", "autogen_core"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._token.cancel()

    async def run(self) -> AsyncGenerator[Turn, None]:
        """Run the chat to its end, turn by turn."""
        async for event in self._team.run_stream(task=BRIEF, cancellation_token=self._token):
            if isinstance(event, TaskResult):
                self.stop_reason = event.stop_reason or ""
            elif event.source == PLANNER or event.source in self.wallets:
                turn = self._fold(event)
                if turn is not None:
                    self.turns.append(turn)
                    yield turn

    def _fold(self, event: BaseAgentEvent | BaseChatMessage) -> Turn | None:
        self.speaker = event.source
        if isinstance(event, ToolCallRequestEvent):
            self._calls += len(event.content)
            self.buying = [call.name for call in event.content]
        elif isinstance(event, ToolCallExecutionEvent):
            self._errors += sum(bool(result.is_error) for result in event.content)
            self.buying = []
        elif isinstance(event, BaseChatMessage):
            self.round += event.source == PLANNER
            return self._close_turn(event)
        return None

    def _close_turn(self, last: BaseChatMessage) -> Turn:
        wallet = self.wallets.get(last.source)
        before = [turn for turn in self.turns if turn.agent == last.source]
        refused = wallet.refusals - sum(turn.refused for turn in before) if wallet else 0
        spent = wallet.spent - sum(turn.spent for turn in before) if wallet else Decimal(0)
        turn = Turn(
            round=self.round,
            agent=last.source,
            calls=self._calls - self._errors,
            failed=self._errors - refused,
            refused=refused,
            spent=spent,
            left=wallet.available if wallet else Decimal(0),
            words=last.to_text(),
        )
        self._calls = self._errors = 0
        return turn

    def part(self, name: str) -> Part:
        """How a role is doing."""
        turns = [turn for turn in self.turns if turn.agent == name]
        wallet = self.wallets[name]
        return Part(
            name=name,
            budget=wallet.budget,
            spent=wallet.spent,
            left=wallet.available,
            calls=sum(turn.calls for turn in turns),
            failed=sum(turn.failed for turn in turns),
            refused=sum(turn.refused for turn in turns),
            dry_in_round=next((turn.round for turn in turns if turn.refused), None),
        )

    def outcome(self) -> Outcome:
        """What came of it, and whether every credit is accounted for."""
        parts = [self.part(name) for name in self.wallets]
        receipt = self.task.get_receipt()
        out_of_rounds = self.stop_reason.startswith("Maximum number of turns")
        return Outcome(
            task=self.task.path,
            unit=self.ledger.unit,
            budget=self.task.budget,
            rounds=self.round,
            ended_by="rounds" if out_of_rounds else "budget",
            stop_reason=self.stop_reason,
            roles=parts,
            spent=receipt.total_credits,
            left=sum((part.left for part in parts), Decimal(0)),
            buffer=self.task.available,
            charges=receipt.call_count,
            refused=receipt.totals.refusals,
            failed=sum(part.failed for part in parts),
            open_reservations=receipt.totals.open_reservations,
            findings=[str(finding) for finding in self.ledger.audit()],
        )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a chat. Amounts are in `unit`; `left` is what the roles have left."""

    task: str
    unit: str
    budget: Decimal
    rounds: int
    ended_by: Literal["budget", "rounds"]
    stop_reason: str
    roles: list[Part]
    spent: Decimal
    left: Decimal
    buffer: Decimal
    charges: int
    refused: int
    failed: int
    open_reservations: int
    findings: list[str]

    def problems(self) -> list[str]:
        """Why this outcome cannot be right; empty when every credit is accounted for."""
        problems = list(self.findings)
        if self.open_reservations:
            problems.append(f"{self.open_reservations} reservations were left open")
        if self.spent + self.left + self.buffer != self.budget:
            problems.append(f"{self.spent} + {self.left} + {self.buffer} is not {self.budget}")
        return problems


def play(*, budget: Decimal, seed: int, rounds: int, as_json: bool) -> int:
    """Run the chat and tell what happened. Returns 0 if every credit is accounted for, else 1."""
    console = None if as_json else _terminal()
    chat = Chat(budget, seed, rounds, pace=0.04 if console else 0)
    if as_json:
        asyncio.run(_watch(chat))
        outcome = chat.outcome()
        receipt = chat.task.get_receipt().to_dict()
        print(json.dumps({**msgspec.to_builtins(outcome), "receipt": receipt}, indent=2))
    elif console is None:
        print(_opening(chat))
        asyncio.run(_watch(chat, lambda turn: print(_line(turn), flush=True)))
        outcome = chat.outcome()
        print(f"\n{chat.task.get_receipt()}\n\n{_closing(outcome)}")
    else:
        _show(chat, console)
        outcome = chat.outcome()
        console.print(chat.task.get_receipt(), "", _closing(outcome), sep="\n", highlight=False)
    for problem in outcome.problems():
        print(f"outlay demo: {problem}", file=sys.stderr)
    return 1 if outcome.problems() else 0


async def _watch(chat: Chat, see: Callable[[Turn], None] | None = None) -> None:
    """Run the chat; if this task is cancelled or `see` raises, stop it first."""
    reading = asyncio.ensure_future(_read(chat, see))
    try:
        await asyncio.shield(reading)
    except BaseException:
        chat.stop()
        await asyncio.wait([reading])
        raise


async def _read(chat: Chat, see: Callable[[Turn], None] | None) -> None:
    async with aclosing(chat.run()) as turns:
        try:
            async for turn in turns:
                if see is not None:
                    see(turn)
        except BaseException:
            chat.stop()
            raise


def _opening(chat: Chat) -> str:
    shares = [f"{wallet.budget:f} {name}" for name, wallet in chat.wallets.items()]
    shares.append(f"{chat.task.available:f} buffer")
    return f"{TASK}: {chat.task.budget:f} {chat.ledger.unit} = {' + '.join(shares)}\n"


def _line(turn: Turn) -> str:
    """A turn in one line; in two if the agent was refused, for what it read."""
    start = f"round {turn.round:>2}  {turn.agent:<10}  "
    if not turn.calls + turn.failed + turn.refused:
        return start + turn.words
    line = f"{start}{turn.calls:>2} paid {turn.spent:>6f} spent {turn.left:>6f} left"
    if turn.failed:
        line += f"  {turn.failed} failed, not charged"
    if turn.refused:
        line += f"  {turn.refused} REFUSED\n{'':>{len(start)}}{turn.words}"
    return line


def _closing(outcome: Outcome) -> str:
    """The account: who ran dry and when, and that it adds up."""
    why = (
        "no role could pay for more" if outcome.ended_by == "budget" else "--rounds allows no more"
    )
    lines = [f"The chat ended after round {outcome.rounds}: {why}.", ""]
    for part in sorted(outcome.roles, key=lambda part: part.dry_in_round or outcome.rounds + 1):
        dry = f"dry in round {part.dry_in_round:>2}" if part.dry_in_round else "never dry"
        lines.append(
            f"  {part.name:<10}  {dry:<15}  {part.calls:>4} paid  {part.refused:>2} refused"
            f"  {part.failed:>2} failed  {part.left:>7f} left"
        )
    total = f"{outcome.budget:f} {outcome.unit} = {outcome.spent:f} spent"
    rest = f"{outcome.left:f} left to the roles + {outcome.buffer:f} in the buffer"
    lines += ["", f"  {total} + {rest}"]
    if not outcome.problems():
        lines.append("  Nobody outspent: the audit is clean, and no reservation is open.")
    return "\n".join(lines)


def _terminal() -> Console | None:
    """The terminal to draw on; None without one, or without rich."""
    if not sys.stdout.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console()
    return None if console.is_dumb_terminal else console


def _show(chat: Chat, console: Console) -> None:
    """Run the chat under a picture of its wallets, which another thread reads as they change."""
    from rich.live import Live

    with Live(
        get_renderable=lambda: _picture(chat, console.width), console=console, refresh_per_second=20
    ):
        asyncio.run(_watch(chat))
        chat.speaker, chat.buying = "", []


_COLOURS = {"researcher": "cyan", "writer": "magenta", "critic": "yellow"}


def _picture(chat: Chat, width: int) -> RenderableType:
    """The tree of wallets as bars, and the last turns."""
    from rich.console import Group
    from rich.text import Text

    bought = ", ".join(f"{name} x{count}" for name, count in Counter(chat.buying).items())
    now = f"round {chat.round:>2}  {chat.speaker:<10}  {bought}" if chat.speaker else ""
    lines = [line for turn in chat.turns[-6:] for line in _line(turn).splitlines()]
    said = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
    return Group(_tree(chat, max(8, min(32, width - 72))), "", *said, Text(now, "bold"), "")


def _tree(chat: Chat, width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    tree = Table.grid(padding=(0, 2))
    parts = [chat.part(name) for name in chat.wallets]
    spent = [(part.spent, _COLOURS[part.name], "█") for part in parts]
    budget, buffer = chat.task.budget, chat.task.available
    total = sum((part.spent for part in parts), Decimal(0))
    tree.add_row(
        Text(TASK, "bold"), _bar(width, budget, spent), f"{budget - total:f} of {budget:f} left"
    )
    for part in parts:
        colour = _COLOURS[part.name]
        held = chat.wallets[part.name].reserved
        name = Text(f"├─ {part.name}", f"bold {colour}" if chat.speaker == part.name else colour)
        bar = _bar(width, part.budget, [(part.spent, colour, "█"), (held, colour, "▒")])
        dry = f"{part.refused} refused, dry in round {part.dry_in_round}"
        left = Text(f"{part.left:f} of {part.budget:f} left")
        tree.add_row(name, bar, left, Text(dry if part.dry_in_round else "", "bold red"))
    tree.add_row("└─ buffer", _bar(width, buffer, []), f"{buffer:f} of {buffer:f} left")
    return tree


def _bar(width: int, total: Decimal, segments: list[tuple[Decimal, str, str]]) -> Text:
    from rich.text import Text

    bar = Text()
    reached = Decimal(0)
    for amount, colour, glyph in segments:
        reached += amount
        bar.append(glyph * (round(reached / total * width) - len(bar)), colour)
    return bar.append("░" * (width - len(bar)), "dim")
