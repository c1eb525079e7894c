"""Paid tools and BudgetTermination on real AutoGen; only the models' replies are scripted."""

import asyncio
import json
import threading
import time
from contextlib import suppress

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult, TerminatedException
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.messages import TextMessage, ToolCallExecutionEvent
from autogen_agentchat.teams import RoundRobinGroupChat, SelectorGroupChat
from autogen_agentchat.tools import AgentTool
from autogen_core import AgentId, CancellationToken, FunctionCall, SingleThreadedAgentRuntime
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResultMessage,
    ModelInfo,
    RequestUsage,
)
from autogen_core.tool_agent import ToolAgent
from autogen_core.tools import FunctionTool, StaticWorkbench, StreamTool
from pydantic import BaseModel

import outlay
from outlay.adapters.autogen import (
    BudgetTermination,
    MeteredStreamTool,
    MeteredTool,
    ToolCancelledError,
    UnpaidCallError,
    metered,
)

# By thread: an agent that hangs also swallows the exception a signal would raise.
pytestmark = pytest.mark.timeout(20, method="thread")


@pytest.fixture
def anyio_backend():
    return "asyncio"  # the only one AutoGen runs on


@pytest.fixture
def task():
    return outlay.Ledger().wallets.create("task", 1000)


class Model(ChatCompletionClient):
    """Replies as it is told to, then says "done"; keeps what it was asked."""

    component_type = "model"

    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []

    async def create(self, messages, **options):
        await asyncio.sleep(0)
        self.asked.append(list(messages))
        content = self.replies.pop(0) if self.replies else "done"
        usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
        return CreateResult(finish_reason="stop", content=content, usage=usage, cached=False)

    async def create_stream(self, messages, **options):
        yield await self.create(messages)

    async def close(self):
        pass

    def actual_usage(self):
        return RequestUsage(prompt_tokens=0, completion_tokens=0)

    total_usage = actual_usage

    def count_tokens(self, messages, **options):
        return 0

    remaining_tokens = count_tokens

    @property
    def model_info(self):
        return ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            structured_output=False,
            family="unknown",
        )

    capabilities = model_info


def calls(count, tool="search", **args):
    return [
        FunctionCall(f"call-{number}", json.dumps({"query": "terns", **args}), tool)
        for number in range(count)
    ]


def worker(tool, *replies, name="worker", **options):
    return AssistantAgent(name, Model(*replies), tools=[tool], **options)


def answers(result):
    """What the tools answered, in order."""
    events = [m for m in result.messages if isinstance(m, ToolCallExecutionEvent)]
    return [answer for event in events for answer in event.content]


async def search(query: str) -> str:
    """Search the web."""
    await asyncio.sleep(0)
    return f"links on {query}"


async def call(tool, token=None, **args):
    return await tool.run_json({"query": "terns", **args}, token or CancellationToken(), "call-1")


