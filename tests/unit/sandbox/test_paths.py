"""What a sandbox shows: interpreters wherever they lie, and never a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.errors import SandboxError
from swarmd.sandbox.paths import check, interpreter_mounts, mount_points
from swarmd.sandbox.spec import Mounts


def install(prefix: Path, name: str = "python3.11") -> Path:
    """A folder that looks like a Python installation."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib/python3.11").mkdir(parents=True)
    (prefix / "lib/libpython3.11.so.1.0").touch()
    python = prefix / "bin" / name
    python.touch()
    return python


def environment(prefix: Path, base: Path) -> Path:
    """A virtual environment made from the interpreter ``base``."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib/python3.11/site-packages").mkdir(parents=True)
    (prefix / "pyvenv.cfg").write_text(f"home = {base.parent}\nversion = 3.11.9\n")
    (prefix / "bin/python3.11").symlink_to(base)
    (prefix / "bin/python").symlink_to("python3.11")
    return prefix / "bin/python"


def test_an_environment_needs_itself_and_its_base_installation(tmp_path: Path) -> None:
    base = install(tmp_path / "pyenv/versions/3.11.9")
    python = environment(tmp_path / "shop/.venv", base)
    assert interpreter_mounts(python) == (tmp_path / "pyenv/versions/3.11.9", tmp_path / "shop/.venv")


def test_a_symlinked_installation_folder_is_shown_under_both_names(tmp_path: Path) -> None:
    install(tmp_path / "uv/cpython-3.11.9-linux")
    (tmp_path / "uv/cpython-3.11-linux").symlink_to("cpython-3.11.9-linux")
    python = environment(tmp_path / "shop/.venv", tmp_path / "uv/cpython-3.11-linux/bin/python3.11")
    assert set(interpreter_mounts(python)) == {
        tmp_path / "shop/.venv",
        tmp_path / "uv/cpython-3.11-linux",
        tmp_path / "uv/cpython-3.11.9-linux",
    }


def test_an_environment_made_from_an_environment_leads_to_the_installation(tmp_path: Path) -> None:
    base = install(tmp_path / "base")
    outer = environment(tmp_path / "outer", base)
    python = environment(tmp_path / "inner", outer)
    assert {tmp_path / "base", tmp_path / "outer", tmp_path / "inner"} == set(interpreter_mounts(python))


def test_the_systems_own_interpreter_needs_nothing() -> None:
    assert interpreter_mounts(Path("/usr/bin/python3")) == ()


def test_a_symlink_loop_ends(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/a").symlink_to("b")
    (tmp_path / "bin/b").symlink_to("a")
    assert interpreter_mounts(tmp_path / "bin/a") == ()


def test_an_installation_right_in_the_home_is_narrowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "ann"
    python = install(home)
    (home / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(home))
    shown = interpreter_mounts(python)
    assert set(shown) == {python, home / "lib/python3.11", home / "lib/libpython3.11.so.1.0"}


def test_a_program_that_merely_lies_in_a_bin_folder_shows_only_itself(tmp_path: Path) -> None:
    (tmp_path / "ann/bin").mkdir(parents=True)
    python = tmp_path / "ann/bin/python"
    python.touch()
    assert interpreter_mounts(python) == (python,)


@pytest.mark.parametrize(
    ("host", "at"),
    [
        ("/", "/src"),
        ("/home", "/src"),
        ("/home/somebody", "/src"),
        ("HOME", "/src"),
        ("HOME/..", "/src"),
        ("ROOT", "/"),
        ("ROOT", "/usr"),
        ("ROOT", "/etc"),
        ("ROOT", "/tmp"),
        ("ROOT", "relative"),
        ("ROOT", "/src/../etc"),
        ("ROOT/absent", "/src"),
        ("ROOT/file", "/src"),
        ("ROOT/to-home", "/src"),
    ],
)
def test_mounts_that_show_a_home_or_hide_the_system_are_refused(
    host: str, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, root = tmp_path / "ann", tmp_path / "checkout"
    home.mkdir()
    root.mkdir()
    (root / "file").touch()
    (root / "to-home").symlink_to(home)
    monkeypatch.setenv("HOME", str(home))
    named = Path(host.replace("HOME", str(home)).replace("ROOT", str(root)))
    with pytest.raises(SandboxError) as caught:
        check(Mounts(named, Path(at)))
    assert caught.value.code == "E-SANDBOX-MOUNT"


def test_a_home_cannot_be_slipped_in_as_a_read_only_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    (tmp_path / "ann").mkdir()
    (tmp_path / "checkout").mkdir()
    with pytest.raises(SandboxError, match="home"):
        check(Mounts(tmp_path / "checkout", Path("/src"), read_only=((tmp_path / "ann", Path("/src/x")),)))


def test_ordinary_mounts_pass(tmp_path: Path) -> None:
    check(Mounts(tmp_path, Path("/home/ann/shop"), read_only=((Path("/usr/share"), Path("/opt/share")),)))
    check(Mounts(tmp_path, Path("/tmp/shop")))
    check(Mounts(tmp_path, Path("/usr/src/app")))


def test_a_symlink_on_the_way_to_a_mount_point_is_refused(tmp_path: Path) -> None:
    (tmp_path / "packages").symlink_to("/etc")
    mounts = Mounts(tmp_path, Path("/src"), read_only=((Path("/usr"), Path("/src/packages/node_modules")),))
    with pytest.raises(SandboxError, match="symlink"):
        mount_points(mounts)


def test_only_mounts_over_the_checkout_need_a_place_in_it(tmp_path: Path) -> None:
    read_only = (
        (Path("/usr"), Path("/src/.venv")),
        (Path("/usr"), Path("/opt/x")),
        (Path("/usr"), Path("/src2")),
    )
    assert mount_points(Mounts(tmp_path, Path("/src"), read_only=read_only)) == [
        (Path("/usr"), tmp_path / ".venv")
    ]
