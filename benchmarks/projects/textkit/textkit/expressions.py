"""Arithmetic on texts like "2 * (x + 1)"."""


class ExpressionError(Exception):
    """A text that is no expression."""


def evaluate(text, variables=None):
    """The value of ``text``."""
    tokens = tokenize(text)
    value, rest = _sum(tokens, variables or {})
    if rest:
        raise ExpressionError(f"unexpected {rest[0]}")
    return value


def tokenize(text):
    """Numbers, names and signs."""
    tokens, place = [], 0
    while place < len(text):
        if text[place].isspace():
            place = place + 1
            continue
        end = _token_end(text, place)
        tokens.append(text[place:end])
        place = end
    return tokens


def _token_end(text, start):
    end = start + 1
    if _is_word(text[start]):
        while end < len(text) and _is_word(text[end]):
            end = end + 1
    return end


def _is_word(character):
    return character.isalnum() or character in "._"


def _sum(tokens, variables):
    value, tokens = _product(tokens, variables)
    while tokens and tokens[0] in "+-":
        sign, tokens = tokens[0], tokens[1:]
        other, tokens = _product(tokens, variables)
        value = value + other if sign == "+" else value - other
    return value, tokens


def _product(tokens, variables):
    value, tokens = _power(tokens, variables)
    while tokens and tokens[0] in "*/":
        sign, tokens = tokens[0], tokens[1:]
        other, tokens = _power(tokens, variables)
        value = value * other if sign == "*" else _quotient(value, other)
    return value, tokens


def _quotient(value, other):
    if other == 0:
        raise ExpressionError("division by zero")
    return value / other


def _power(tokens, variables):
    value, tokens = _atom(tokens, variables)
    if tokens and tokens[0] == "^":
        exponent, tokens = _power(tokens[1:], variables)
        return value**exponent, tokens
    return value, tokens


def _atom(tokens, variables):
    if not tokens:
        raise ExpressionError("something is missing")
    first, rest = tokens[0], tokens[1:]
    if first == "-":
        value, rest = _atom(rest, variables)
        return -value, rest
    if first == "(":
        return _bracketed(rest, variables)
    return _value(first, variables), rest


def _bracketed(tokens, variables):
    value, rest = _sum(tokens, variables)
    if not rest or rest[0] != ")":
        raise ExpressionError("a bracket is not closed")
    return value, rest[1:]


def _value(token, variables):
    if token in variables:
        return variables[token]
    try:
        return float(token)
    except ValueError:
        raise ExpressionError(f"unknown name {token}") from None
