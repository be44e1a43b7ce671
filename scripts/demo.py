"""The demo: a fresh home, a small repository with a real bug, one request, one verified branch."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

SWARMD = str(Path(sys.executable).with_name("swarmd"))

CART = '''"""A shopping cart."""


def subtotal(items):
    """Sum of price times quantity over ``items``, a list of (price, quantity) pairs."""
    total = 0
    for price, quantity in items:
        total += price * quantity
    return total


def with_discount(amount, percent):
    """``amount`` after a discount of ``percent`` per cent."""
    return amount - amount * percent / 10


def shipping(amount):
    """Shipping costs 5; orders of 50 or more ship free."""
    return 0 if amount >= 50 else 5
'''

TESTS = """from shop.cart import shipping, subtotal, with_discount


def test_subtotal_multiplies_price_by_quantity():
    assert subtotal([(10, 2), (5, 1)]) == 25


def test_ten_percent_off():
    assert with_discount(200, 10) == 180


def test_no_discount_changes_nothing():
    assert with_discount(80, 0) == 80


def test_free_shipping_from_fifty():
    assert shipping(50) == 0
    assert shipping(49) == 5
"""

REQUEST = "Fix the failing test: with_discount in shop/cart.py takes off too much."

SCRIPT = {
    "rules": [
        {"match": "commit message", "reply": "Fix the discount in with_discount\n\nIt divides by 100 now."},
        {"match": '"verdict"', "reply": '{"verdict": "ok", "quote": "", "reason": ""}'},
        {
            "match": "with_discount",
            "reply": '```python\ndef with_discount(amount, percent):\n    """``amount`` after a discount '
            'of ``percent`` per cent."""\n'
            "    return amount - amount * percent / 100\n```\n",
        },
    ]
}


class Screen:
    """Prints what happens; with a scripted model, every line says so."""

    def __init__(self, scripted: bool) -> None:
        self._mark = "[scripted] " if scripted else ""

    def line(self, text: str = "") -> None:
        print(f"{self._mark}{text}", flush=True)

    def title(self, text: str) -> None:
        self.line()
        self.line(f"== {text}")

    def run(self, *argv: str, env: dict[str, str], check: bool = True) -> int:
        """Run a command, show it and every line that it prints."""
        self.line("$ " + " ".join(["swarmd", *argv[1:]] if argv[0] == SWARMD else argv))
        process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        for text in process.stdout:
            self.line(text.rstrip("\n"))
        status = process.wait()
        if check and status != 0:
            raise SystemExit(f"the demo failed: {argv[0]} ended with exit code {status}")
        return status


def git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@localhost"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *args], check=True, capture_output=True, text=True
    ).stdout


def make_shop(folder: Path) -> None:
    """The sample repository: a package, its tests, and one bug that one test shows."""
    (folder / "shop").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "shop/__init__.py").write_text("")
    (folder / "shop/cart.py").write_text(CART)
    (folder / "tests/test_cart.py").write_text(TESTS)
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=A shop with a bug")


@contextlib.contextmanager
def scripted_model(folder: Path, home: Path, screen: Screen) -> Iterator[None]:
    """Serve the script on loopback as an OpenAI-compatible model, and point the home at it."""
    script, port_file = folder / "script.json", folder / "port"
    script.write_text(json.dumps(SCRIPT))
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "swarmd.testing",
            "scripted-model",
            f"--script={script}",
            f"--port-file={port_file}",
        ]
    )
    try:
        deadline = time.monotonic() + 20
        while not port_file.exists() or not port_file.read_text().strip():
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the demo failed: the scripted model did not start")
            time.sleep(0.05)
        url = f"http://127.0.0.1:{port_file.read_text().strip()}/v1"
        names = {"fast": "scripted", "deep": "scripted", "reviewer": "scripted"}
        lines = [f'{tier} = "{name}"' for tier, name in names.items()]
        home.mkdir(parents=True)
        (home / "swarmd.toml").write_text(
            "\n".join(["[tiers]", *lines, "[models.scripted]", 'provider = "openai"', 'name = "scripted"'])
            + f'\nbase_url = "{url}"\n'
        )
        screen.line(f"a scripted model answers at {url}: nothing below was thought by a real one")
        yield
    finally:
        server.terminate()
        server.wait()


def drop_request(home: Path, shop: Path) -> Path:
    """Any program can do this: write a JSON file into a folder."""
    path = home / "bus/inbox/high/fix-discount.json"
    path.write_text(json.dumps({"user_request": REQUEST, "workspace": str(shop)}, indent=2) + "\n")
    return path


def tests_pass(shop: Path, branch: str, folder: Path, screen: Screen) -> bool:
    """Judge the branch once more, without swarmd: a fresh clone and the project's own tests."""
    clone = folder / "fresh-clone"
    git(folder, "clone", "--quiet", "--branch", branch, str(shop), str(clone))
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "pythonpath=."],
        cwd=clone,
        env=env,
        capture_output=True,
        text=True,
    )
    for text in done.stdout.splitlines()[-3:]:
        screen.line(text)
    return done.returncode == 0


