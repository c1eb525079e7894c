"""Receipts: who spent what, rolled up over a wallet and its descendants.

A receipt is a snapshot: plain data, in the unit of its ledger, that no later spending changes.
Nothing is counted twice. A charge belongs to the one wallet it was made on; it is in that wallet's
own `spent` and once in the roll-up of each of its ancestors.
"""

from __future__ import annotations

import csv
import functools
import html
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from outlay.money import decimal

if TYPE_CHECKING:
    from rich.console import RenderableType

    from outlay._engine import Charge
    from outlay.wallet import Wallet

UNLABELLED = ""  # the key of spending that carries no label; printed as "(none)"


class Line(msgspec.Struct, frozen=True):
    """What one wallet, agent, service, run or model spent."""

    credits: Decimal
    calls: int


class Entry(msgspec.Struct, frozen=True):
    """A wallet's own spending under one combination of labels."""

    service: str
    agent: str
    run: str
    model: str
    credits: Decimal
    calls: int


class Totals(msgspec.Struct, frozen=True):
    """What else happened in a wallet and its descendants.

    `available`, `refilled` and `debt` are of the wallet itself and of the slices below it: what a
    shared child has or owes is a part of its cap, and the money its parent's. `overdraft` takes
    the larger of a wallet's and its children's together, for what they ran over, it has paid.
    """

    available: Decimal
    reserved: Decimal
    open_reservations: int
    refilled: Decimal
    overdraft: Decimal
    debt: Decimal
    refusals: int
    refused: Decimal


class Receipt(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a wallet and its descendants spent, at the instant it was taken.

    From `budget` to `entries` the figures are the wallet's own; from `total_credits` on they
    include its descendants. Amounts are in `unit`. The `by_` tables are largest first, except
    `by_wallet`, which has every wallet's own spending under its path, parents first.
    Spending without a label is under `UNLABELLED`, the empty string.
    """

    wallet: str
    name: str
    unit: str
    shared: bool
    hard_cap: bool
    frozen: bool
    closed: bool
    budget: Decimal
    refilled: Decimal
    received: Decimal
    given: Decimal
    overdraft: Decimal
    debt: Decimal
    available: Decimal
    reserved: Decimal
    open_reservations: int
    refusals: int
    refused: Decimal
    spent: Decimal
    calls: int
    entries: list[Entry]
    total_credits: Decimal
    call_count: int
    totals: Totals
    by_wallet: dict[str, Line]
    by_agent: dict[str, Line]
    by_service: dict[str, Line]
    by_run: dict[str, Line]
    by_model: dict[str, Line]
    children: list[Receipt]

    @functools.cached_property
    def charges(self) -> list[Charge]:
        """The itemised charges still kept, oldest first.

        They are fetched when this is first read, so that a receipt costs the same after a million
        charges. Later ones are not among them. A receipt that was decoded, copied or unpickled has
        none.
        """
        fetch: Callable[[], list[Charge]] = self.__dict__.get("_fetch", list)
        return [charge for charge in fetch() if charge.wallet in self.by_wallet]

    def walk(self) -> Iterator[tuple[int, Receipt]]:
        """This receipt and those below it, parents first, each with its depth (0 for this one)."""
        ahead = [(0, self)]
        while ahead:
            depth, receipt = ahead.pop()
            yield depth, receipt
            ahead.extend((depth + 1, child) for child in reversed(receipt.children))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the charges, ready for JSON: amounts are strings such as "0.07"."""
        fields: dict[str, Any] = json.loads(self.json())
        return fields

    def json(self, *, indent: int | None = None) -> str:
        """The receipt as JSON text; amounts are strings such as "0.07", never floats."""
        fields = msgspec.to_builtins(self, builtin_types=(Decimal,))
        return json.dumps(fields, default=_written, ensure_ascii=False, indent=indent)

    def csv(self) -> str:
        """One line for each wallet and combination of labels; no charge is in two lines.

        Text that a spreadsheet would run as a formula is preceded by an apostrophe.
        """
        out = io.StringIO()
        sheet = csv.writer(out, quoting=csv.QUOTE_ALL)
        sheet.writerow(["wallet", "service", "agent", "run", "model", "calls", "credits", "unit"])
        for _, receipt in self.walk():
            for entry in receipt.entries:
                labels = (receipt.wallet, entry.service, entry.agent, entry.run, entry.model)
                figures = (str(entry.calls), _written(entry.credits), _inert(self.unit))
                sheet.writerow([*map(_inert, labels), *figures])
        return out.getvalue()

    def markdown(self) -> str:
        """A heading, the summary, and a table each for the wallets and for every label in use."""
        out = [f"## {_marked(_shown(self.name))}", "", _marked("; ".join(_facts(self)))]
        for table in _tables(self):
            sides = [":--", *["--:"] * len(table.rows[0].figures), ":--"]
            out += ["", _piped(table.heads), _piped(sides[: len(table.heads)])]
            for row in table.rows:
                out.append(_piped(map(_marked, table.cells(row, row.path))))
        return "\n".join(out) + "\n"

    def html(self) -> str:
        """A page of its own: no script, nothing fetched, light or dark as the system is."""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(_shown(self.name))}</title><style>{_PAGE}</style></head>"
            f"<body>{self._repr_html_()}</body></html>"
        )

    def _repr_html_(self) -> str:
        """The same as a part of a page, in the colours of the notebook around it."""
        name, *facts = (html.escape(text) for text in (_shown(self.name), *_facts(self)))
        figure, unit = facts[0].split(" ", 1)
        return (
            f'<section class="outlay"><style>{_STYLE}</style><h2><bdi>{name}</bdi></h2>'
            f"<p><b>{figure}</b> {unit}</p><p>{' · '.join(facts[1:])}</p>"
            f"{''.join(map(_html, _tables(self)))}</section>"
        )

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        title = Text(_shown(self.name), style="bold")
        return Group(title, Text("; ".join(_facts(self))), *map(_rich, _tables(self)))

    def __str__(self) -> str:
        heading = f"{_shown(self.name)}\n{'; '.join(_facts(self))}"
        return "\n\n".join([heading, *map(_text, _tables(self))])


