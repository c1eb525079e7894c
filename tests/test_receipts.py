"""Receipts: who spent what, once. The first half is made of rows such as the engine gives."""

import copy
import csv
import io
import json
import pickle
import sys
import threading
from decimal import Decimal, localcontext
from types import SimpleNamespace

import msgspec
import pytest

from outlay import InsufficientCreditsError, Ledger
from outlay.receipts import UNLABELLED, Line, Receipt, Row, receipt_of

HOSTILE = "<script>x</script> [red]a|b[/red] \x1b[2J\u202e\n*c* `d` \\"
FORMS = (str, Receipt.markdown, Receipt.html, Receipt.csv, Receipt.json)


def line(amount, calls=1, *, service=None, agent=None, run=None, model=None):
    return (service, agent, run, model, int(Decimal(amount) * 10**9), calls)


def row(path, *lines, **figures):
    """A wallet's row: amounts in credits; what is not given is zero."""
    amounts = ("budget", "refilled", "received", "given", "overdraft", "debt", "available")
    rest = dict.fromkeys(Row._fields, 0) | {"shared": False, "hard_cap": True}
    rest |= {"frozen": False, "closed": False} | figures
    for name in (*amounts, "reserved", "refused"):
        rest[name] = int(Decimal(rest[name]) * 10**9)
    name, depth = path.rsplit("/", 1)[-1], path.count("/")
    return tuple(Row(**rest | {"wallet": path, "name": name, "depth": depth, "lines": list(lines)}))


def source(*rows, unit="credits", scale=9, charges=list):
    ledger = SimpleNamespace(unit=unit, scale=scale)
    return SimpleNamespace(
        ledger=ledger,
        statement=lambda: list(rows),
        charges=lambda until: charges(),
        next_record=lambda: 0,
    )


def receipt(*rows, **given):
    return receipt_of(source(*rows, **given))


def sprint():
    """A task with a slice that has a slice, and a shared child."""
    return receipt(
        row("sprint", line(1, agent="planner", model="gpt-4o"), budget=1000, available=120),
        row(
            "sprint/researcher",
            line(300, 60, service="search", agent="researcher", run="r1"),
            line("0.07", agent="researcher", model="gpt-4o"),
            budget=400,
            available=70,
        ),
        row("sprint/researcher/reader", line(5, service="fetch", agent="reader"), budget=10),
        row("sprint/critic", line(20, 4, agent="planner"), budget=150, available=130, shared=True),
    )


# ---- counted once ---------------------------------------------------------------------------


def test_spending_counts_once_in_its_wallet_and_once_in_each_ancestor():
    """What a slice spent is its own, and is in its ancestors' totals once."""
    task = sprint()
    researcher, critic = task.children
    (reader,) = researcher.children
    assert (task.spent, task.total_credits) == (Decimal(1), Decimal("326.07"))
    assert (researcher.spent, researcher.total_credits) == (Decimal("300.07"), Decimal("305.07"))
    assert reader.spent == reader.total_credits == 5
    assert critic.spent == critic.total_credits == 20
    assert (task.call_count, researcher.call_count, reader.call_count) == (67, 62, 1)


@pytest.mark.parametrize("kind", ["wallet", "agent", "service", "run", "model"])
def test_every_table_adds_up_to_the_total(kind):
    """By wallet, agent, service, run or model: the lines add up to the credits and the calls."""
    for _, each in sprint().walk():
        lines = getattr(each, f"by_{kind}").values()
        assert sum(line.credits for line in lines) == each.total_credits
        assert sum(line.calls for line in lines) == each.call_count


def test_labels_are_rolled_up_largest_first():
    """A label's line has what all wallets below spent under it; the largest comes first."""
    assert list(sprint().by_agent.items()) == [
        ("researcher", Line(Decimal("300.07"), 61)),
        ("planner", Line(Decimal(21), 5)),
        ("reader", Line(Decimal(5), 1)),
    ]


def test_unlabelled_spending_has_a_key_of_its_own():
    """Spending without a service is under UNLABELLED, and printed as (none)."""
    task = sprint()
    assert task.by_service[UNLABELLED] == Line(Decimal("21.07"), 6)
    assert "(none)" in str(task)


