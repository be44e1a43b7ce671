"""``swarmd tokens``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from swarmd.audit import read_lines
from swarmd.audit.pretty import clean
from swarmd.audit.usage import BY, By, Spent, Tally, UsageFold
from swarmd.cli.context import Context, pass_context
from swarmd.cli.groups import Command
from swarmd.cli.log_filter import LogFilter, moment
from swarmd.cli.money import counted, dollars, percent, span
from swarmd.cli.output import Output, table
from swarmd.cli.since import offset_since
from swarmd.config import CostSettings
from swarmd.errors import AuditError
from swarmd.models.pricing import Rates, rates_named
from swarmd.models.savings import Counted, Savings, cloud_cost, savings

__all__ = ["tokens"]

HEADING = ["CALLS", "FAILED", "IN", "CACHED", "OUT", "HERE", "TIME", "PAID", "ALL-CLOUD"]
TIERS = ("fast", "deep", "reviewer")


@click.command(cls=Command)
@click.option("--since", metavar="TIME", help="Only calls not older: 90s, 10m, 2h, 1d, or a date and time.")
@click.option("--by", type=click.Choice(BY), default="tier", show_default=True, help="One row for each.")
@pass_context
def tokens(context: Context, since: str | None, by: By) -> None:
    """Show what models used, what it cost, and what the same tokens would have cost in a cloud.

    The log is the source: calls that ended, over all its segments that are present. Days are those
    of UTC. The electricity is reckoned from costs.watts and costs.kwh_price, the cloud's price is the
    list price of costs.compare_with.
    """
    costs = context.settings.costs
    rates = rates_named(costs.compare_with)
    fold = _folded(context.existing_home().master_log, by, since)
    account = _account(costs, rates, fold)
    rows = _sorted(fold, by)
    output = context.output
    output.document(
        "tokens",
        by=by,
        first=fold.first or None,
        last=fold.last or None,
        compare_with=_rates_json(rates),
        groups=[{by: name, **_spent_json(spent, rates)} for name, spent in rows],
        other_groups=fold.merged_groups,
        total=_spent_json(fold.total, rates),
        savings=_savings_json(account, fold),
    )
    if not fold.total.both.calls:
        output.line("no model call has ended" + (" since then" if since else " yet"))
        return
    for line in table(_aligned([_row(name, spent, rates) for name, spent in rows], by, fold, rates)):
        output.line(line)
    output.line()
    for line in table(list(_lines(output, account, fold, costs, rates))):
        output.line(line)


def _folded(path: Path, by: By, since: str | None) -> UsageFold:
    fold = UsageFold(by)
    start = moment(since, datetime.now(UTC)) if since else None
    wanted = LogFilter(since=start)
    try:
        for line, _ in read_lines(path, offset=offset_since(path, start) if start else 0):
            if wanted(line):
                fold.take(line)
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise AuditError(f"{path} holds what is no log line: {error}") from error
    return fold


def _sorted(fold: UsageFold, by: By) -> list[tuple[str, Spent]]:
    rows = list(fold.groups.items())
    if by == "day":
        rows.sort()
    elif by == "tier":
        rows.sort(key=lambda row: TIERS.index(row[0]) if row[0] in TIERS else len(TIERS))
    else:
        rows.sort(key=lambda row: row[1].both.tokens, reverse=True)
    return [*rows, (f"({fold.merged_groups} earlier)", fold.merged)] if fold.merged_groups else rows


def _account(costs: CostSettings, rates: Rates, fold: UsageFold) -> Savings:
    try:
        length = datetime.fromisoformat(fold.last) - datetime.fromisoformat(fold.first)
        span_ms = int(length.total_seconds() * 1000)
    except (ValueError, TypeError):
        span_ms = 0
    total = fold.total
    return savings(costs, rates, _counted(total.local), _counted(total.cloud), fold.busy_ms, span_ms)


def _counted(tally: Tally) -> Counted:
    return Counted(tally.prompt_tokens, tally.cached_tokens, tally.completion_tokens, tally.micro_usd)


def _row(name: str, spent: Spent, rates: Rates) -> list[str]:
    both = spent.both
    return [
        clean(name, 60),
        f"{both.calls:,}",
        f"{both.failed:,}",
        f"{both.prompt_tokens:,}",
        f"{both.cached_tokens:,}",
        f"{both.completion_tokens:,}",
        percent(spent.local.tokens / both.tokens) if both.tokens else "-",
        span(both.latency_ms),
        dollars(both.micro_usd),
        dollars(cloud_cost(rates, _counted(both))),
    ]


def _aligned(rows: list[list[str]], by: By, fold: UsageFold, rates: Rates) -> list[list[str]]:
    """The whole table, numbers to the right."""
    every = [[by.upper(), *HEADING], *rows]
    if len(rows) > 1:
        every.append(_row("total", fold.total, rates))
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    return [
        [row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in every
    ]


def _lines(
    output: Output, account: Savings, fold: UsageFold, costs: CostSettings, rates: Rates
) -> Iterator[list[str]]:
    """The account below the table, as name and text."""
    yield ["calls", f"ended {_when(fold.first)} to {_when(fold.last)} (UTC)"]
    share = f"{percent(account.local_share)} of the tokens never left for a cloud"
    yield ["here", output.paint(share, "green") if account.local_share == 1 else share]
    yield ["all-cloud", f"{dollars(account.all_cloud)} at the list price of {_rates_text(rates)}"]
    yield ["paid", f"{dollars(account.paid)} to clouds{_unpriced(fold.total.cloud)}"]
    yield [
        "electricity",
        f"{dollars(account.electricity)}: {account.watt_hours:,.2f} Wh in {span(fold.busy_ms)} of answering, "
        f"at {costs.watts:g} W and {dollars(costs.kwh_price)} per kWh",
    ]
    less = account.saved >= 0
    of = "" if account.reduction is None else f", {percent(abs(account.reduction))} of all-cloud"
    word = f"{dollars(abs(account.saved))}{of}" if less else f"nothing: {dollars(-account.saved)} dearer{of}"
    yield ["saved", output.paint(word, "green" if less else "yellow")]
    yield from _break_even(account)


def _break_even(account: Savings) -> Iterator[list[str]]:
    if account.speed is not None and account.break_even_speed is not None:
        yield [
            "break-even",
            f"from {account.break_even_speed:,.2f} tokens/s on, in and out, electricity is cheaper than the "
            f"cloud; here: {account.speed:,.2f}",
        ]
    if not account.hardware:
        return
    price, days = dollars(account.hardware), account.days_to_pay_off
    if days is None:
        yield ["machine", f"{price}, which savings at this pace never pay for"]
    elif days == 0:
        yield ["machine", f"{price}, paid for by what was saved"]
    else:
        share = percent(account.saved / account.hardware)
        yield ["machine", f"{price}, of which {share} are saved; at this pace {days:,.0f} days more"]


def _rates_text(rates: Rates) -> str:
    per_million = f"{dollars(rates.prompt)} in, {dollars(rates.cached)} cached, {dollars(rates.reply)} out"
    return f"{clean(rates.name)} ({per_million}, a million tokens)"


def _unpriced(cloud: Tally) -> str:
    if not cloud.unpriced:
        return ""
    missing = counted(cloud.unpriced, "more call")
    return f"; {missing} without a known price: set prompt_price and reply_price of the model"


def _when(ts: str) -> str:
    return clean(ts, 40)[:19].replace("T", " ")


def _tally_json(tally: Tally) -> dict[str, int]:
    return {**{name: getattr(tally, name) for name in Tally.__slots__}, "tokens": tally.tokens}


def _spent_json(spent: Spent, rates: Rates) -> dict[str, Any]:
    return {
        "local": _tally_json(spent.local),
        "cloud": _tally_json(spent.cloud),
        "all_cloud_micro_usd": cloud_cost(rates, _counted(spent.both)),
    }


def _rates_json(rates: Rates) -> dict[str, Any]:
    return {
        "model": rates.name,
        "prompt_micro_usd_per_million": rates.prompt,
        "cached_micro_usd_per_million": rates.cached,
        "reply_micro_usd_per_million": rates.reply,
    }


def _savings_json(account: Savings, fold: UsageFold) -> dict[str, Any]:
    return {
        "all_cloud_micro_usd": account.all_cloud,
        "paid_micro_usd": account.paid,
        "electricity_micro_usd": account.electricity,
        "watt_hours": round(account.watt_hours, 3),
        "busy_ms": fold.busy_ms,
        "saved_micro_usd": account.saved,
        "reduction": account.reduction,
        "local_share": account.local_share,
        "tokens_per_s": account.speed,
        "break_even_tokens_per_s": account.break_even_speed,
        "hardware_micro_usd": account.hardware,
        "days_to_pay_off": account.days_to_pay_off,
    }
