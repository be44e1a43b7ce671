import unittest

from textkit.expressions import ExpressionError, evaluate


class EvaluateTest(unittest.TestCase):
    def test_number(self):
        self.assertEqual(evaluate("12"), 12)

    def test_decimal(self):
        self.assertEqual(evaluate(" 1.5 "), 1.5)

    def test_sum(self):
        self.assertEqual(evaluate("1 + 2 - 4"), -1)

    def test_product(self):
        self.assertEqual(evaluate("2 * 3 / 4"), 1.5)

    def test_products_before_sums(self):
        self.assertEqual(evaluate("1 + 2 * 3"), 7)

    def test_power(self):
        self.assertEqual(evaluate("2 ^ 3 ^ 2"), 512)

    def test_brackets(self):
        self.assertEqual(evaluate("2 * (3 + (4 - 1))"), 12)

    def test_negative(self):
        self.assertEqual(evaluate("-2 * -(3)"), 6)

    def test_names(self):
        self.assertEqual(evaluate("rate_1 * 2", {"rate_1": 21}), 42)

    def test_unknown_name(self):
        with self.assertRaises(ExpressionError):
            evaluate("x")

    def test_division_by_zero(self):
        with self.assertRaises(ExpressionError):
            evaluate("1 / 0")

    def test_open_bracket(self):
        with self.assertRaises(ExpressionError):
            evaluate("(1 + 2")

    def test_nothing(self):
        with self.assertRaises(ExpressionError):
            evaluate("1 +")

    def test_too_much(self):
        with self.assertRaises(ExpressionError):
            evaluate("1 2")