def test_by_wallet_has_every_wallet_and_its_own_spending():
    """A wallet's line has what it spent itself, and is there even if that is nothing."""
    task = receipt(row("a", line(2)), row("a/b"), row("a/b/c", line(3)))
    spent = {path: line.credits for path, line in task.by_wallet.items()}
    assert spent == {"a": 2, "a/b": 0, "a/b/c": 3}


def test_the_money_of_shared_children_is_their_parents():
    """What is left, refilled and owed is counted where the money is; a slice below counts."""
    of_all = {"available": 8, "refilled": 4, "debt": 2}
    task = receipt(
        row("a", **of_all),
        row("a/shared", shared=True, **of_all),
        row("a/shared/slice", **of_all),
        row("a/slice", **of_all),
    )
    totals = task.totals
    assert (totals.available, totals.refilled, totals.debt) == (24, 12, 6)
    assert task.children[0].totals.available == 16


def test_overdraft_is_not_counted_again_in_the_wallet_that_paid_it():
    """A slice ran over by 3 and another by 4; their parent, for it, by 5: that is 7, not 12."""
    low = [row("a/b", overdraft=3, hard_cap=False), row("a/c", overdraft=4, hard_cap=False)]
    assert receipt(row("a", overdraft=5, hard_cap=False), *low).totals.overdraft == 7
    assert receipt(row("a", overdraft=9, hard_cap=False), *low).totals.overdraft == 9


def test_holds_and_refusals_are_added_up():
    """Reserved money, open reservations and refusals are of the wallet asked; totals have all."""
    figures = {"reserved": 5, "open_reservations": 2, "refusals": 3, "refused": 9}
    task = receipt(row("a", **figures), row("a/b", shared=True, **figures))
    assert (task.reserved, task.open_reservations, task.refusals, task.refused) == (5, 2, 3, 9)
    totals = task.totals
    assert (totals.reserved, totals.open_reservations) == (10, 4)
    assert (totals.refusals, totals.refused) == (6, 18)


def test_a_tree_of_64_levels():
    """The deepest tree there can be is rolled up and printed in every form."""
    paths = ["/".join(["w"] * depth) for depth in range(1, 65)]
    task = receipt(*(row(path, line(1, agent=path[-3:])) for path in paths))
    assert task.total_credits == 64
    assert [depth for depth, _ in task.walk()] == list(range(64))
    assert all(form(task) for form in FORMS)


@pytest.mark.timeout(30)
def test_ten_thousand_children():
    """A wide tree takes time in proportion, in every form."""
    children = [row(f"a/{n}", line(1, agent=f"agent {n}", service="s")) for n in range(10_000)]
    task = receipt(row("a"), *children)
    assert task.by_service == {"s": Line(Decimal(10_000), 10_000)}
    assert [child.name for child in task.children] == [str(n) for n in range(10_000)]
    assert all(form(task) for form in FORMS)


def test_the_decimal_context_of_the_caller_does_not_matter():
    """Amounts are exact whatever precision the program has set for its own arithmetic."""
    rows = row("a", line("123456.000000001")), row("a/b", line("0.000000001"))
    with localcontext(prec=3):
        task = receipt(*rows)
        assert "123456.000000002" in str(task)
    assert task.total_credits == Decimal("123456.000000002")


# ---- written down ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("amount", ["45", "0.07", "1000", "0.000000001", "4611686018.427387903"])
def test_amounts_are_written_as_people_write_them(amount, form):
    """No exponent, no trailing zeros, in any form."""
    text = form(receipt(row("a", line(amount, agent="b"))))
    assert amount in text
    assert "E-" not in text
    assert f"{amount}0" not in text
    assert f"{amount}.0" not in text


def test_an_amount_of_an_integer_ledger_is_an_integer():
    """At scale 0 a nano is a whole unit: 1234 tokens are 1234 tokens."""
    task = receipt_of(source(row("a", ("s", None, None, None, 1234, 1)), unit="tokens", scale=0))
    assert task.total_credits == 1234
    assert "1234 tokens spent; 1 call" in str(task)