_EngineLine: TypeAlias = tuple[str | None, str | None, str | None, str | None, int, int]
_Money: TypeAlias = Callable[[int], Decimal]


class Row(NamedTuple):
    """What the engine's `statement()` says of a wallet alone; amounts are in nanos."""

    wallet: str
    name: str
    depth: int  # 0 for the wallet asked
    shared: bool
    hard_cap: bool
    frozen: bool
    closed: bool
    budget: int
    refilled: int
    received: int
    given: int
    overdraft: int
    debt: int
    available: int
    reserved: int
    open_reservations: int
    refusals: int
    refused: int
    lines: list[_EngineLine]


def receipt_of(wallet: Wallet) -> Receipt:
    """Take the receipt of a wallet and its descendants."""
    fetch = functools.partial(wallet.charges, wallet.next_record())
    rows = [Row(*row) for row in wallet.statement()]
    unit = wallet.ledger.unit
    money = functools.lru_cache(functools.partial(decimal, scale=wallet.ledger.scale))
    # Parents come before their children. Backwards, children are ready when their parent needs
    # them, and no tree is too deep for the stack.
    ready: dict[int, list[tuple[int, int, Receipt]]] = {}
    for at in reversed(range(len(rows))):
        below = ready.pop(rows[at].depth + 1, [])[::-1]
        size = 1 + sum(size for size, _, _ in below)
        overdraft = max(rows[at].overdraft, sum(overdraft for _, overdraft, _ in below))
        totals = _totals(rows[at : at + size], overdraft, money)
        children = [child for _, _, child in below]
        receipt = _receipt(rows[at : at + size], totals, children, unit, money)
        receipt.__dict__["_fetch"] = fetch
        ready.setdefault(rows[at].depth, []).append((size, overdraft, receipt))
    return ready[0][0][2]


_LABELS = ("service", "agent", "run", "model")
_AMOUNTS = (
    *("budget", "refilled", "received", "given", "overdraft", "debt", "available", "reserved"),
    "refused",
)


def _totals(rows: list[Row], overdraft: int, money: _Money) -> Totals:
    paying = [rows[0], *(row for row in rows[1:] if not row.shared)]
    return Totals(
        available=money(sum(row.available for row in paying)),
        reserved=money(sum(row.reserved for row in rows)),
        open_reservations=sum(row.open_reservations for row in rows),
        refilled=money(sum(row.refilled for row in paying)),
        overdraft=money(overdraft),
        debt=money(sum(row.debt for row in paying)),
        refusals=sum(row.refusals for row in rows),
        refused=money(sum(row.refused for row in rows)),
    )


def _receipt(
    rows: list[Row], totals: Totals, children: list[Receipt], unit: str, money: _Money
) -> Receipt:
    """The receipt of the first row; the others are its descendants'."""
    row, by = rows[0], _spent_by(rows)
    own: dict[str, Any] = row._asdict()
    del own["depth"], own["lines"]
    own |= {name: money(own[name]) for name in _AMOUNTS}
    own |= {
        f"by_{kind}": {label: Line(money(nanos), calls) for label, (nanos, calls) in of.items()}
        for kind, of in by.items()
    }
    return Receipt(
        **own,
        unit=unit,
        spent=money(sum(line[4] for line in row.lines)),
        calls=sum(line[5] for line in row.lines),
        entries=[_entry(line, money) for line in row.lines],
        total_credits=money(sum(nanos for nanos, _ in by["wallet"].values())),
        call_count=sum(calls for _, calls in by["wallet"].values()),
        totals=totals,
        children=children,
    )


