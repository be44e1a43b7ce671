"""From a proposal's text to a commit on the integration tip, or to the reason why it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from swarmd.errors import PatchError
from swarmd.messages import Failure
from swarmd.messages.gate import FailureClass
from swarmd.verify.additions import addition_violation
from swarmd.verify.bench import ORDER_TRAILER, TASK_TRAILER, Bench, load_proposal
from swarmd.verify.digest import failure
from swarmd.verify.gates import Changed
from swarmd.verify.internals import Place, added_reaches
from swarmd.verify.protect import is_test_file, top_names
from swarmd.verify.roles import Role, added_suppressions, docs_violation, may_touch, outside_scope
from swarmd.workspace import FALLBACK_IDENTITY, ParsedPatch, parse

__all__ = ["Draft", "RefusedError", "draft_patch", "land_tests"]

_MALFORMED = frozenset({"E-PATCH-MALFORMED", "E-PATCH-BINARY"})
MAX_TEST_LINES = 2000
"""Accepted tests may be longer than one patch, because several may land together."""


class RefusedError(Exception):
    """A proposal that is not even run; carries the failure and the protected paths that it named."""

    def __init__(self, why: Failure, protected: Sequence[str] = ()) -> None:
        super().__init__(why.digest)
        self.failure = why
        self.protected = list(protected)


@dataclass(frozen=True)
class Draft:
    """A patch as it was applied: a commit on the tip, without what it may not change."""

    commit: str
    patch: ParsedPatch
    changed: Changed
    """Files of the patch, before and after."""
    protected: list[str] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """Hash of the patch as applied."""
        return hashlib.sha256(self.patch.render().encode()).hexdigest()


def draft_patch(bench: Bench, patch: str, onto: str) -> Draft:
    """Check ``patch`` by the rules of the job's role and commit it on ``onto``.

    Raises RefusedError with class format, refused, apply, conflict or nothing.
    """
    parsed = _parsed(patch, bench.shop.settings.policy.max_patch_lines)
    kept, protected = _unprotected(bench, parsed, onto)
    outside = outside_scope(kept.paths, bench.packet.files_owned)
    if outside:
        owned = ", ".join(bench.packet.files_owned[:10])
        raise _refused(
            "refused", f"it changes {', '.join(outside[:5])}, but may only change {owned}", protected
        )
    changed = _applied(bench, kept, onto)
    real = {path: texts for path, texts in changed.items() if texts[0] != texts[1]}
    if not real:
        raise _nothing(protected)
    _check_content(bench, bench.role, real, protected)
    kept = kept.without([path for path in kept.paths if path not in real])
    commit = _commit(bench, kept, onto, bench.job.message or bench.packet.action, _trailers(bench))
    return Draft(commit, kept, real, protected)


def _parsed(patch: str, max_lines: int) -> ParsedPatch:
    if not patch.strip():
        raise _refused("nothing", "the proposal has no patch")
    try:
        parsed = parse(patch, max_lines=max_lines)
    except PatchError as error:
        kind: FailureClass = "format" if error.code in _MALFORMED else "refused"
        raise _refused(kind, f"{error.code}: {error.message}") from error
    if not parsed.files:
        raise _refused("format", "the patch has no file in it")
    return parsed


def _unprotected(bench: Bench, parsed: ParsedPatch, onto: str) -> tuple[ParsedPatch, list[str]]:
    there = frozenset(bench.repo.files(onto))
    role, fresh = bench.role, not bench.survey.protected
    protected = [
        path for path in parsed.paths if not may_touch(path, role, exists=path in there, fresh=fresh)
    ]
    kept = parsed.without(protected)
    if not kept.files:
        raise _nothing(protected)
    return kept, sorted(protected)


def _nothing(protected: Sequence[str]) -> RefusedError:
    if protected:
        text = (
            f"it changes only files that decide the verdict, which need a warrant: {', '.join(protected[:5])}"
        )
        return _refused("refused", text, protected)
    return _refused("nothing", "the patch changes nothing")


def _applied(bench: Bench, patch: ParsedPatch, onto: str) -> dict[str, tuple[str | None, str | None]]:
    changed = {}
    for file in patch.files:
        old = bench.repo.read(onto, file.path)
        try:
            new = file.patched(old)
        except PatchError as error:
            raise _misfit(bench, onto, error) from error
        changed[file.path] = (_text(old), _text(new))
    return changed


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogateescape")


def _misfit(bench: Bench, onto: str, error: PatchError) -> RefusedError:
    """Not fitting the base is the agent's fault; not fitting what others did since is a conflict."""
    if error.code == "E-PATCH-APPLY":
        return _refused("apply" if onto == bench.repo.base() else "conflict", error.message)
    return _refused("refused", f"{error.code}: {error.message}")


