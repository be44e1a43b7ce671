"""Which host paths a sandbox shows, and which it never does."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from swarmd.errors import SandboxError
from swarmd.sandbox.spec import Mounts

__all__ = ["ETC", "SYSTEM_FOLDERS", "check", "interpreter_mounts", "mount_points"]

SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Beside /usr; symlinks into it on most systems."""

ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "nsswitch.conf", "hosts"),
    *("localtime", "alternatives", "protocols", "services", "mime.types", "ssl/certs", "ssl/openssl.cnf"),
)
"""What programs need of /etc. No key, no password, no host configuration."""

_RESERVED = ("/usr", "/etc", "/proc", "/dev", "/sys", "/run", "/tmp/home", *SYSTEM_FOLDERS)  # noqa: S108


def check(mounts: Mounts) -> None:
    """Raise SandboxError for mounts that show too much, hide the system, or do not exist."""
    for host, inside in ((mounts.root, mounts.at), *mounts.read_only):
        if not (host.is_absolute() and inside.is_absolute()) or ".." in (*host.parts, *inside.parts):
            raise _refused(f"{host} on {inside}: both must be absolute, without '..'")
        if not host.exists():
            raise _refused(f"{host} does not exist")
        if _holds_home(host):
            raise _refused(f"{host} holds a home folder; a sandbox never shows one")
    if any(Path(reserved).is_relative_to(mounts.at) for reserved in _RESERVED):
        raise _refused(f"a project cannot lie at {mounts.at}: the system's own folders are there")
    if not mounts.root.is_dir():
        raise _refused(f"{mounts.root} is not a folder")


def _refused(reason: str) -> SandboxError:
    return SandboxError(
        f"refused to mount: {reason}",
        code="E-SANDBOX-MOUNT",
        hint="Move the project or its environment into a folder of its own.",
    )


def _holds_home(path: Path) -> bool:
    resolved = path.resolve()
    homes = {Path("/root"), Path("/home"), Path(os.path.expanduser("~")).resolve()} - {Path("/")}  # noqa: PTH111
    return resolved.parent == Path("/home") or any(home.is_relative_to(resolved) for home in homes)


def mount_points(mounts: Mounts) -> list[tuple[Path, Path]]:
    """(host path, place inside the checkout on the host) of what lies over the checkout.

    Raises SandboxError where code that ran before has put a symlink in the way.
    """
    points = []
    for host, inside in mounts.read_only:
        if not inside.is_relative_to(mounts.at) or inside == mounts.at:
            continue
        place = mounts.root
        for part in inside.relative_to(mounts.at).parts:
            place = place / part
            if place.is_symlink():
                raise _refused(f"{place} is a symlink, and {host} is to lie there")
        points.append((host, place))
    return points


def interpreter_mounts(python: Path) -> tuple[Path, ...]:
    """The host paths, beyond /usr, that are needed to run ``python``: mount each at its own place.

    That is its virtual environment, the installation this was made from, and every installation
    that a symlink leads through (pyenv, uv). Nothing is run to find out. A prefix that is no
    installation of its own, or holds a home folder, is narrowed to the interpreter and its library.
    """
    executable = Path(os.path.abspath(python))  # noqa: PTH100 - resolve() would follow the symlinks
    found: set[Path] = set()
    for hop in _hops(executable):
        found.update(_installation(hop))
    return tuple(sorted(path for path in found if not _covered(path, found)))


def _covered(path: Path, others: Iterable[Path]) -> bool:
    roots = {Path("/usr"), *map(Path, SYSTEM_FOLDERS), *(set(others) - {path})}
    return any(path.is_relative_to(root) for root in roots)


def _hops(executable: Path) -> list[Path]:
    """``executable``, and each path that its symlinks, and its pyvenv.cfg, lead to."""
    hops: list[Path] = []
    queue = [executable]
    while queue and len(hops) < 40:
        hop = queue.pop()
        if hop in hops:
            continue
        hops.append(hop)
        if hop.is_symlink():
            queue.append(Path(os.path.normpath(hop.parent / hop.readlink())))
        queue.append(hop.parent.resolve() / hop.name)  # a folder on the way may be a symlink as well
        queue += [home / hop.name for home in _base_folders(hop.parent.parent)]
    return hops


def _base_folders(prefix: Path) -> list[Path]:
    """The folder of the interpreter that the environment at ``prefix`` was made from, if it is one."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    pairs = [line.partition("=") for line in lines]
    return [Path(value.strip()) for key, _, value in pairs if key.strip().lower() == "home" and value.strip()]


def _installation(hop: Path) -> list[Path]:
    prefix = hop.parent.parent
    libraries = sorted(prefix.glob("lib*/python3*"))
    own = hop.parent.name in ("bin", "Scripts") and (libraries or (prefix / "pyvenv.cfg").is_file())
    if own and not _holds_home(prefix):
        return [prefix]
    shared = sorted(prefix.glob("lib*/libpython3*")) if libraries else []
    return [path for path in (hop, *libraries, *shared) if path.exists()]
