"""The job ``deliver``: everything that was integrated becomes one commit on the user's base."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from swarmd import durable
from swarmd.errors import SwarmdError
from swarmd.messages import JobReport
from swarmd.verify.bench import Bench, load_proposal
from swarmd.verify.records import held_tests, load_tip
from swarmd.workspace import Source, inspect

__all__ = ["deliver"]


def deliver(bench: Bench) -> JobReport:
    """Write the whole patch into the request's folder and, unless only that is wanted, make the branch
    ``swarm/<request id>`` in the user's repository. Repeating it gives the same commit.

    Raises SwarmdError E-EMPTY when nothing was changed, E-NOT-FIXED when tests that the request is
    about still fail, WorkspaceError when the branch cannot be made.
    """
    repo, request = bench.repo, bench.job.request
    base, tip = repo.base(), repo.tip()
    if repo.tree(tip) == repo.tree(base):
        raise SwarmdError(
            "nothing was changed, so there is nothing to deliver",
            code="E-EMPTY",
            hint="Say more exactly what is wanted, or name the files.",
        )
    patch = f"{bench.request_id}.patch"
    durable.write(bench.folder / patch, repo.raw_diff(base, tip))
    _refuse_unfixed(bench)
    source = inspect(Path(bench.survey.workspace), base)
    date = datetime.fromisoformat(request.received_at)
    commit = repo.squash(tip, _message(bench), source.identity, date=date)
    branch = None
    if request.deliver != "patch":
        branch = f"swarm/{bench.request_id}"
        commit = repo.deliver(source, commit, f"refs/heads/{branch}")
    return JobReport(
        job_id=bench.job.job_id,
        ok=True,
        commit=commit,
        branch=branch,
        patch=patch,
        summary=_message(bench).splitlines()[0],
        warnings=_warnings(bench, source),
        not_verified=[*bench.survey.not_verified, *_unlanded(bench)],
    )


def _refuse_unfixed(bench: Bench) -> None:
    record = load_tip(bench)
    if record is not None and record.red:
        raise SwarmdError(
            f"tests that the request is about still fail: {', '.join(record.red[:5])}",
            code="E-NOT-FIXED",
            hint=f"What was done so far is in {bench.request_id}.patch, beside request.json.",
        )


def _message(bench: Bench) -> str:
    text = bench.job.message.strip() or bench.job.request.user_request.strip().splitlines()[0][:72]
    trailers = [f"{_one_line(key)}: {_one_line(value)}" for key, value in bench.job.trailers.items()]
    return "\n".join([text, "", *trailers]).rstrip() + "\n" if trailers else text + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _unlanded(bench: Bench) -> list[str]:
    orders = [load_proposal(path, None).order_id for path in held_tests(bench)]
    return [
        f"accepted tests of {order} were left out: they do not pass with the delivered code"
        for order in orders
    ]


def _warnings(bench: Bench, source: Source) -> list[str]:
    """What is true of the user's repository now; what ``prepare`` said of it is not repeated."""
    return [text for text in source.warnings if text not in bench.survey.warnings]
