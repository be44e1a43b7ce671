"""Invoices: amounts in cents, discounts, taxes, and how they are shown."""

from ledger.invoice import Invoice
from ledger.money import format_cents, parse_cents

__all__ = ["Invoice", "format_cents", "parse_cents"]
