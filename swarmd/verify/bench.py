"""Everything that one job of a request works with, put together once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from swarmd import durable
from swarmd.config import Settings
from swarmd.errors import SwarmdError
from swarmd.home import Home
from swarmd.messages import Job, Packet, Plan, Proposal, Survey, load
from swarmd.sandbox import Sandbox
from swarmd.verify.context import GateContext, install_scripts, node_mounts
from swarmd.verify.discover import Tree, find_test_files
from swarmd.verify.evidence import Artifacts
from swarmd.verify.facts import BaseFacts, load_facts
from swarmd.verify.gates import Changed, Gates
from swarmd.verify.interpreter import choose_interpreter
from swarmd.verify.roles import Role, role_of
from swarmd.workspace import PrivateRepo

__all__ = ["ORDER_TRAILER", "TASK_TRAILER", "Bench", "Shop", "context_for", "load_proposal"]

MAX_PROPOSAL = 8 * 1024 * 1024
MAX_RECORD = 32 * 1024 * 1024

ORDER_TRAILER = "Swarm-Order"
"""Names, in an integrated commit's message, the order whose proposal it is."""
TASK_TRAILER = "Swarm-Task"
PURPOSES = ("gates", "base", "mutant", "opinions")


@dataclass(frozen=True)
class Shop:
    """What a verifier has for all of its jobs."""

    home: Home
    settings: Settings
    sandbox: Sandbox
    on_wait: Callable[[], None]


def context_for(shop: Shop, request_id: str, workspace: Path, tracked: Collection[str]) -> GateContext:
    """The surroundings in which the gates of the project at ``workspace`` run."""
    mounts, path = node_mounts(workspace) if "package.json" in tracked else ((), ())
    return GateContext(
        sandbox=shop.sandbox,
        workspace=workspace,
        interpreter=choose_interpreter(workspace, tracked, shop.settings.python),
        settings=shop.settings.sandbox,
        scripts=install_scripts(shop.home.workspace(request_id) / "judge"),
        artifacts=Artifacts(shop.home.request_folder(request_id) / "artifacts"),
        on_wait=shop.on_wait,
        read_only=mounts,
        path=path,
    )


class Bench:
    """One job's request: its repository, survey, plan and gates, each read when it is first used."""

    def __init__(self, shop: Shop, job: Job) -> None:
        self.shop = shop
        self.job = job
        self.request_id = job.request.request_id
        self.folder = shop.home.request_folder(self.request_id)

    @cached_property
    def repo(self) -> PrivateRepo:
        """The request's private repository."""
        return PrivateRepo.open(self.shop.home.workspace(self.request_id))

    @cached_property
    def survey(self) -> Survey:
        """What ``prepare`` found. Raises SwarmdError E-SURVEY when it has not run."""
        path = self.folder / "survey.json"
        try:
            return load(Survey, durable.read_regular(path, MAX_RECORD))
        except (OSError, ValidationError) as error:
            raise SwarmdError(f"{path} cannot be read: {error}", code="E-SURVEY") from error

    @cached_property
    def facts(self) -> BaseFacts:
        """How the base commit's gates went."""
        return load_facts(self.folder)

    @cached_property
    def plan(self) -> Plan | None:
        """The request's plan, if there is one already."""
        try:
            return load(Plan, durable.read_regular(self.folder / "plan.json", MAX_RECORD))
        except (OSError, ValidationError):
            return None

    @cached_property
    def context(self) -> GateContext:
        """Where the gates run."""
        tracked = frozenset(self.repo.files(self.repo.base()))
        return context_for(self.shop, self.request_id, Path(self.survey.workspace), tracked)

    @property
    def role(self) -> Role:
        """By whose rules the job's proposal is judged."""
        return self.job.role or role_of(self.shop.home, self.packet.agent_type)

    @property
    def packet(self) -> Packet:
        """The job's packet. Raises SwarmdError when the job has none."""
        if self.job.packet is None:
            raise SwarmdError(f"the job {self.job.job_id} has no packet", code="E-JOB")
        return self.job.packet

    @property
    def order_id(self) -> str:
        """The order whose proposal is judged."""
        return self.job.order_id or self.job.job_id

    @property
    def slug(self) -> str:
        """The order's id as part of a file name: the same for every repetition of the job."""
        name = re.sub(r"[^a-z0-9._-]", "-", self.order_id.lower())[-80:].strip("-._")
        return name or "job"

    def gates(self, commit: str, checkout: Path) -> Gates:
        """The gates, knowing the files of ``commit``, which are in ``checkout``."""
        tree = Tree(checkout, frozenset(self.repo.files(commit)))
        return Gates(self.context, find_test_files(tree), tree.files)

    def checkout(self, commit: str, purpose: str) -> Path:
        """A fresh checkout of ``commit``; what an earlier run of this job left is removed."""
        return self.repo.checkout(commit, f"{self.slug}.{purpose}")

    def clear(self) -> None:
        """Remove this job's checkouts."""
        for purpose in PURPOSES:
            self.repo.remove_checkout(f"{self.slug}.{purpose}")

    def text(self, commit: str, path: str) -> str | None:
        """A file's text in ``commit``; None when it is not there."""
        data = self.repo.read(commit, path)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def has_commit(self, commit: str) -> bool:
        """Whether ``commit`` is in the request's repository."""
        return self.repo.git.attempt("cat-file", "-e", f"{commit}^{{commit}}").code == 0

    def changed(self, old: str, new: str) -> Changed:
        """The files that differ between two commits, with both texts."""
        names = self.repo.git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new)
        paths = [name.decode("utf-8", "surrogateescape") for name in names.split(b"\0") if name]
        return {path: (self.text(old, path), self.text(new, path)) for path in paths}

    def landed(self, trailer: str) -> dict[str, str]:
        """Value of ``trailer`` and commit, for each commit from the base (not included) to the tip."""
        log = self.repo.git.text("log", "-z", "--format=%H%n%B", f"{self.repo.base()}..{self.repo.tip()}")
        found = {}
        for entry in log.split("\0"):
            commit, _, message = entry.strip().partition("\n")
            for line in message.splitlines():
                if line.startswith(f"{trailer}: "):
                    found[line.removeprefix(f"{trailer}: ")] = commit
        return found


def load_proposal(path: str, order_id: str | None) -> Proposal:
    """The proposal at ``path``. Raises SwarmdError when it cannot be read or answers another order."""
    try:
        proposal = load(Proposal, durable.read_regular(Path(path), MAX_PROPOSAL))
    except (OSError, ValidationError) as error:
        raise SwarmdError(f"the proposal {path} cannot be read: {error}", code="E-PROPOSAL") from error
    if order_id is not None and proposal.order_id != order_id:
        raise SwarmdError(
            f"the proposal {path} answers the order {proposal.order_id}, not {order_id}", code="E-PROPOSAL"
        )
    return proposal