def test_json_and_to_dict_say_the_same():
    """Amounts are strings in both, and children are inside."""
    task = sprint()
    fields = task.to_dict()
    assert json.loads(task.json(indent=2)) == fields
    assert fields["total_credits"] == "326.07"
    assert fields["children"][0]["by_agent"]["researcher"] == {"credits": "300.07", "calls": 61}


def test_json_can_be_read_back():
    """A receipt decoded from its own JSON is equal to it."""
    task = sprint()
    assert msgspec.json.decode(task.json(), type=Receipt) == task


def test_copies_are_equal():
    """A receipt is data: it can be copied and pickled."""
    task = sprint()
    assert copy.deepcopy(task) == pickle.loads(pickle.dumps(task)) == task


def test_a_receipt_cannot_be_changed():
    """Its fields are fixed."""
    with pytest.raises(AttributeError):
        sprint().total_credits = Decimal(0)


def test_text_is_a_table():
    """str() is the summary, the tree of wallets, and a table for each kind of label in use."""
    task = receipt(
        row("task", budget=100, available=40, refilled=5),
        row("task/writer", line(60, 3, agent="w"), budget=60, closed=True, refusals=1, refused=2),
    )
    assert str(task).splitlines() == [
        "task",
        "60 credits spent; 3 calls; 40 left; refilled 5; 1 refusal (2 asked)",
        "",
        "wallet    spent  budget  left  calls  notes",
        "--------  -----  ------  ----  -----  -----------------",
        "task         60     100    40      3  refilled 5",
        "  writer     60      60     0      3  closed, 1 refusal",
        "",
        "agent  spent  share  calls",
        "-----  -----  -----  -----",
        "w         60   100%      3",
    ]


def test_what_happened_to_a_wallet_is_in_its_notes():
    """Shared, soft, frozen, held, overdrawn, owing, refused: each is said."""
    states = {"shared": True, "hard_cap": False, "frozen": True}
    figures = {"reserved": 15, "overdraft": 2, "debt": 3, "refusals": 4, "open_reservations": 1}
    text = str(receipt(row("a", **states, **figures)))
    assert "shared, soft, frozen, reserved 15, overdraft 2, debt 3, 4 refusals" in text
    assert "overdraft 2; debt 3; 15 in 1 open reservation; 4 refusals (0 asked)" in text


@pytest.mark.parametrize("form", FORMS)
def test_an_unused_wallet_has_a_receipt(form):
    """Nothing spent of nothing is printed too."""
    assert form(receipt(row("a")))


def test_names_in_any_script_stay_in_their_column():
    """A line of text is as wide as rich says, whatever the script."""
    cells = pytest.importorskip("rich.cells")
    names = ["plain", "図表担当", "ревизор", "कवि", "ﾊﾝｶｸ", "e\u0301tude", "조사원", "🤖"]
    task = receipt(row("a"), *(row(f"a/{name}", line(1)) for name in names))
    rows = str(task).splitlines()[3:]
    ends = {cells.cell_len(text[: text.rindex("1")]) for text in rows if text.endswith("1")}
    assert len(ends) == 1


def test_markdown_cells_hold_their_text():
    """A label with pipes, markup and line breaks stays in its cell, as text."""
    table = receipt(row("a", line(1, agent=HOSTILE))).markdown().splitlines()[-1]
    label = r"&lt;script&gt;x&lt;/script&gt; \[red\]a\|b\[/red\]  \[2J  \*c\* \`d\` \\"
    assert table == f"| {label} | 1 | 100% | 1 |"


def test_csv_has_each_charge_in_one_line():
    """One line for each wallet and combination of labels; the column adds up to the total."""
    task = sprint()
    lines = list(csv.DictReader(io.StringIO(task.csv(), newline="")))
    assert sum(Decimal(line["credits"]) for line in lines) == task.total_credits
    assert sum(int(line["calls"]) for line in lines) == task.call_count
    assert lines[1] == {
        "wallet": "sprint/researcher",
        "service": "search",
        "agent": "researcher",
        "run": "r1",
        "model": "",
        "calls": "60",
        "credits": "300",
        "unit": "credits",
    }


