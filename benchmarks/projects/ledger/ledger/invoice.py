"""Invoices made of lines."""

from ledger.money import format_cents
from ledger.rules import customer_discount, quantity_discount, reduced_by, tax


class Line:
    """So many pieces at a price."""

    def __init__(self, name, quantity, price, rate="standard"):
        self.name = name
        self.quantity = quantity
        self.price = price
        self.rate = rate

    def net(self):
        """Without tax."""
        return reduced_by(self.quantity * self.price, quantity_discount(self.quantity))


class Invoice:
    """Lines for one customer."""

    def __init__(self, orders=0, years=0):
        self.lines = []
        self.orders = orders
        self.years = years

    def add(self, name, quantity, price, rate="standard"):
        """One more line; the same thing at the same price is put together."""
        for line in self.lines:
            if line.name == name and line.price == price:
                line.quantity = line.quantity + quantity
                return
        self.lines.append(Line(name, quantity, price, rate))

    def net(self):
        """All lines without tax."""
        return sum(self._reduced(line) for line in self.lines)

    def taxes(self):
        """The tax by its rate."""
        found = {}
        for line in self.lines:
            found[line.rate] = found.get(line.rate, 0) + tax(self._reduced(line), line.rate)
        return found

    def total(self):
        """What is to be paid."""
        return self.net() + sum(self.taxes().values())

    def show(self):
        """The invoice as text."""
        width = self._width()
        rows = [f"{line.name:<{width}} {format_cents(self._reduced(line)):>10}" for line in self.lines]
        return "\n".join([*rows, f"{'total':<{width}} {format_cents(self.total()):>10}"])

    def _reduced(self, line):
        return reduced_by(line.net(), customer_discount(self.orders, self.years))

    def _width(self):
        return max([len("total"), *(len(line.name) for line in self.lines)])