def _entry(line: _EngineLine, money: _Money) -> Entry:
    service, agent, run, model = (label or UNLABELLED for label in line[:4])
    return Entry(service, agent, run, model, money(line[4]), line[5])


def _spent_by(rows: list[Row]) -> dict[str, dict[str, tuple[int, int]]]:
    """Nanos and calls by kind and label; wallets as they come, labels largest first."""
    by: dict[str, dict[str, tuple[int, int]]] = {kind: {} for kind in (*_LABELS, "wallet")}
    for row in rows:
        by["wallet"].setdefault(row.wallet, (0, 0))
        for *labels, nanos, calls in row.lines:
            for of, label in zip(by.values(), (*labels, row.wallet), strict=True):
                before = of.get(label or UNLABELLED, (0, 0))
                of[label or UNLABELLED] = (before[0] + nanos, before[1] + calls)
    for kind in _LABELS:
        by[kind] = dict(sorted(by[kind].items(), key=lambda item: (-item[1][0], item[0])))
    return by


class _TableRow(NamedTuple):
    depth: int
    label: str
    path: str
    figures: tuple[str, ...]
    share: float  # how much of the bar is filled, 0 to 1
    notes: str = ""
    over: bool = False


class _Table(NamedTuple):
    heads: tuple[str, ...]  # of the label, the figures and, where a row has any, the notes
    rows: list[_TableRow]

    def cells(self, row: _TableRow, label: str) -> list[str]:
        return [label, *row.figures, row.notes][: len(self.heads)]


_WORDS = ("wallet", *_LABELS, "notes")  # heads of columns that are not figures


def _tables(receipt: Receipt) -> Iterator[_Table]:
    """What every form of a receipt shows: the tree of wallets, then each kind of label in use."""
    wallets = [_wallet_row(depth, each) for depth, each in receipt.walk()]
    notes = ("notes",) if any(row.notes for row in wallets) else ()
    yield _Table(("wallet", "spent", "budget", "left", "calls", *notes), wallets)
    for kind in ("agent", "service", "model", "run"):
        lines: dict[str, Line] = getattr(receipt, f"by_{kind}")
        if lines.keys() - {UNLABELLED}:
            rows = [_label_row(label, line, receipt) for label, line in lines.items()]
            yield _Table((kind, "spent", "share", "calls"), rows)


def _wallet_row(depth: int, receipt: Receipt) -> _TableRow:
    """A wallet's line includes its descendants', so the first line is the whole."""
    funds = float(receipt.budget) + float(receipt.totals.refilled)
    share = float(receipt.total_credits) / funds if funds else float(receipt.call_count > 0)
    amounts = (receipt.total_credits, receipt.budget, receipt.totals.available)
    return _TableRow(
        depth,
        _shown(receipt.name),
        _shown(receipt.wallet),
        (*map(_written, amounts), str(receipt.call_count)),
        min(share, 1.0),
        ", ".join(_notes(receipt)),
        bool(receipt.overdraft or receipt.debt),
    )


def _label_row(label: str, line: Line, receipt: Receipt) -> _TableRow:
    share = float(line.credits) / float(receipt.total_credits)
    part = f"{share:.0%}"
    figures = (_written(line.credits), part if part != "0%" else "<1%", str(line.calls))
    return _TableRow(0, _shown(label), _shown(label), figures, share)


def _notes(receipt: Receipt) -> Iterator[str]:
    """What is worth saying of a wallet alone."""
    states = {"shared": receipt.shared, "soft": not receipt.hard_cap}
    states |= {"frozen": receipt.frozen, "closed": receipt.closed}
    yield from (state for state, holds in states.items() if holds)
    for word in ("refilled", "reserved", "overdraft", "debt"):
        if amount := getattr(receipt, word):
            yield f"{word} {_written(amount)}"
    if receipt.refusals:
        yield _counted(receipt.refusals, "refusal")


def _facts(receipt: Receipt) -> Iterator[str]:
    """The summary; it begins with the figure that people look for."""
    totals = receipt.totals
    yield f"{_written(receipt.total_credits)} {_shown(receipt.unit)} spent"
    yield _counted(receipt.call_count, "call")
    yield f"{_written(totals.available)} left"
    for word in ("refilled", "overdraft", "debt"):
        if amount := getattr(totals, word):
            yield f"{word} {_written(amount)}"
    if totals.open_reservations:
        holds = _counted(totals.open_reservations, "open reservation")
        yield f"{_written(totals.reserved)} in {holds}"
    if totals.refusals:
        yield f"{_counted(totals.refusals, 'refusal')} ({_written(totals.refused)} asked)"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _written(amount: Decimal) -> str:
    # str() would write 0.0000001 as 1E-7.
    return f"{amount:f}"