@pytest.mark.parametrize(
    "label", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\n=1", "\tx", "\rx", "\uff1d1"]
)
def test_csv_labels_are_no_formulas(label):
    """A label that a spreadsheet would run is preceded by an apostrophe."""
    text = receipt(row(label, line(1, agent=label)), unit=label).csv()
    (_, cells) = csv.reader(io.StringIO(text, newline=""))
    assert cells == [f"'{label}", "", f"'{label}", "", "", "1", "1", f"'{label}"]


def test_csv_labels_cannot_leave_their_cell():
    """Quotes, commas, semicolons and line breaks of a label are read back as they were."""
    label = 'a","b;c\r\nd'
    text = receipt(row("a", line(1, agent=label))).csv()
    assert list(csv.reader(io.StringIO(text, newline="")))[1][2] == label
    assert '"a"",""b;c\r\nd"' in text


def test_html_shows_labels_as_text():
    """Markup in a name is shown, not obeyed; the page runs and fetches nothing."""
    task = receipt(row("<b onload=x>", line(1, agent=HOSTILE)), unit="<i>")
    for page in (task.html(), task._repr_html_()):
        assert "&lt;b onload=x&gt;" in page
        assert "&lt;script&gt;" in page
        assert not any(word in page for word in ("<script", "<b onload", "<i>", "http", "url("))


def test_html_stands_alone_and_the_notebook_form_does_not():
    """html() is a page for a light or dark screen; a notebook keeps its own colours."""
    task = sprint()
    assert task.html().startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in task.html()
    assert task._repr_html_().startswith("<section")
    assert "prefers-color-scheme" not in task._repr_html_()


def test_rich_prints_names_as_they_are():
    """Markup in a name is shown, and nothing in it moves the cursor."""
    console = pytest.importorskip("rich.console")
    out = io.StringIO()
    terminal = console.Console(file=out, width=200, force_terminal=True, color_system=None)
    terminal.print(receipt(row("[bold]a", line(1, agent=HOSTILE))))
    assert "[bold]a" in out.getvalue()
    assert "[red]a|b[/red]" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_text_keeps_control_characters_from_the_terminal():
    """No escape sequence, line break or change of direction in a label gets through."""
    text = str(receipt(row("a", line(1, agent=HOSTILE))))
    assert not {"\x1b", "\u202e"} & set(text)
    assert len(text.splitlines()) == 10


def test_rich_is_not_needed(monkeypatch):
    """Every form but the rich one works where rich is not installed."""
    monkeypatch.setitem(sys.modules, "rich", None)
    assert all(form(sprint()) for form in FORMS)


# ---- of real wallets ------------------------------------------------------------------------


@pytest.fixture
def task():
    """1000 credits: 400 to a slice, a shared child with a cap of 150."""
    task = Ledger().wallets.create("sprint", 1000)
    task.create_child("researcher", 400)
    task.create_child("critic", 150, shared=True)
    return task


def test_the_engine_tells_who_spent_what(task):
    """Wallet, agent, service, run and model of each charge reach the receipt."""
    task.spend("0.07", service="gpt", agent="planner", run="r1", model="gpt-4o")
    task.child("researcher").spend(5, service="search", agent="researcher")
    task.child("critic").spend(2, agent="planner")
    taken = task.get_receipt()
    assert (taken.wallet, taken.name, taken.unit) == ("sprint", "sprint", "credits")
    assert (taken.total_credits, taken.call_count) == (Decimal("7.07"), 3)
    assert taken.by_agent == {
        "researcher": Line(Decimal(5), 1),
        "planner": Line(Decimal("2.07"), 2),
    }
    assert taken.by_run == {UNLABELLED: Line(Decimal(7), 2), "r1": Line(Decimal("0.07"), 1)}
    assert taken.by_model["gpt-4o"] == taken.by_service["gpt"] == Line(Decimal("0.07"), 1)
    assert taken.by_wallet["sprint/critic"] == Line(Decimal(2), 1)
    assert [(each.shared, each.budget) for each in taken.children] == [(False, 400), (True, 150)]