def spent(home: Path, request_id: str) -> dict[str, float]:
    """Seconds per part of the work, from the log: moments between lines, and the calls' own times."""
    lines = [json.loads(text) for text in (home / "logs/master.jsonl").read_text().splitlines()]
    ours = [line for line in lines if line.get("request_id") == request_id]

    def at(line: dict[str, object]) -> float:
        return datetime.fromisoformat(str(line["ts"])).timestamp()

    def total(begin: str, end: str) -> float:
        seconds, began = 0.0, None
        for line in ours:
            if line["event"] == begin:
                began = at(line)
            elif began is not None and line["event"].startswith(end):
                seconds, began = seconds + at(line) - began, None
        return seconds

    calls = [line for line in ours if line["event"] == "model_call_complete"]
    planning = sum(c["latency_ms"] for c in calls if c["data"].get("purpose", "").startswith("plan"))
    attempts = sum(c["latency_ms"] for c in calls) - planning
    loads = [line for line in lines if line["event"] == "model_loaded"]
    return {
        "model load": sum(line["latency_ms"] for line in loads) / 1000,
        "planning": planning / 1000,
        "attempts (model calls)": attempts / 1000,
        "gates on the base": total("request_received", "request_prepared"),
        "gates on the patches": total("verification_start", "verification_"),
    }


def leave(number: int, _: object) -> None:
    """End as Ctrl-C does, so that the daemon is stopped too."""
    raise SystemExit(128 + number)


def main() -> int:
    signal.signal(signal.SIGTERM, leave)
    parser = argparse.ArgumentParser()
    parser.add_argument("--began", type=float, default=time.time())
    parser.add_argument("--mock", action="store_true")
    options = parser.parse_args()
    screen = Screen(options.mock)
    seconds = {"install": time.time() - options.began}
    folder = Path(tempfile.mkdtemp(prefix="swarmd-demo-"))
    home, shop = folder / "home", folder / "shop"
    env = {**os.environ, "SWARMD_HOME": str(home), "NO_COLOR": "1" if not sys.stdout.isatty() else ""}
    try:
        with contextlib.ExitStack() as stack:
            if options.mock:
                stack.enter_context(scripted_model(folder, home, screen))
            else:
                screen.title("Weights: fetched once, checked by hash, kept outside this folder")
                began = time.time()
                screen.run(SWARMD, "model", "pull", env=env)
                seconds["weights"] = time.time() - began
            began = time.time()
            succeeded = show(screen, env, folder, home, shop)
            seconds["request to result, in all"] = time.time() - began
        report(screen, seconds | spent(home, "fix-discount"))
    finally:
        screen.line()
        screen.line(f"everything is in {folder}; when you have seen enough: rm -r {folder}")
    return 0 if succeeded else 1


def show(screen: Screen, env: dict[str, str], folder: Path, home: Path, shop: Path) -> bool:
    """The story: start, drop, watch, look, stop. True when the branch exists and its tests pass."""
    screen.title("A daemon on a fresh home")
    screen.run(SWARMD, "up", "-d", env=env)
    try:
        make_shop(shop)
        screen.title("A small repository with a bug and a failing test")
        screen.line(git(shop, "log", "--oneline").strip())
        screen.title("A request is a file in a folder")
        path = drop_request(home, shop)
        screen.line(f"{path}: {REQUEST}")
        screen.title("What happens, live")
        screen.run(SWARMD, "task", "watch", "fix-discount", env=env, check=False)
        return show_result(screen, env, folder, home, shop)
    finally:
        screen.title("The daemon stops")
        screen.run(SWARMD, "down", env=env, check=False)


def show_result(screen: Screen, env: dict[str, str], folder: Path, home: Path, shop: Path) -> bool:
    result = json.loads((home / "bus/outbox/fix-discount.json").read_text())
    screen.title(f"The result: {result['status']}")
    screen.run(SWARMD, "task", "show", "fix-discount", env=env, check=False)
    branch = result.get("branch")
    if not branch:
        return False
    screen.title(f"The patch: git -C {shop} diff main..{branch}")
    for text in git(shop, "diff", f"main..{branch}").splitlines():
        screen.line(text)
    screen.title(f"The branch {branch}, judged once more in a fresh clone without swarmd")
    passed = tests_pass(shop, branch, folder, screen)
    screen.title("The log: every step, tamper-evident")
    screen.run(SWARMD, "audit", "verify", env=env)
    screen.line(f"look at it with: swarmd --home {home} log    or: tail -f {home}/logs/master.jsonl")
    return passed and result["status"] == "succeeded"


def report(screen: Screen, seconds: dict[str, float]) -> None:
    screen.title("Where the time went")
    for name, value in seconds.items():
        screen.line(f"{name:28} {value:8.1f} s")


if __name__ == "__main__":
    sys.exit(main())
