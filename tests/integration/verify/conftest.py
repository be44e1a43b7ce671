"""A small laboratory: a sample project in a real repository, judged by the real verifier."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmd.config import Settings
from swarmd.home import Home
from swarmd.messages import (
    AcceptedRequest,
    Job,
    JobReport,
    Packet,
    Plan,
    Proposal,
    Survey,
    Verdict,
    dump,
    load,
)
from swarmd.sandbox import Sandbox, choose
from swarmd.verify.bench import Shop
from swarmd.verify.worker import do_job
from swarmd.workspace import FileChange, PrivateRepo, make

AUTH = """\
def login(name, password, users):
    return users.get(name) != password


def logout(session):
    session.clear()
    return session
"""

TEST_AUTH = """\
from auth import login, logout


def test_login_accepts_the_right_password():
    assert login("ann", "secret", {"ann": "secret"}) == True


def test_logout_empties_the_session():
    assert logout({"user": "ann"}) == {}
"""

FIXED_AUTH = AUTH.replace("!=", "==")


class Lab:
    """One request on one sample project."""

    def __init__(self, root: Path, sandbox: Sandbox, files: dict[str, str], **request: object) -> None:
        self.workspace = root / "shop"
        self.home = Home(root / "home")
        self.settings = Settings()
        self.waits = 0
        self._sandbox = sandbox
        self._order = 0
        write(self.workspace, files)
        git(self.workspace, "init", "-q", "-b", "main")
        git(self.workspace, "add", "-A")
        git(self.workspace, "commit", "-q", "-m", "base")
        fields = {
            "user_request": "Fix the failing tests in auth.py",
            "workspace": str(self.workspace),
            **request,
        }
        self.request = AcceptedRequest.model_validate(
            {
                "request_id": "req",
                "received_at": "2026-01-02T03:04:05.678Z",
                "source_name": "req.json",
                "content_sha256": "0" * 64,
                **fields,
            }
        )
        self.folder = self.home.request_folder("req")

    @property
    def level(self) -> str:
        return self._sandbox.level

    def again(self, files: dict[str, str], **sandbox: object) -> Lab:
        """A prepared laboratory beside this one, under other settings."""
        made = Lab(self.workspace.parent / "again", self._sandbox, files)
        made.set(**sandbox)
        made.prepare()
        return made

    def set(self, **sandbox: object) -> None:
        """Change settings of the section sandbox."""
        section = self.settings.sandbox.model_copy(update=sandbox)
        self.settings = self.settings.model_copy(update={"sandbox": section})

    def do(self, kind: str, **fields: object) -> JobReport:
        """Have one job done."""
        values = {"job_id": f"{kind}-1", "kind": kind, "request": self.request, **fields}
        return do_job(Job.model_validate(values), Shop(self.home, self.settings, self._sandbox, self._wait))

    def _wait(self) -> None:
        self.waits += 1

    def prepare(self) -> Survey:
        """Prepare the request and read the survey."""
        report = self.do("prepare")
        assert report.ok, report.error
        return load(Survey, (self.folder / "survey.json").read_bytes())

    @property
    def repo(self) -> PrivateRepo:
        return PrivateRepo.open(self.home.workspace("req"))

    def plan(self, kind: str, *packets: Packet) -> None:
        """Write plan.json."""
        plan = Plan.model_validate(
            {"request_id": "req", "origin": "model", "kind": kind, "packets": list(packets)}
        )
        (self.folder / "plan.json").write_bytes(dump(plan))

    def patch(self, changes: dict[str, str | None]) -> str:
        """A patch that gives files these texts, against the integration tip."""
        tip = self.repo.tip()
        old = {path: self.repo.read(tip, path) for path in changes}
        return make(
            [
                FileChange(path, data.decode() if (data := old[path]) is not None else None, new)
                for path, new in changes.items()
            ]
        )

    def propose(
        self, changes: dict[str, str | None] | str, packet: Packet, **fields: object
    ) -> dict[str, object]:
        """Write a proposal; returns the fields of a job about it."""
        self._order += 1
        order_id = f"pkt-1.a1.s{self._order}.e1"
        patch = changes if isinstance(changes, str) else self.patch(changes)
        values = {"kind": "patch", "patch": patch, **fields}
        proposal = Proposal.model_validate(
            {"order_id": order_id, "agent_id": "coding.1", "packet_id": "pkt-1", "epoch": 1, **values}
        )
        path = self.folder / "proposals" / f"{order_id}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(dump(proposal))
        return {"packet": packet, "order_id": order_id, "proposal": str(path)}

    def judge(
        self, changes: dict[str, str | None] | str, agent_type: str = "coding", owned: tuple[str, ...] = ()
    ) -> Verdict:
        """The verdict on one patch."""
        report = self.do("judge", **self.propose(changes, packet(agent_type, owned=owned)))
        assert report.ok, report.error
        assert report.verdict is not None
        return report.verdict


def packet(
    agent_type: str = "coding", number: int = 1, *, owned: tuple[str, ...] = (), after: tuple[int, ...] = ()
) -> Packet:
    """A task packet."""
    return Packet(
        packet_id=f"pkt-{number}",
        task_id=f"task-{number:03d}",
        request_id="req",
        agent_type=agent_type,
        action="Do what the request says",
        files_owned=list(owned),
        dependencies=[f"task-{one:03d}" for one in after],
    )


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def git(root: Path, *args: str) -> str:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    done = subprocess.run(["git", *identity, *args], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return choose("auto")


@pytest.fixture
def lab(tmp_path: Path, sandbox: Sandbox) -> Callable[..., Lab]:
    """Makes a prepared laboratory of some files."""

    def build(files: dict[str, str] | None = None, **request: object) -> Lab:
        made = Lab(tmp_path, sandbox, files or {"auth.py": AUTH, "tests/test_auth.py": TEST_AUTH}, **request)
        made.prepare()
        return made

    return build