def test_the_receipt_of_a_child_is_the_one_in_its_parents(task):
    """Asked alone, a child gives the same receipt."""
    task.child("researcher").create_child("reader", 10).spend(3, agent="reader")
    assert task.child("researcher").get_receipt() == task.get_receipt().children[0]


def test_all_money_is_accounted_for(task):
    """Budget and refills are what was spent, is held, and is left; in whichever wallet."""
    researcher, critic = task.child("researcher"), task.child("critic")
    task.add_credits(200)
    task.transfer(researcher, 50)
    researcher.spend("12.5")
    critic.spend(20)
    hold = critic.reserve(7)
    closed = researcher.create_child("reader", 100)
    closed.spend(30)
    closed.close()
    taken = task.get_receipt()
    assert taken.budget + taken.totals.refilled == 1200
    assert taken.total_credits + taken.totals.reserved + taken.totals.available == 1200
    assert (taken.totals.reserved, taken.totals.open_reservations) == (7, 1)
    assert (taken.received, taken.given) == (0, 450)
    assert taken.children[0].children[0].closed
    hold.release()


def test_refusals_are_on_the_receipt(task):
    """How often a wallet was refused, and what it had asked for in all."""
    for _ in range(3):
        with pytest.raises(InsufficientCreditsError):
            task.child("critic").spend(151)
    assert task.child("critic").try_spend(200) is None
    totals = task.get_receipt().totals
    assert (totals.refusals, totals.refused) == (4, 653)


def test_overdraft_and_debt_are_on_the_receipt():
    """A soft wallet's overdraft and a hard one's debt, each under its own name."""
    ledger = Ledger()
    soft = ledger.wallets.create("soft", 10, hard_cap=False)
    soft.spend(14)
    hard = ledger.wallets.create("hard", 10)
    hard.reserve(10).commit(13)
    assert (soft.get_receipt().totals.overdraft, soft.get_receipt().totals.debt) == (4, 0)
    assert (hard.get_receipt().totals.overdraft, hard.get_receipt().totals.debt) == (0, 3)


def test_a_receipt_is_of_its_moment(task):
    """Later spending does not change it."""
    task.spend(1)
    taken = task.get_receipt()
    before = taken.json()
    task.child("researcher").spend(5)
    assert taken.json() == before
    assert taken.total_credits == 1


def test_charges_are_itemised_oldest_first(task):
    """The charges of the wallet and its descendants, with what was said of them."""
    task.spend(1, agent="planner", metadata={"n": 1})
    task.child("researcher").spend(2)
    taken = task.get_receipt()
    assert [charge.amount for charge in taken.charges] == [1, 2]
    assert taken.charges[0].metadata == {"n": 1}
    assert [charge.wallet for charge in taken.children[0].charges] == ["sprint/researcher"]


def test_later_charges_are_not_in_a_receipt(task):
    """Charges made after the receipt was taken are not among its charges, whenever it is asked."""
    task.spend(1)
    taken = task.get_receipt()
    task.spend(2)
    assert [charge.amount for charge in taken.charges] == [1]


def test_charges_are_not_fetched_unasked():
    """A receipt costs the same however many charges are kept."""
    asked = []
    taken = receipt(row("a", line(1)), charges=lambda: asked.append(1) or [])
    assert all(form(taken) for form in FORMS)
    assert not asked
    assert taken.charges == []


def test_a_receipt_taken_while_threads_spend_agrees_with_itself(task):
    """With charges of 1, credits and calls are equal in every receipt and every table."""

    def spend():
        for _ in range(100):
            task.child("researcher").try_spend(1, agent="a")

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        taken = task.get_receipt()
        assert taken.total_credits == taken.call_count
        assert sum(line.calls for line in taken.by_agent.values()) == taken.call_count
    for thread in threads:
        thread.join()
    assert task.get_receipt().call_count == 400


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_real_receipt(task, form):
    """Each has the wallets' names."""
    task.child("researcher").spend("0.07", agent="r")
    text = form(task.get_receipt())
    assert "researcher" in text
    assert "0.07" in text