def _shown(label: str) -> str:
    """A label on one line, without what moves a terminal's cursor or turns text around."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", " ", label) or "(none)"


def _inert(text: str) -> str:
    """Text that a spreadsheet shows and does not run (OWASP, "CSV Injection")."""
    formula = re.match(r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", text)
    return f"'{text}" if formula else text


def _marked(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", html.escape(text, quote=False))


def _piped(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(table: _Table) -> str:
    rows = [table.cells(row, "  " * row.depth + row.label) for row in table.rows]
    widths = [max(map(_columns, column)) for column in zip(table.heads, *rows, strict=True)]
    grid = [table.heads, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(_padded(cells, widths, table.heads)).rstrip() for cells in grid)


def _padded(cells: Sequence[str], widths: list[int], heads: Sequence[str]) -> Iterator[str]:
    for cell, width, head in zip(cells, widths, heads, strict=True):
        space = " " * (width - _columns(cell))
        yield cell + space if head in _WORDS else space + cell


def _columns(text: str) -> int:
    """How many columns a terminal gives to a text."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    unseen = sum(unicodedata.category(c) in ("Mn", "Mc", "Me", "Cf") for c in text)
    return len(text) + wide - unseen


def _rich(table: _Table) -> RenderableType:
    from rich.bar import Bar
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    view = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for head in (table.heads[0], "", *table.heads[1:]):
        left = head in ("", *_WORDS)
        view.add_column(head, justify="left" if left else "right", overflow="fold")
    for row in table.rows:
        label, *rest = map(Text, table.cells(row, "  " * row.depth + row.label))
        bar = Bar(1.0, 0.0, row.share, width=10, color="red" if row.over else "cyan")
        view.add_row(label, bar, *rest)
    return view


def _html(table: _Table) -> str:
    kinds = ["word" if head in _WORDS else "figure" for head in table.heads]
    heads = [f"<th scope=col class={k}>{h}" for k, h in zip(kinds, table.heads, strict=True)]
    out = ["<tr>", heads[0], "<td>", *heads[1:]]
    for row in table.rows:
        label, *cells = (html.escape(cell) for cell in table.cells(row, row.label))
        bar = f'<i class={"over" if row.over else "bar"} style="--share:{row.share:.4f}"></i>'
        out.append(f'<tr><th scope=row style="--depth:{row.depth}"><bdi>{label}</bdi><td>{bar}')
        out += [f"<td class={k}>{cell}" for k, cell in zip(kinds[1:], cells, strict=True)]
    return f"<div><table>{''.join(out)}</table></div>"


# A notebook may be dark on a light system: the text keeps its colour, the tones suit both.
_STYLE = """
.outlay { font: 14px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.outlay h2 { font-size: 1em; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
.outlay p { margin: 0; opacity: .65; }
.outlay p:first-of-type { opacity: 1; }
.outlay p b { font-size: 2.6em; font-weight: 300; letter-spacing: -.02em; line-height: 1.3; }
.outlay div { overflow-x: auto; margin-top: 1.8em; }
.outlay table { border-collapse: collapse; table-layout: auto; width: 100%; margin: 0;
  font-size: 1em; }
.outlay tr { background: none !important;
  border-top: 1px solid color-mix(in srgb, currentColor 12%, transparent); }
.outlay tr:first-child { border: 0; font-size: .8em; opacity: .65; }
.outlay th, .outlay td { padding: .35em 0 .35em 1.6em; text-align: left; font-weight: 400; }
.outlay th:first-child { padding-left: min(var(--depth, 0) * 1.2em, 8em);
  min-width: min(14em, 40vw); box-sizing: border-box; overflow-wrap: anywhere; }
.outlay td:nth-child(2) { width: 100%; }
.outlay .figure { text-align: right; white-space: nowrap; min-width: 3.2em; }
.outlay td.word { opacity: .65; font-size: .85em; white-space: nowrap; }
.outlay i { display: block; min-width: 5em; max-width: 11em; height: .4em; border-radius: .2em;
  --tone: #3b8ea5; background: linear-gradient(var(--tone) 0 0) 0 / calc(var(--share) * 100%)
    no-repeat color-mix(in srgb, currentColor 10%, transparent); }
.outlay i.over { --tone: #d2573f; }
@media (max-width: 44em) { .outlay i { display: none; } }
"""

_PAGE = """
:root { color-scheme: light dark; }
body { background: #fdfcfa; color: #23211e; max-width: 52em; margin: 3.5em auto; padding: 0 1.5em; }
@media (prefers-color-scheme: dark) { body { background: #191a1c; color: #e4e2de; } }
"""