class TestPaying:
    async def test_reserves_before_the_call_and_commits_after_it(self, task):
        """While a tool runs its price is held; once it has answered the price is spent."""
        held = []

        async def look(query: str) -> str:
            await asyncio.sleep(0)
            held.append((task.reserved, task.available, task.spent))
            return query

        await call(metered(look, task, 5))
        assert held == [(5, 995, 0)]
        assert (task.reserved, task.available, task.spent) == (0, 995, 5)

    @pytest.mark.parametrize("price", [5, "0.07", 0.1])
    async def test_takes_every_kind_of_amount(self, task, price):
        """A fixed price is any amount that a wallet takes."""
        await call(metered(search, task, price))
        assert task.spent == outlay.money.decimal(outlay.money.nanos(price))

    async def test_price_sees_what_the_tool_will_see(self, task):
        """A price function gets validated arguments, defaults filled in, in a copy of its own."""
        seen = []

        async def fetch(query: str, pages: int = 2) -> int:
            return pages

        def price(args):
            seen.append(dict(args))
            args["pages"] = 1
            return 2 * seen[-1]["pages"]

        tool = metered(fetch, task, price)
        assert await call(tool) == 2
        assert await call(tool, pages="3") == 3
        assert seen == [{"query": "terns", "pages": 2}, {"query": "terns", "pages": 3}]
        assert task.spent == 4 + 6

    async def test_invalid_arguments_cost_nothing(self, task):
        """Arguments that the tool would refuse are refused before money is reserved."""
        tool = metered(search, task, lambda args: 5)
        with pytest.raises(ValueError, match="query"):
            await tool.run_json({}, CancellationToken())
        assert task.spent == task.reserved == 0

    async def test_actual_cost(self, task):
        """With `actual`, what the call did cost is committed and the rest goes back."""
        seen = []

        def actual(args, result):
            seen.append((args, result))
            return 3

        await call(metered(search, task, 5, actual=actual))
        assert seen == [({"query": "terns"}, "links on terns")]
        assert (task.spent, task.available) == (3, 997)

    async def test_actual_cost_of_nothing_is_free(self, task):
        """An actual cost of 0 is a release."""
        await call(metered(search, task, 5, actual=lambda args, result: 0))
        assert (task.spent, task.available, task.reserved) == (0, 1000, 0)

    async def test_actual_cost_that_is_not_known(self, task):
        """If `actual` answers None the price stands."""
        await call(metered(search, task, 5, actual=lambda args, result: None))
        assert task.spent == 5

    @pytest.mark.parametrize("cost", [-1, True, "much", ZeroDivisionError])
    async def test_actual_cost_that_cannot_be_believed(self, task, cost, caplog):
        """If `actual` fails or answers nonsense the price stands, and a log says so."""

        def actual(args, result):
            if cost is ZeroDivisionError:
                raise cost
            return cost

        assert await call(metered(search, task, 5, actual=actual)) == "links on terns"
        assert task.spent == 5
        assert "actual cost is unusable" in caplog.text

    @pytest.mark.parametrize(("on_error", "spent"), [("release", 0), ("commit", 5)])
    async def test_a_tool_that_raises(self, task, on_error, spent):
        """What a tool raises passes through; the call is released, or charged on request."""

        async def fail(query: str) -> str:
            raise KeyError(query)

        with pytest.raises(KeyError, match="terns"):
            await call(metered(fail, task, 5, on_error=on_error))
        assert (task.spent, task.reserved) == (spent, 0)

    async def test_labels(self, task):
        """A charge names the tool as its service and keeps AutoGen's call id."""
        await call(metered(search, task, 5))
        await call(metered(search, task, 5, service="bing"))
        first, second = task.get_receipt().charges
        assert (first.service, first.agent, first.metadata) == (
            "search",
            None,
            {"call_id": "call-1"},
        )
        assert second.service == "bing"

    async def test_every_way_in_is_paid(self, task):
        """`run`, a task, a bare await and ToolAgent's keywords cost the same."""
        tool = metered(search, task, 5)
        args = {"query": "terns"}
        await tool.run(tool.args_type()(**args), CancellationToken())
        await tool.run_json(args=args, cancellation_token=CancellationToken(), call_id=None)
        await asyncio.create_task(tool.run_json(args, CancellationToken()))
        await asyncio.ensure_future(tool.run_json(args, CancellationToken()))
        await StaticWorkbench([tool]).call_tool("search", args)
        assert task.spent == 25

    async def test_tool_agent(self, task):
        """AutoGen's ToolAgent runs metered tools."""
        runtime = SingleThreadedAgentRuntime()
        tool = metered(search, task, 5)
        await ToolAgent.register(runtime, "tools", lambda: ToolAgent("runs tools", [tool]))
        runtime.start()
        answer = await runtime.send_message(calls(1)[0], AgentId("tools", "default"))
        await runtime.stop()
        assert answer.content == "links on terns"
        assert [charge.agent for charge in task.get_receipt().charges] == ["tools"]


