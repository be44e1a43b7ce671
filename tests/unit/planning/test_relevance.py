from swarmd.planning.relevance import rank, words
from tests.unit.planning.builders import FILES, survey_of


def test_words_take_identifiers_apart_and_drop_fillers() -> None:
    found = words("Fix the sendMail function in HTTPServer and cart_totals")
    assert found == {"send", "mail", "http", "server", "cart", "total"}


def test_files_are_ranked_by_their_paths_and_by_what_they_define() -> None:
    ranked = rank("an error while sending mail", survey_of(), FILES.get)
    assert ranked[0].path == "shop/mail/send.py"
    assert ranked[0].signatures == ("send_mail(to, text)",)
    by_symbol = rank("the total is wrong", survey_of(), FILES.get)
    assert by_symbol[0].path == "shop/cart.py"
    assert by_symbol[0].signatures[0] == "total(items, tax=0)"


def test_files_that_a_failure_points_at_come_first() -> None:
    assert rank("sending mail", survey_of(), FILES.get, ["shop/auth.py"])[0].path == "shop/auth.py"


def test_what_no_agent_may_change_is_not_offered() -> None:
    files = [*FILES, "node_modules/x/mail.js", "a\nb/mail.py", "logo.png"]
    offered = {file.path for file in rank("mail", survey_of(files), FILES.get)}
    assert offered == {"README.md", "shop/__init__.py", "shop/cart.py", "shop/auth.py", "shop/mail/send.py"}


def test_signatures_of_javascript_are_seen_and_long_ones_cut() -> None:
    text = "export default function cart(a) {}\nasync function pay(b) {}\nexport class Till {}\n"
    text += f"function {'x' * 200}(a) {{}}\n"
    file = rank("cart", survey_of(["cart.js"]), {"cart.js": text}.get)[0]
    assert file.signatures[:3] == ("cart(a)", "async function pay(b)", "class Till")
    assert max(map(len, file.signatures)) == 80
