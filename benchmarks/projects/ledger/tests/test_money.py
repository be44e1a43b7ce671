from ledger import format_cents, parse_cents


def test_whole_amounts():
    assert parse_cents("12") == 1200


def test_fractions():
    assert parse_cents("12.5") == 1250
    assert parse_cents("0.05") == 5


def test_separators():
    assert parse_cents("1,234.50") == 123450


def test_signs():
    assert parse_cents("-3.20") == -320
    assert parse_cents("+3.20") == 320


def test_third_digit_is_rounded():
    assert parse_cents("1.005") == 101
    assert parse_cents("1.004") == 100


def test_format_small():
    assert format_cents(5) == "0.05"
    assert format_cents(1250) == "12.50"


def test_format_negative():
    assert format_cents(-1250) == "-12.50"


def test_format_groups():
    assert format_cents(123456789) == "1,234,567.89"
    assert format_cents(100000) == "1,000.00"


def test_there_and_back():
    for cents in (0, 7, 99, 100, 12345, 9999999):
        assert parse_cents(format_cents(cents)) == cents