class TestDenial:
    async def test_reaches_the_model(self, task):
        """A denied call is a tool error; its text tells the model what it can still do."""
        wallet = task.create_child("worker", 7)
        agent = worker(metered(search, wallet, 5), calls(1), calls(1), max_tool_iterations=3)
        result = await agent.run(task="go")
        good, denied = answers(result)
        assert (good.is_error, denied.is_error) == (False, True)
        last = agent._model_client.asked[-1][-1]
        assert isinstance(last, FunctionExecutionResultMessage)
        assert "Use 2 or less" in last.content[0].content
        assert result.messages[-1].content == "done"

    async def test_tool_is_not_called(self, task):
        """A call that cannot be paid never happens."""
        ran = []

        async def buy(query: str) -> str:
            ran.append(query)
            return query

        with pytest.raises(outlay.InsufficientCreditsError):
            await call(metered(buy, task, 1001))
        assert not ran
        assert task.spent == 0

    @pytest.mark.parametrize(("budget", "paid"), [(0, 0), (35, 7), (100, 20)])
    async def test_twenty_at_once(self, task, budget, paid):
        """Of 20 parallel calls as many are paid as can be; the others are denied; none hangs."""
        wallet = task.create_child("worker", budget)
        result = await worker(metered(search, wallet, 5), calls(20)).run(task="go")
        assert [answer.is_error for answer in answers(result)] == [False] * paid + [True] * (
            20 - paid
        )
        assert wallet.spent == 5 * paid
        assert wallet.refusals == 20 - paid

    async def test_frozen_wallet(self, task):
        """A frozen wallet denies every call."""
        task.freeze()
        result = await worker(metered(search, task, 5), calls(3)).run(task="go")
        assert all("frozen" in answer.content for answer in answers(result))
        assert task.spent == 0

    @pytest.mark.parametrize(
        "answer", [None, True, 0, -5, float("nan"), 0.1 + 0.2, "a lot", [5], KeyError("pages")]
    )
    async def test_price_that_is_unknown(self, task, answer):
        """A price function that raises, or returns no amount above zero, denies the call."""

        def price(args):
            if isinstance(answer, KeyError):
                raise answer
            return answer

        with pytest.raises(UnpaidCallError, match=r"search was not called.*price.*Nothing was ch"):
            await call(metered(search, task, price))
        assert (task.spent, task.reserved) == (0, 0)

    @pytest.mark.parametrize("interruption", [asyncio.CancelledError, SystemExit])
    async def test_price_that_interrupts(self, task, interruption):
        """A price or a wallet function cannot hang the agent either: what it raises is a denial."""

        def ask(_):
            raise interruption

        for tool in (metered(search, task, ask), metered(search, ask, 5)):
            with pytest.raises(UnpaidCallError, match=interruption.__name__):
                await call(tool)

    @pytest.mark.parametrize("price", [0, -1, "much", float("inf"), 2**62])
    def test_fixed_price_that_cannot_be_paid(self, task, price):
        """A fixed price that is no amount above zero is refused when the tool is made."""
        with pytest.raises(outlay.InvalidAmountError):
            metered(search, task, price)

    def test_fixed_price_with_too_many_places(self):
        """A fixed price that is finer than the wallet's ledger is refused when the tool is made."""
        tokens = outlay.Ledger(unit="tokens", scale=0).wallets.create("task", 1000)
        with pytest.raises(outlay.InvalidAmountError):
            metered(search, tokens, "0.5")

    @pytest.mark.parametrize("price", [None, True, [5]])
    def test_fixed_price_of_the_wrong_type(self, task, price):
        """A fixed price that is no number at all is a TypeError when the tool is made."""
        with pytest.raises(TypeError):
            metered(search, task, price)

    def test_async_price(self, task):
        """A price function cannot be async: the price is known before the call, or it is denied."""

        async def price(args):
            return 5

        with pytest.raises(TypeError, match="async"):
            metered(search, task, price)

    @pytest.mark.parametrize("option", ["on_cancel", "on_error"])
    def test_unknown_settlement(self, task, option):
        """A call is settled by commit or by release, and a misspelling is caught at once."""
        with pytest.raises(ValueError, match="'commit' or 'release'"):
            metered(search, task, 5, **{option: "refund"})


class Stop(BaseException):
    """Neither an Exception nor a cancellation."""


