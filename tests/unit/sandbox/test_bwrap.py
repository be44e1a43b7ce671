"""bubblewrap's arguments, and what its refusals mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.errors import SandboxError
from swarmd.sandbox.bwrap import arguments, explain
from swarmd.sandbox.spec import Mounts


def binds(options: list[str]) -> list[tuple[str, str, str]]:
    return [
        (option, options[at + 1], options[at + 2])
        for at, option in enumerate(options)
        if option in ("--bind", "--ro-bind")
    ]


def test_only_the_checkout_is_writable(tmp_path: Path) -> None:
    options = arguments(Mounts(tmp_path, Path("/src/shop")), {}, (0, 8))
    assert [bind for bind in binds(options) if bind[0] == "--bind"] == [
        ("--bind", str(tmp_path), "/src/shop")
    ]
    read_only = arguments(Mounts(tmp_path, Path("/src/shop"), writable=False), {}, (0, 8))
    assert "--bind" not in read_only
    for word in ("--share-net", "--dev-bind", "--cap-add"):
        assert word not in options


def test_mounts_over_the_checkout_come_after_it_and_git_is_covered(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    mounts = Mounts(
        tmp_path,
        Path("/src/shop"),
        read_only=((Path("/e"), Path("/src/shop/.venv")), (Path("/b"), Path("/src"))),
    )
    inside = [at for _, _, at in binds(arguments(mounts, {}, (0, 8))) if at.startswith("/src")]
    assert inside == ["/src", "/src/shop", "/src/shop/.git", "/src/shop/.venv"]


def test_the_environment_is_given_word_by_word(tmp_path: Path) -> None:
    options = arguments(Mounts(tmp_path, Path("/src")), {"A": "--bind / /"}, (0, 8))
    at = options.index("--setenv")
    assert options[at : at + 3] == ["--setenv", "A", "--bind / /"]


def test_an_older_bubblewrap_gets_only_what_it_knows(tmp_path: Path) -> None:
    mounts = Mounts(tmp_path, Path("/src"))
    assert {"--size", "--disable-userns"} <= set(arguments(mounts, {}, (0, 8)))
    assert "--disable-userns" not in arguments(mounts, {}, (0, 7))
    assert "--size" not in arguments(mounts, {}, (0, 6))


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("bwrap: setting up uid map: Permission denied", "/etc/apparmor.d/bwrap"),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "/etc/apparmor.d/bwrap"),
        ("bwrap: No permissions to create new namespace, likely because …", "unprivileged_userns_clone"),
        ("bwrap: Creating new namespace failed: Operation not permitted", "seccomp profile"),
    ],
)
def test_a_refusal_comes_with_the_command_that_mends_it(said: str, advice: str) -> None:
    error = explain(SandboxError(f"the bwrap sandbox did not start: {said}"))
    assert advice in error.hint
    assert error.code == "E-SANDBOX-USERNS"


def test_another_failure_keeps_its_hint() -> None:
    error = SandboxError("bwrap: Can't find source path /x", hint="as it was")
    assert explain(error) is error
