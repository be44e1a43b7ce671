"""Discounts and taxes."""

from ledger.money import share

STEPS = ((100, 10), (50, 5), (10, 2))
RATES = {"standard": 20, "reduced": 7, "none": 0}


def quantity_discount(quantity):
    """Percent off for so many pieces."""
    for least, percent in STEPS:
        if quantity >= least:
            return percent
    return 0


def customer_discount(orders, years):
    """Percent off for a customer."""
    percent = 0
    if orders > 20:
        percent = percent + 2
    if years >= 5:
        percent = percent + 3
    return capped(percent, 4)


def capped(value, most):
    """``value``, but at most ``most``."""
    return value if value < most else most


def reduced_by(cents, percent):
    """``cents`` less ``percent``."""
    return cents - share(cents, percent, 100)


def tax(cents, rate):
    """The tax on ``cents``."""
    return share(cents, RATES[rate], 100)