class TestInterruption:
    @pytest.mark.parametrize("interruption", [asyncio.CancelledError, Stop, SystemExit])
    async def test_base_exceptions_become_errors(self, task, interruption):
        """What would hang AssistantAgent or end the process is an error that the model reads."""

        async def stop(query: str) -> str:
            raise interruption

        agent = worker(metered(stop, task, 5), calls(3, tool="stop"))
        result = await agent.run(task="go")
        assert all(interruption.__name__ in answer.content for answer in answers(result))
        assert all(answer.is_error for answer in answers(result))
        assert task.spent == 15

    async def test_keyboard_interrupt_passes(self, task):
        """Ctrl-C is meant for the program, not for a tool; the call is settled first."""

        async def stop(query: str) -> str:
            raise KeyboardInterrupt

        run = call(metered(stop, task, 5))
        with pytest.raises(KeyboardInterrupt):
            run.send(None)
        assert (task.spent, task.reserved) == (5, 0)

    @pytest.mark.parametrize(("on_cancel", "spent"), [("commit", 5), ("release", 0)])
    @pytest.mark.parametrize("in_team", [False, True])
    async def test_token_fired_during_a_call(self, task, on_cancel, spent, in_team):
        """The run ends at once and the call is settled once, charged unless told otherwise."""
        begun = asyncio.Event()

        async def sleep(query: str) -> str:
            begun.set()
            await asyncio.sleep(60)
            return query

        tool = metered(sleep, task, 5, on_cancel=on_cancel)
        agent = worker(tool, calls(1, tool="sleep"))
        runner = RoundRobinGroupChat([agent], max_turns=3) if in_team else agent
        token = CancellationToken()
        run = asyncio.create_task(runner.run(task="go", cancellation_token=token))
        await begun.wait()
        token.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(run, 5)
        assert (task.spent, task.reserved) == (spent, 0)
        assert task.get_receipt().call_count == (1 if spent else 0)

    async def test_sync_tool_cancelled(self, task):
        """A sync tool's thread runs on after a cancellation, so the call is charged."""
        begun, finished = threading.Event(), threading.Event()

        def work(query: str) -> str:
            begun.set()
            time.sleep(0.2)
            finished.set()
            return query

        token = CancellationToken()
        run = asyncio.create_task(
            worker(metered(work, task, 5), calls(1, tool="work")).run(
                task="go", cancellation_token=token
            )
        )
        assert await asyncio.to_thread(begun.wait, 5)
        token.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(run, 5)
        assert (task.spent, task.reserved) == (5, 0)
        assert await asyncio.to_thread(finished.wait, 5)
        assert (task.spent, task.reserved) == (5, 0)

    async def test_token_fired_before_parallel_calls_begin(self, task):
        """If the first of 20 calls fires the token, it alone is charged, and none hangs."""
        token = CancellationToken()

        async def stop(query: str) -> str:
            token.cancel()
            await asyncio.sleep(0)
            return query

        agent = worker(metered(stop, task, 5), calls(20, tool="stop"))
        with suppress(asyncio.CancelledError):
            result = await agent.run(task="go", cancellation_token=token)
            assert all(answer.is_error for answer in answers(result))
        assert (task.spent, task.reserved) == (5, 0)

    async def test_token_fired_before_the_run(self, task):
        """With a token that is spent already no tool runs, nothing is charged, nothing hangs."""
        token = CancellationToken()
        token.cancel()
        agent = worker(metered(search, task, 5), calls(3))
        with suppress(asyncio.CancelledError):
            result = await agent.run(task="go", cancellation_token=token)
            assert all("before it began" in answer.content for answer in answers(result))
        assert (task.spent, task.reserved) == (0, 0)

    @pytest.mark.parametrize(("on_cancel", "spent"), [("commit", 5), ("release", 0)])
    async def test_cancelled_task(self, task, on_cancel, spent):
        """A task that its owner cancels stays cancelled, and its call is settled."""

        async def sleep(query: str) -> str:
            await asyncio.sleep(60)
            return query

        run = asyncio.create_task(call(metered(sleep, task, 5, on_cancel=on_cancel)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert task.reserved == 5
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert run.cancelled()
        assert (task.spent, task.reserved) == (spent, 0)

    async def test_task_cancelled_before_it_began(self, task):
        """A task that its owner cancels before its first step costs nothing and stays cancelled."""
        tool = metered(search, task, 5)
        run = asyncio.ensure_future(tool.run_json({"query": "terns"}, CancellationToken()))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert (task.spent, task.reserved) == (0, 0)


class Query(BaseModel):
    query: str


class TestSameTool:
    @pytest.mark.parametrize("strict", [False, True])
    def test_schema(self, task, strict):
        """Name, description, schema, `strict` and types are those of the tool inside."""
        plain = FunctionTool(search, "Search the web.", strict=strict)
        paid = metered(plain, task, 5)
        assert (paid.name, paid.description, paid.schema) == (
            plain.name,
            plain.description,
            plain.schema,
        )
        assert paid.schema["strict"] is strict
        assert (paid.args_type(), paid.return_type()) == (plain.args_type(), plain.return_type())
        assert paid.state_type() is plain.state_type()

    def test_callable(self, task):
        """A callable becomes the tool that AssistantAgent would make of it."""
        plain = FunctionTool(search, search.__doc__)
        assert metered(search, task, 5).schema == plain.schema

    def test_schema_is_built_once(self, task):
        """The schema is the same object each time; a plain tool rebuilds it on every access."""
        tool = metered(search, task, 5)
        assert tool.schema is tool.schema

    @pytest.mark.parametrize("inner", [search, FunctionTool(search, "Search the web.")])
    def test_renamed(self, task, inner):
        """A name and a description can be given, and the schema has them."""
        tool = metered(inner, task, 5, name="look_up", description="Look it up.")
        assert (tool.name, tool.description) == ("look_up", "Look it up.")
        assert (tool.schema["name"], tool.schema["description"]) == ("look_up", "Look it up.")

    async def test_values_and_state(self, task):
        """How a result reads and what a tool remembers are left to the tool inside."""

        class Counter(FunctionTool):
            count = 0

            def return_value_as_string(self, value):
                return f"<{value}>"

            async def save_state_json(self):
                return {"count": self.count}

            async def load_state_json(self, state):
                self.count = state["count"]

        tool = metered(Counter(search, ""), task, 5)
        await tool.load_state_json({"count": 3})
        assert await tool.save_state_json() == {"count": 3}
        assert tool.return_value_as_string("x") == "<x>"

    def test_keeps_its_secrets(self, task):
        """No public attribute of the tool leads to the wallet or to the unpaid tool inside."""
        plain = FunctionTool(search, "")
        tool = metered(plain, task, 5)
        public = [getattr(tool, name) for name in dir(tool) if not name.startswith("_")]
        assert not [value for value in public if isinstance(value, (outlay.Wallet, outlay.Spender))]
        assert plain not in public
        assert search not in public

    def test_is_not_dumped(self, task):
        """A metered tool, and an agent that has one, refuses to be dumped: it would load unpaid."""
        tool = metered(search, task, 5)
        with pytest.raises(NotImplementedError, match="would run unpaid"):
            tool.dump_component()
        with pytest.raises(NotImplementedError):
            worker(tool).dump_component()

    def test_not_a_tool(self, task):
        """What is neither a tool nor callable is a TypeError."""
        with pytest.raises(TypeError):
            metered("search", task, 5)


class TestStream:
    def team_tool(self, wallet, *replies):
        inner = AssistantAgent("inner", Model(*replies), description="helps")
        return metered(AgentTool(inner, return_value_as_last_message=True), wallet, 5)

    async def test_inner_events_stay_visible(self, task):
        """A metered AgentTool streams its inner events, and is charged once."""
        tool = self.team_tool(task, "inner words")
        assert isinstance(tool, MeteredStreamTool)
        assert isinstance(tool, StreamTool)
        agent = worker(tool, [FunctionCall("1", '{"task": "help"}', "inner")])
        seen = [event async for event in agent.run_stream(task="go")]
        assert any(isinstance(e, TextMessage) and e.source == "inner" for e in seen)
        assert [answer.content for answer in answers(seen[-1])] == ["inner words"]
        assert task.get_receipt().call_count == 1

    def test_others_do_not_stream(self, task):
        """A tool that does not stream does not begin to when it is metered."""
        assert not isinstance(metered(search, task, 5), StreamTool)

    async def test_actual_cost(self, task):
        """`actual` of a stream is asked about the last thing it yields."""
        inner = AgentTool(AssistantAgent("inner", Model("words"), description="helps"))
        tool = metered(inner, task, 5, actual=lambda args, result: len(result.messages))
        stream = tool.run_json_stream({"task": "help"}, CancellationToken())
        *_, last = [item async for item in stream]
        assert isinstance(last, TaskResult)
        assert task.spent == len(last.messages)

    async def test_denied(self, task):
        """A stream that cannot be paid yields nothing."""
        tool = self.team_tool(task.create_child("poor", 4))
        with pytest.raises(outlay.InsufficientCreditsError):
            await anext(tool.run_json_stream({"task": "help"}, CancellationToken()))

    async def test_abandoned(self, task):
        """A stream that its reader leaves is charged: its work has begun."""
        stream = self.team_tool(task).run_json_stream({"task": "help"}, CancellationToken())
        await anext(stream)
        assert task.reserved == 5
        await stream.aclose()
        assert (task.spent, task.reserved) == (5, 0)

    async def test_token_fired(self, task):
        """A token that fires while a stream runs ends the run, and the call is settled."""
        begun = asyncio.Event()

        class Slow(Model):
            async def create(self, messages, *, cancellation_token, **options):
                begun.set()
                sleep = asyncio.ensure_future(asyncio.sleep(60))
                cancellation_token.link_future(sleep)
                await sleep

        inner = AgentTool(AssistantAgent("inner", Slow(), description="helps"))
        agent = worker(metered(inner, task, 5), [FunctionCall("1", '{"task": "help"}', "inner")])
        token = CancellationToken()
        run = asyncio.create_task(agent.run(task="go", cancellation_token=token))
        await begun.wait()
        token.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(run, 5)
        assert (task.spent, task.reserved) == (5, 0)

    async def test_run_is_paid(self, task):
        """The typed ways in, `run` and `run_stream`, cost what the JSON ways do."""
        tool = self.team_tool(task, "one", "two")
        args = tool.args_type()(task="help")
        await tool.run(args, CancellationToken())
        assert [item async for item in tool.run_stream(args, CancellationToken())]
        assert task.spent == 10


class TestWhoPays:
    async def test_each_role_its_own_wallet(self, task):
        """One tool, shared by a Selector team, charges the wallet of the agent that calls it."""
        wallets = {name: task.create_child(name, 100) for name in ("ann", "ann_marie")}
        tool = metered(search, wallets, 5)
        agents = [worker(tool, calls(2), name="ann"), worker(tool, calls(3), name="ann_marie")]
        team = SelectorGroupChat(agents, Model("ann", "ann_marie"), max_turns=2)
        await team.run(task="go")
        assert {name: wallet.spent for name, wallet in wallets.items()} == {
            "ann": 10,
            "ann_marie": 15,
        }
        by_agent = task.get_receipt().by_agent
        assert {name: line.calls for name, line in by_agent.items()} == {"ann": 2, "ann_marie": 3}

    async def test_function_of_the_name(self, task):
        """A function of the agent's name can say who pays; outside a team the name is None."""
        asked = []

        def pays(agent):
            asked.append(agent)
            return task

        tool = metered(search, pays, 5)
        agent = worker(tool, calls(1), calls(1))
        await agent.run(task="go")
        await RoundRobinGroupChat([agent], max_turns=1).run(task="go")
        assert asked == [None, "worker"]

    async def test_spender(self, task):
        """A spender pays as its wallet does."""
        await call(metered(search, task.spender(), 5))
        assert task.spent == 5

    @pytest.mark.parametrize(
        ("wallet", "why"),
        [
            ({}, "no wallet pays for the agent 'worker'"),
            (lambda agent: None, "no wallet pays for the agent 'worker'"),
            (lambda agent: "task", "no wallet pays for the agent 'worker'"),
            (lambda agent: {}[agent], "KeyError"),
        ],
        ids=["mapping", "function", "no wallet", "function that raises"],
    )
    async def test_unresolved_is_denied(self, task, wallet, why):
        """A caller for whom no wallet is found is denied, never free."""
        agent = worker(metered(search, wallet, 5), calls(1))
        result = await RoundRobinGroupChat([agent], max_turns=1).run(task="go")
        (answer,) = answers(result)
        assert answer.is_error
        assert why in answer.content

    async def test_unknown_caller_is_denied(self, task):
        """An agent that runs outside a team has no name to find a wallet by, and is denied."""
        result = await worker(metered(search, {"worker": task}, 5), calls(1)).run(task="go")
        assert "name is unknown" in answers(result)[0].content

    def test_no_wallet_at_all(self):
        """What cannot pay is a TypeError when the tool is made."""
        with pytest.raises(TypeError, match="to pay"):
            metered(search, None, 5)

    async def test_ten_teams_share_a_cap(self, task):
        """Ten teams on one runtime make 1,000 attempts on a cap of 500: exactly 500 are paid."""
        cap = task.create_child("cap", 500)
        runtime = SingleThreadedAgentRuntime()
        runtime.start()
        teams = [
            RoundRobinGroupChat(
                [worker(metered(search, cap, 1), *[calls(20)] * 5, name=f"worker_{number}")],
                max_turns=5,
                runtime=runtime,
            )
            for number in range(10)
        ]
        results = await asyncio.gather(*[team.run(task="go") for team in teams])
        await runtime.stop_when_idle()
        given = [answer.is_error for result in results for answer in answers(result)]
        assert (len(given), given.count(False)) == (1000, 500)
        assert (cap.spent, cap.available, cap.refusals) == (500, 0, 500)
        assert task.get_receipt().call_count == 500


class TestBudgetTermination:
    def team(self, tool, condition, *replies):
        return RoundRobinGroupChat(
            [worker(tool, *(replies or [calls(1)] * 50))], termination_condition=condition
        )

    async def test_alone(self, task):
        """A team ends with the turn that exhausts the wallet; the reason says what is left."""
        wallet = task.create_child("worker", 10)
        result = await self.team(metered(search, wallet, 5), BudgetTermination(wallet)).run(
            task="go"
        )
        assert wallet.spent == 10
        assert result.stop_reason == "Out of budget: 'task/worker' is exhausted (0 credits left)"

    async def test_refusal(self, task):
        """A refused call ends the run even if a little is left."""
        wallet = task.create_child("worker", 12)
        result = await self.team(metered(search, wallet, 5), BudgetTermination(wallet)).run(
            task="go"
        )
        assert wallet.spent == 10
        assert "refused a call (2 credits left)" in result.stop_reason

    async def test_refusal_can_be_overlooked(self, task):
        """With on_refusal=False it is what is left that counts."""
        condition = BudgetTermination(task, on_refusal=False)
        assert task.try_spend(1001) is None
        assert await condition([]) is None
        task.spend(1000)
        assert await condition([])

    async def test_floor(self, task):
        """With a floor, the run ends when less than that is available."""
        condition = BudgetTermination(task, floor="2.5")
        task.spend("997.5")
        assert await condition([]) is None
        task.spend("0.1")
        assert "is below 2.5 (2.4 credits left)" in (await condition([])).content

    @pytest.mark.parametrize("floor", [-1, "much", float("nan")])
    def test_floor_that_is_no_amount(self, task, floor):
        """A floor that is no amount is refused when the condition is made."""
        with pytest.raises(outlay.InvalidAmountError):
            BudgetTermination(task, floor)

    def test_no_wallet(self, task):
        """Only a wallet can be watched; a spender does not know when its wallet refused."""
        with pytest.raises(TypeError, match="Spender"):
            BudgetTermination(task.spender())

    async def test_latched(self, task):
        """It changes only when it is called, and once it has fired it says so until reset."""
        condition = BudgetTermination(task)
        task.spend(1000)
        assert condition.terminated is False
        assert await condition([])
        assert condition.terminated is True
        with pytest.raises(TerminatedException):
            await condition([])
        task.add_credits(10)
        assert condition.terminated is True
        await condition.reset()
        assert condition.terminated is False

    async def test_reset_forgets_refusals_only(self, task):
        """Refusals from before a reset do not count; an empty wallet is still empty after it."""
        condition = BudgetTermination(task)
        assert task.try_spend(1001) is None
        assert await condition([])
        await condition.reset()
        assert await condition([]) is None
        task.spend(1000)
        assert await condition([])
        await condition.reset()
        assert await condition([])

    async def test_or(self, task):
        """In `|` either ends the run."""
        wallet = task.create_child("worker", 10)
        tool = metered(search, wallet, 5)
        condition = BudgetTermination(wallet) | MaxMessageTermination(500)
        assert "worker" in (await self.team(tool, condition).run(task="go")).stop_reason
        wallet.parent.transfer(wallet, 100)
        condition = BudgetTermination(wallet) | MaxMessageTermination(5)
        assert "messages" in (await self.team(tool, condition).run(task="go")).stop_reason

    async def test_and(self, task):
        """In `&` the run goes on until both have fired: one role that is dry does not end it."""
        first, second = task.create_child("first", 10), task.create_child("second", 20)
        tool = metered(search, {"first": first, "second": second}, 5)
        agents = [worker(tool, *[calls(1)] * 50, name=name) for name in ("first", "second")]
        condition = BudgetTermination(first) & BudgetTermination(second)
        result = await RoundRobinGroupChat(agents, termination_condition=condition).run(task="go")
        assert (first.spent, second.spent) == (10, 20)
        assert first.refusals > 0
        assert "task/first" in result.stop_reason
        assert "task/second" in result.stop_reason

    async def test_and_with_another_kind(self, task):
        """In `&` with a condition on words, the words must be said too."""
        wallet = task.create_child("worker", 5)
        condition = BudgetTermination(wallet) & TextMentionTermination("FINISHED")
        replies = [calls(1), "not yet", "FINISHED"]
        team = self.team(metered(search, wallet, 5), condition, *replies)
        result = await team.run(task="go")
        assert result.messages[-1].content == "FINISHED"

    async def test_top_up_and_run_on(self, task):
        """A team that ran out goes on once its wallet is filled, with a task or without."""
        wallet = task.create_child("worker", 10)
        team = self.team(metered(search, wallet, 5), BudgetTermination(wallet))
        await team.run(task="go")
        wallet.add_credits(10)
        await team.run()
        assert wallet.spent == 20
        wallet.add_credits(10)
        await team.run(task="go on")
        assert wallet.spent == 30

    async def test_empty_from_the_start(self, task):
        """With a task a team whose wallet is empty does nothing; without, one turn, unpaid."""
        wallet = task.create_child("worker", 0)
        team = self.team(metered(search, wallet, 5), BudgetTermination(wallet))
        assert len((await team.run(task="go")).messages) == 1
        result = await team.run()
        assert [answer.is_error for answer in answers(result)] == [True]
        assert wallet.spent == 0

    async def test_freezing_ends_the_run(self, task):
        """A frozen wallet ends the run at the next turn: freeze is the stop button."""

        async def freeze(query: str) -> str:
            task.freeze()
            return query

        team = self.team(metered(freeze, task, 5), BudgetTermination(task), calls(1, tool="freeze"))
        result = await team.run(task="go")
        assert result.stop_reason == "Out of budget: 'task' is frozen (995 credits left)"

    async def test_closed(self, task):
        """A closed wallet pays for nothing more."""
        child = task.create_child("child", 5)
        condition = BudgetTermination(child)
        child.close()
        assert "is closed" in (await condition([])).content

    async def test_watches_one_wallet(self, task):
        """A task wallet is not dry because one of its slices is."""
        condition = BudgetTermination(task)
        child = task.create_child("child", 5)
        child.spend(5)
        assert child.try_spend(1) is None
        assert await condition([]) is None

    async def test_shared_child(self, task):
        """A shared child is dry when the money it shares is gone, whatever its cap allows."""
        child = task.create_child("child", 900, shared=True)
        condition = BudgetTermination(child, floor=100)
        task.spend(900)
        assert await condition([]) is None
        task.spend(1)
        assert "is below 100 (99 credits left)" in (await condition([])).content

    async def test_soft_wallet(self):
        """A soft wallet is dry once its budget is spent, though it could go on."""
        soft = outlay.Ledger().wallets.create("soft", 10, hard_cap=False)
        condition = BudgetTermination(soft)
        soft.spend(12)
        assert "'soft' is exhausted (0 credits left)" in (await condition([])).content

    async def test_subtree(self, task):
        """With subtree, what is left is the sum over the slices, and a refusal anywhere counts."""
        child = task.create_child("child", 600)
        task.create_child("cap", 50, shared=True)
        condition = BudgetTermination(task, floor=900, subtree=True)
        assert await condition([]) is None
        child.spend(100)
        assert await condition([]) is None
        child.spend(1)
        assert "899 credits left" in (await condition([])).content
        await condition.reset()
        task.add_credits(100)
        assert await condition([]) is None
        assert child.try_spend(5000) is None
        assert "refused" in (await condition([])).content

    def test_is_not_dumped(self, task):
        """A condition refuses to be dumped: its wallet is live money."""
        with pytest.raises(NotImplementedError, match="live money"):
            BudgetTermination(task).dump_component()


def test_names():
    """The module's public names are the ones it lists."""
    from outlay.adapters import autogen

    assert {"metered", "MeteredTool", "BudgetTermination"} <= set(autogen.__all__)
    assert all(hasattr(autogen, name) for name in autogen.__all__)
    assert issubclass(ToolCancelledError, outlay.OutlayError)
    assert issubclass(MeteredStreamTool, MeteredTool)
