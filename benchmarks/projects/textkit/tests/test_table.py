from textkit.table import table


def test_columns_stand_below_each_other():
    assert table([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc  d"


def test_head():
    assert table([["x", 1]], head=["name", "n"]) == "name  n\n----  -\nx     1"


def test_numbers():
    assert table([[1.5, 2]]) == "1.50  2"


def test_nothing_in_a_cell():
    assert table([["a", None, "b"]]) == "a    b"


def test_wide_cells_are_wrapped():
    rows = [["key", "one two three four"]]
    assert table(rows, width=14) == "key  one two\n     three\n     four"


def test_only_the_widest_gives_way():
    assert table([["abcdef gh", "xyz"]], width=11) == "abcdef  xyz\ngh"


def test_long_words_are_cut():
    assert table([["abcdefgh"]], width=3) == "abc\ndef\ngh"


def test_head_of_two_lines():
    text = table([["1", "2"]], head=["first one", "b"], width=8)
    assert text == "first  b\none\n-----  -\n1      2"


def test_no_rows():
    assert table([], head=["a", "b"]) == "a  b\n-  -"
