"""The jobs around judging: integrating and delivering, again after a kill, and the worker's loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmd.bus.channel import Channel, pair
from swarmd.errors import SandboxError
from swarmd.messages import Job
from swarmd.verify import integrate as integration
from swarmd.verify import worker
from swarmd.verify.bench import Bench

from .conftest import AUTH, FIXED_AUTH, TEST_AUTH, Lab, git, packet

Build = Callable[..., Lab]

OTHER = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"


def _integrate(made: Lab, changes: dict[str, str | None], number: int = 1) -> object:
    job = made.propose(changes, packet("coding", number))
    verdict = made.do("judge", **job).verdict
    assert verdict.ok, verdict.failure
    return made.do("integrate", **job)


def test_a_request_goes_from_a_red_base_to_a_branch_and_the_users_tree_stays(lab: Build) -> None:
    made = lab()
    (made.workspace / "draft.txt").write_text("not committed")
    before = (git(made.workspace, "status", "--porcelain"), git(made.workspace, "rev-parse", "HEAD"))
    assert _integrate(made, {"auth.py": FIXED_AUTH}).commit == made.repo.tip()
    report = made.do(
        "deliver", message="Fix the login\n\nIt was turned round.", trailers={"Swarm-Request": "req"}
    )
    assert (report.ok, report.branch, report.patch) == (True, "swarm/req", "req.patch")
    assert git(made.workspace, "rev-parse", "swarm/req").strip() == report.commit
    assert git(made.workspace, "show", "swarm/req:auth.py") == FIXED_AUTH
    assert git(made.workspace, "log", "--format=%P", "-1", "swarm/req") == before[1]
    message = git(made.workspace, "log", "--format=%B", "-1", "swarm/req")
    assert message.startswith("Fix the login\n")
    assert "Swarm-Request: req" in message
    assert "users.get(name) == password" in (made.folder / "req.patch").read_text()
    assert (git(made.workspace, "status", "--porcelain"), git(made.workspace, "rev-parse", "HEAD")) == before
    assert not list((made.home.workspace("req") / "checkouts").iterdir())


def test_every_job_can_be_done_twice(lab: Build) -> None:
    made = lab()
    survey = made.prepare()
    assert made.prepare() == survey
    job = made.propose({"auth.py": FIXED_AUTH}, packet())
    first, second = made.do("judge", **job).verdict, made.do("judge", **job).verdict
    assert (first.ok, first.patch_sha256) == (second.ok, second.patch_sha256) == (True, first.patch_sha256)
    first, second = made.do("integrate", **job), made.do("integrate", **job)
    assert (first.commit, second.ok) == (second.commit, True)
    first, second = made.do("deliver"), made.do("deliver")
    assert (first.ok, first.commit) == (True, second.commit)


def test_the_base_stays_when_the_user_commits_meanwhile(lab: Build) -> None:
    made = lab()
    base = made.repo.base()
    (made.workspace / "auth.py").write_text("# rewritten\n")
    git(made.workspace, "commit", "-q", "-a", "-m", "later")
    assert made.prepare().base_commit == base
    _integrate(made, {"auth.py": FIXED_AUTH})
    assert made.do("deliver").ok
    assert git(made.workspace, "log", "--format=%P", "-1", "swarm/req").strip() == base


def test_an_integration_is_judged_again_when_the_tip_has_moved(lab: Build) -> None:
    files = {"auth.py": FIXED_AUTH, "other.py": OTHER, "tests/test_auth.py": TEST_AUTH}
    made = lab(files, user_request="Add things")
    first = made.propose(
        {"auth.py": FIXED_AUTH.replace("    return session", "    return dict(session)")}, packet("coding", 1)
    )
    second = made.propose({"other.py": OTHER + "\n\nB = 1\n"}, packet("coding", 2))
    conflicting = made.propose(
        {"auth.py": FIXED_AUTH.replace("    return session", "    return session or {}")}, packet("coding", 3)
    )
    for job in (first, second, conflicting):
        assert made.do("judge", **job).verdict.ok
    assert made.do("integrate", **first).ok
    report = made.do("integrate", **second)
    assert report.ok
    assert [gate.gate for gate in report.verdict.gates] == ["parse", "tests"]
    report = made.do("integrate", **conflicting)
    assert (report.ok, report.verdict.failure.kind) == (False, "conflict")


def test_two_changes_that_are_green_alone_and_red_together_do_not_both_land(lab: Build) -> None:
    files = {
        "size.py": "LIMIT = 10\n",
        "rule.py": "NEED = 5\n",
        "tests/test_size.py": "import rule\nimport size\n\n\ndef test_fits():\n"
        "    assert rule.NEED <= size.LIMIT\n",
    }
    made = lab(files, user_request="Change the sizes")
    less = made.propose({"size.py": "LIMIT = 6\n"}, packet("coding", 1))
    more = made.propose({"rule.py": "NEED = 9\n"}, packet("coding", 2))
    assert made.do("judge", **less).verdict.ok
    assert made.do("judge", **more).verdict.ok
    assert made.do("integrate", **less).ok
    report = made.do("integrate", **more)
    assert (report.ok, report.verdict.failure.kind) == (False, "assertion")


def test_a_crash_after_the_tip_moved_does_not_apply_the_patch_twice(
    lab: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lab({"auth.py": FIXED_AUTH, "tests/test_auth.py": TEST_AUTH}, user_request="Add a line")
    job = made.propose({"auth.py": "# one more line\n" + FIXED_AUTH}, packet())
    assert made.do("judge", **job).verdict.ok

    def crash(*args: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(integration, "save_tip", crash)
        assert made.do("integrate", **job).error.code == "E-VERIFIER"
    report = made.do("integrate", **job)
    assert report.ok
    assert made.repo.read(report.commit, "auth.py").decode().count("one more line") == 1


def test_nothing_is_delivered_when_nothing_changed_or_the_tests_are_still_red(lab: Build) -> None:
    made = lab()
    assert made.do("deliver").error.code == "E-EMPTY"
    made.plan("bugfix", packet("coding", 1), packet("coding", 2))
    _integrate(made, {"auth.py": "# half\n" + AUTH})
    report = made.do("deliver")
    assert (report.ok, report.error.code) == (False, "E-NOT-FIXED")
    assert "swarm/req" not in git(made.workspace, "branch", "--all")
    pages = made.propose({"auth.py": '"""Login."""\n# half\n' + AUTH}, packet("docs", 3))
    assert made.do("integrate", **pages).ok
    assert made.do("deliver").error.code == "E-NOT-FIXED"
    _integrate(made, {"auth.py": FIXED_AUTH}, number=2)
    assert made.do("deliver").ok


def test_a_patch_only_request_gets_no_branch(lab: Build) -> None:
    made = lab(deliver="patch")
    _integrate(made, {"auth.py": FIXED_AUTH})
    report = made.do("deliver")
    assert (report.ok, report.branch, report.patch) == (True, None, "req.patch")
    assert "swarm/req" not in git(made.workspace, "branch", "--all")


def test_a_request_without_a_workspace_gets_a_new_project(lab: Build) -> None:
    made = lab(workspace=None, user_request="Write a greeting", kind="project")
    _integrate(made, {"hello.py": "print('hello')\n", "pyproject.toml": '[project]\nname = "hello"\n'})
    report = made.do("deliver")
    project = Path(made.prepare().workspace)
    assert git(project, "show", "swarm/req:hello.py") == "print('hello')\n"
    assert report.branch == "swarm/req"


def test_a_repository_that_cannot_be_worked_on_is_an_error_of_the_report(lab: Build, tmp_path: Path) -> None:
    made = lab()
    made.request = made.request.model_copy(
        update={"workspace": str(tmp_path / "nowhere"), "request_id": "two"}
    )
    report = made.do("prepare")
    assert not report.ok
    assert report.error.code.startswith("E-WORKSPACE")


def test_projects_with_their_own_environment_are_tested_in_it(lab: Build, tmp_path: Path) -> None:
    import venv

    shape = "def side(area):\n    return area ** 0.4\n"
    test = (
        "import unittest\n\nimport shape\n\n\nclass ShapeTest(unittest.TestCase):\n"
        "    def test_side(self):\n        self.assertEqual(shape.side(9), 3)\n\n"
        "    def test_zero(self):\n        self.assertEqual(shape.side(0), 0)\n"
    )
    venv.create(tmp_path / "shop" / ".venv", with_pip=False, symlinks=True)
    (tmp_path / "shop" / ".gitignore").write_text(".venv\n")
    made = lab({"shape.py": shape, "tests/test_shape.py": test}, user_request="Fix shape.py")
    survey = made.prepare()
    assert survey.gates[-1].runner == "unittest"
    assert survey.base_passed == ["test_shape.ShapeTest.test_zero"]
    assert survey.base_failed == ["test_shape.ShapeTest.test_side"]
    wrong = made.judge({"shape.py": shape.replace("0.4", "0.3")})
    assert wrong.failure.kind == "assertion"
    assert "!= 3" in wrong.failure.digest
    assert made.judge({"shape.py": shape.replace("0.4", "0.5")}).ok
    for trick in ("os._exit(0)", "unittest.TestCase.run = print", "sys.modules['__main__'].Result = 1"):
        assert not made.judge({"shape.py": f"import os, sys, unittest\n{trick}\n{shape}"}).ok


def test_npm_scripts_are_gates(lab: Build) -> None:
    package = '{"name": "x", "scripts": {"test": "node check.js", "lint": "node --check add.js"}}'
    check = "if (require('./add').add(1, 2) !== 3) throw new Error('add is wrong');\n"
    wrong = "exports.add = (a, b) => a - b;\n"
    made = lab(
        {"package.json": package, "check.js": check, "add.js": wrong}, user_request="Fix the bug in add.js"
    )
    survey = made.prepare()
    assert [spec.gate for spec in survey.gates] == ["parse", "lint", "tests"]
    assert any("exit code" in text for text in survey.not_verified)
    failing = made.judge({"add.js": wrong.replace("-", "*")})
    assert (failing.failure.kind, "add is wrong" in failing.failure.digest) == ("assertion", True)
    assert made.judge({"add.js": wrong.replace("-", "+")}).ok


def test_without_a_sandbox_every_job_says_what_to_install(
    lab: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(level: str, runtime: Path) -> None:
        raise SandboxError("there is none", hint="Install bubblewrap")

    made = lab()
    monkeypatch.setattr(worker, "choose", refuse)
    ours, theirs = pair()
    channel, master = Channel(theirs), Channel(ours)
    job = {"job_id": "j", "kind": "prepare", "request": made.request.model_dump(mode="json")}
    for message in ({"op": "job", "job": job}, {"op": "stop"}):
        master.send(message)
    worker.main(channel, made.home, made.settings)
    messages = [received[0] for _ in range(3) if (received := master.receive(1.0))]
    assert [message["op"] for message in messages] == ["ready", "beat", "report"]
    assert messages[2]["report"]["error"]["hint"] == "Install bubblewrap"
    for one in (channel, master):
        one.close()


def test_the_worker_serves_jobs_beats_and_survives_bad_ones(
    lab: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lab()
    ours, theirs = pair()
    settings = made.settings.model_copy(
        update={"daemon": made.settings.daemon.model_copy(update={"heartbeat_s": 0.2})}
    )
    channel, master = Channel(theirs), Channel(ours)
    thread = threading.Thread(target=worker.main, args=(channel, made.home, settings))
    thread.start()

    def until(op: str) -> tuple[dict[str, object], int]:
        beats, deadline = 0, time.monotonic() + 60
        while time.monotonic() < deadline:
            received = master.receive(1.0)
            if received and received[0]["op"] == op:
                return received[0], beats
            beats += 1
        raise AssertionError(f"no {op}")

    try:
        assert until("ready")[0]["sandbox"] == made.level
        master.send({"op": "job", "job": {"job_id": "bad"}})
        assert until("report")[0]["report"]["error"]["code"] == "E-JOB"
        slow = "import time\n\n" + FIXED_AUTH.replace(
            "    session.clear()", "    time.sleep(2)\n    session.clear()"
        )
        job = made.propose({"auth.py": slow}, packet())
        fields = {"job_id": "j", "kind": "judge", "request": made.request, **job}
        master.send({"op": "job", "job": Job.model_validate(fields).model_dump(mode="json")})
        message, beats = until("report")
        assert message["report"]["verdict"]["ok"]
        assert beats >= 3
        monkeypatch.setattr(Bench, "role", property(lambda self: 1 / 0))
        master.send({"op": "job", "job": Job.model_validate(fields).model_dump(mode="json")})
        error = until("report")[0]["report"]["error"]
        assert (error["code"], "ZeroDivisionError" in error["message"]) == ("E-VERIFIER", True)
        master.send({"op": "stop"})
        thread.join(20)
        assert not thread.is_alive()
    finally:
        master.close()
        thread.join(20)
        channel.close()
