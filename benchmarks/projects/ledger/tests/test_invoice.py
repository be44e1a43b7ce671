import pytest
from ledger import Invoice


@pytest.fixture
def invoice():
    return Invoice()


def test_one_line(invoice):
    invoice.add("pen", 2, 150)
    assert invoice.net() == 300


def test_the_same_thing_is_put_together(invoice):
    invoice.add("pen", 2, 150)
    invoice.add("pen", 3, 150)
    assert len(invoice.lines) == 1
    assert invoice.net() == 750


def test_another_price_is_another_line(invoice):
    invoice.add("pen", 1, 150)
    invoice.add("pen", 1, 170)
    assert len(invoice.lines) == 2


def test_many_pieces_are_cheaper(invoice):
    invoice.add("pen", 10, 100)
    assert invoice.net() == 980


def test_very_many_pieces(invoice):
    invoice.add("pen", 100, 100)
    assert invoice.net() == 9000


def test_fifty_pieces(invoice):
    invoice.add("pen", 50, 100)
    assert invoice.net() == 4750


def test_old_customers_pay_less():
    invoice = Invoice(years=5)
    invoice.add("desk", 1, 10000)
    assert invoice.net() == 9700


def test_good_customers_pay_less():
    invoice = Invoice(orders=21)
    invoice.add("desk", 1, 10000)
    assert invoice.net() == 9800


def test_discounts_of_customers_are_capped():
    invoice = Invoice(orders=21, years=9)
    invoice.add("desk", 1, 10000)
    assert invoice.net() == 9600


def test_tax(invoice):
    invoice.add("desk", 1, 10000)
    assert invoice.taxes() == {"standard": 2000}


def test_taxes_by_rate(invoice):
    invoice.add("desk", 1, 10000)
    invoice.add("book", 2, 1000, "reduced")
    invoice.add("stamp", 1, 100, "none")
    assert invoice.taxes() == {"standard": 2000, "reduced": 140, "none": 0}


def test_total(invoice):
    invoice.add("desk", 1, 10000)
    invoice.add("book", 1, 1050, "reduced")
    assert invoice.total() == 10000 + 2000 + 1050 + 74


def test_show(invoice):
    invoice.add("desk", 1, 10000)
    invoice.add("fountain pen", 1, 250)
    assert invoice.show().split("\n") == [
        "desk             100.00",
        "fountain pen       2.50",
        "total            123.00",
    ]


def test_show_of_nothing(invoice):
    assert invoice.show() == "total       0.00"
