"""The command line, run on real AutoGen as a newcomer would."""

import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from outlay.cli import main

pytestmark = pytest.mark.timeout(60)

COMMAND = [sys.executable, "-m", "outlay", "demo"]


def played(capsys, *options):
    """What `outlay demo --json` says, and that it says nothing else."""
    assert main(["demo", "--json", *options]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return json.loads(said.out)


@pytest.mark.parametrize("seed", ["7", "1", "2"])
def test_demo(capsys, seed):
    """A chat has 120 to 200 charges in ten rounds or more, ends by its budget, and is clean."""
    outcome = played(capsys, "--seed", seed)
    assert 120 <= outcome["charges"] <= 200
    assert outcome["rounds"] >= 10
    assert outcome["ended_by"] == "budget"
    assert outcome["stop_reason"].startswith("Out of budget")
    assert (outcome["findings"], outcome["open_reservations"]) == ([], 0)


def test_demo_goes_on_when_a_role_is_dry(capsys):
    """The first role that runs dry is refused and the chat goes on; the buffer is not touched."""
    outcome = played(capsys)
    dry = sorted(role["dry_in_round"] for role in outcome["roles"])
    assert dry[0] < dry[-1] == outcome["rounds"]
    assert all(role["refused"] > 0 for role in outcome["roles"])
    assert outcome["buffer"] == "150"


def test_demo_accounts_for_every_credit(capsys):
    """Roles, labels and the receipt add up to the budget, none above its share."""
    outcome = played(capsys)
    roles = {role["name"]: role for role in outcome["roles"]}
    assert {name: role["budget"] for name, role in roles.items()} == {
        "researcher": "400",
        "writer": "300",
        "critic": "150",
    }
    for role in roles.values():
        assert Decimal(role["spent"]) + Decimal(role["left"]) == Decimal(role["budget"])
    spent = sum(Decimal(role["spent"]) for role in roles.values())
    left = sum(Decimal(role["left"]) for role in roles.values())
    assert Decimal(outcome["spent"]) == spent
    assert spent + left + Decimal(outcome["buffer"]) == 1000
    receipt = outcome["receipt"]
    assert Decimal(receipt["total_credits"]) == spent
    for table in ("by_wallet", "by_agent", "by_service"):
        lines = receipt[table].values()
        assert sum(Decimal(line["credits"]) for line in lines) == spent
        assert sum(line["calls"] for line in lines) == outcome["charges"]
    assert sum(role["calls"] for role in roles.values()) == outcome["charges"]
    assert sum(role["refused"] for role in roles.values()) == outcome["refused"]


def test_demo_is_repeatable(capsys):
    """The same seed plays the same chat; another plays another."""
    first, second, other = (played(capsys, "--seed", seed) for seed in ("3", "3", "4"))
    assert first == second
    assert first["roles"] != other["roles"]


def test_demo_rounds(capsys):
    """--rounds ends the chat by rounds, and the outcome says so."""
    outcome = played(capsys, "--rounds", "2")
    assert (outcome["rounds"], outcome["ended_by"]) == (2, "rounds")
    assert outcome["refused"] == 0


@pytest.mark.parametrize("budget", ["20", "99.99", "250"])
def test_demo_budget(capsys, budget):
    """--budget scales the shares; even the smallest one is spent exactly."""
    outcome = played(capsys, "--budget", budget)
    shares = {role["name"]: Decimal(role["budget"]) for role in outcome["roles"]}
    assert shares == {
        "researcher": Decimal(budget) * 40 / 100,
        "writer": Decimal(budget) * 30 / 100,
        "critic": Decimal(budget) * 15 / 100,
    }
    assert outcome["ended_by"] == "budget"
    assert outcome["charges"] > 0


@pytest.mark.parametrize(
    "options",
    [
        ["--budget", "19.99"],
        ["--budget", "0"],
        ["--budget", "-1000"],
        ["--budget", "nan"],
        ["--budget", "inf"],
        ["--budget", "lots"],
        ["--budget", "1e30"],
        ["--budget", "100.001"],
        ["--rounds", "0"],
        ["--rounds", "-1"],
        ["--rounds", "1.5"],
        ["--rounds", "201"],
        ["--seed", "x"],
        ["--colour"],
    ],
    ids=" ".join,
)
def test_demo_bad_request(capsys, options):
    """A value that cannot be used is explained in a line, and the exit code is 2."""
    with pytest.raises(SystemExit) as error:
        main(["demo", *options])
    assert error.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert options[0] in said.err.splitlines()[-1]


def test_no_command(capsys):
    """Without a command the usage is shown, and the exit code is 2."""
    with pytest.raises(SystemExit) as error:
        main([])
    assert error.value.code == 2
    assert "usage: outlay" in capsys.readouterr().err


def test_demo_without_autogen(capsys, monkeypatch):
    """Without AutoGen the demo says what to install, and the exit code is 2."""
    monkeypatch.setitem(sys.modules, "autogen_agentchat.agents", None)
    monkeypatch.delitem(sys.modules, "outlay.demo", raising=False)
    monkeypatch.delattr("outlay.demo", raising=False)
    assert main(["demo"]) == 2
    assert "pip install 'outlay[autogen" in capsys.readouterr().err


def test_demo_trouble(capsys, monkeypatch):
    """If the audit finds anything, the demo says what and exits with 1."""
    from outlay.ledger import Finding, Ledger

    finding = Finding("groupchat-sprint-001", "spent", Decimal(5), Decimal(4))
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "audit", lambda self: [finding])
        assert main(["demo", "--rounds", "1"]) == 1
    said = capsys.readouterr()
    assert str(finding) in said.err
    assert "Nobody outspent" not in said.out


def test_demo_plain_lines():
    """Without a terminal the demo prints plain lines: every turn, the receipt, the account."""
    run = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "\x1b" not in run.stdout
    first, *_, last = run.stdout.splitlines()
    assert first == (
        "groupchat-sprint-001: 1000 credits = 400 researcher + 300 writer + 150 critic + 150 buffer"
    )
    assert "Nobody outspent" in last
    assert "REFUSED" in run.stdout
    assert "deep_research" in run.stdout
    assert "The chat ended after round" in run.stdout


def test_demo_reader_leaves():
    """If the reader of the output leaves, the demo ends without a word."""
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 1


def on_terminal(*options, press=None):
    """Run the demo on a terminal of its own; `press` is sent once the picture is there."""
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    shown = b""
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "40"}
    command = [*COMMAND, *options]
    with subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        start_new_session=True,
    ) as run:
        os.close(follower)
        while True:
            try:
                shown += os.read(leader, 65_536)
            except OSError:  # how Linux says that the other end is closed
                break
            if press and b"researcher" in shown:
                time.sleep(0.3)
                run.send_signal(press)
                press = None
    os.close(leader)
    return run.returncode, shown.decode()


def test_demo_on_a_terminal():
    """On a terminal the wallets are drawn as bars while the money is spent."""
    code, shown = on_terminal("--budget", "150")
    assert code == 0
    assert "├─ researcher" in shown
    assert "▒" in shown  # money held by calls that were under way
    assert "dry in round" in shown
    assert "Nobody outspent" in shown
    assert "Traceback" not in shown


def test_demo_interrupted():
    """Ctrl-C ends the demo at once, without a traceback, with the code that shells expect."""
    code, shown = on_terminal(press=signal.SIGINT)
    assert code == 130
    assert "Traceback" not in shown
    assert "rror" not in shown