def _refused(kind: FailureClass, text: str, protected: Sequence[str] = ()) -> RefusedError:
    return RefusedError(failure(kind, text), protected)


def _commit(bench: Bench, patch: ParsedPatch, onto: str, subject: str, trailers: Sequence[str]) -> str:
    lines = [subject.strip().splitlines()[0][:200] if subject.strip() else "Change", "", *trailers]
    # The same job gives the same commit, so that it can be repeated after a crash.
    date = datetime.fromisoformat(bench.job.request.received_at)
    try:
        return bench.repo.commit_patch(patch, onto, "\n".join(lines), FALLBACK_IDENTITY, date=date)
    except PatchError as error:
        raise _misfit(bench, onto, error) from error


def _trailers(bench: Bench) -> list[str]:
    return [f"{TASK_TRAILER}: {bench.packet.task_id}", f"{ORDER_TRAILER}: {bench.order_id}"]


# the content of a patch, by role


def _check_content(bench: Bench, role: Role, changed: Changed, protected: Sequence[str]) -> None:
    reasons: list[str] = []
    for path, (old, new) in changed.items():
        if role == "docs":
            reasons.append(docs_violation(path, old, new) or "")
        elif role == "testing":
            reasons.append(addition_violation(path, old, new) or "")
        elif _silences(bench):
            reasons += [
                f"{path}: it adds {text!r}, which silences a gate"
                for text in added_suppressions(path, old, new)
            ]
        reasons += _reaches(bench, path, old, new)
    found = [reason for reason in reasons if reason]
    if found:
        raise _refused("refused", "\n".join(found[:8]), protected)


def _silences(bench: Bench) -> bool:
    return any(spec.runner in ("ruff", "mypy") and spec.mandatory for spec in bench.survey.gates)


def _reaches(bench: Bench, path: str, old: str | None, new: str | None) -> list[str]:
    if new is None or not path.endswith((".py", ".pyi")):
        return []
    files = bench.survey.files
    place = Place(
        tests=is_test_file(path),
        test_modules=frozenset(PurePosixPath(name).stem for name in files if is_test_file(name)),
        own=frozenset(top for name in [*files, path] for top in top_names(name)),
    )
    added = added_reaches(old, new, place)
    return [f"{path}:{reach.line}: {reach.reason}" for reach in added]


# accepted tests


def land_tests(bench: Bench, paths: Sequence[str], onto: str) -> tuple[str, list[str]]:
    """Commit the testing proposals at ``paths`` on ``onto``; returns the last commit and their files.

    One that is there already is passed over. Raises RefusedError when one no longer fits.
    """
    files: list[str] = []
    for path in paths:
        proposal = load_proposal(path, None)
        parsed = _parsed(proposal.patch, MAX_TEST_LINES)
        parsed = parsed.without([name for name in parsed.paths if not is_test_file(name)])
        files += parsed.paths
        if proposal.order_id in bench.landed(ORDER_TRAILER):
            continue
        changed = _applied(bench, parsed, onto)
        wrong = [reason for name, texts in changed.items() if (reason := addition_violation(name, *texts))]
        if wrong:
            raise _refused("refused", "\n".join(wrong[:5]))
        trailers = [f"{ORDER_TRAILER}: {proposal.order_id}"]
        onto = _commit(bench, parsed, onto, proposal.summary or "Add tests", trailers)
    return onto, list(dict.fromkeys(files))
