"""A dropped file's bytes become an accepted request, a repeat of one, or a refusal with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NoReturn

from swarmd.bus.naming import printable, slug
from swarmd.bus.validation import parse
from swarmd.errors import RequestError
from swarmd.messages import AcceptedRequest, Priority, Request

__all__ = ["Repeat", "accept", "parse_request"]

_CODE = "E-REQUEST"


@dataclass(frozen=True)
class Repeat:
    """The file says nothing new: this request was accepted before. The file can simply go."""

    request_id: str


def accept(
    data: bytes,
    *,
    name: str,
    priority: Priority,
    received_at: str,
    known: Callable[[str], str | None],
    source_id: str = "",
    accepted_from: Callable[[str], str | None] = lambda _: None,
) -> AcceptedRequest | Repeat:
    """Judge a dropped file's bytes. Raises RequestError, whose code begins with E-REQUEST-.

    ``name`` is the file's name and ``received_at`` the moment, RFC 3339. ``known`` gives the
    content_sha256 of the request that has an id, ever; None if there is none. ``source_id`` says
    which file it is (Candidate.source_id) and ``accepted_from`` gives the id of the request that
    was accepted from that very file: after a crash between the acceptance and the file's removal,
    a file that names no id would otherwise be taken for a second request.
    """
    request = parse_request(data)
    digest = hashlib.sha256(data).hexdigest()
    if request.request_id is None:
        if earlier := accepted_from(source_id):
            return Repeat(earlier)
        request_id = _free_id(name, source_id, known)
    else:
        request_id = request.request_id
        before = known(request_id)
        if before == digest:
            return Repeat(request_id)
        if before is not None:
            raise RequestError(
                f'the id "{request_id}" belongs to another request with other content',
                code=f"{_CODE}-DUPLICATE",
                field="request_id",
                hint='Choose another "request_id", or leave it out to have one made.',
            )
    fields = request.model_dump() | {"request_id": request_id, "limits": request.limits}
    return AcceptedRequest(
        **fields,
        priority=priority,
        received_at=received_at,
        source_name=printable(name),
        source_id=source_id,
        content_sha256=digest,
    )


def _free_id(name: str, source_id: str, known: Callable[[str], str | None]) -> str:
    """An unused id near the file's name. It depends only on the file, so that a retry finds it too."""
    stem = name[: -len(".json")] if name.lower().endswith(".json") else name
    request_id, number = slug(stem), 0
    while known(request_id) is not None:
        number += 1
        seed = f"{name}\0{source_id}\0{number}".encode("utf-8", "surrogateescape")
        request_id = f"{slug(stem, 55)}-{hashlib.sha256(seed).hexdigest()[:8]}"
    return request_id


def parse_request(data: bytes) -> Request:
    """The request in ``data``, checked as far as the bytes alone allow. Raises RequestError."""
    request = parse(Request, data, _CODE)
    if not request.user_request.strip():
        _refuse(
            "EMPTY", "user_request", '"user_request" says nothing', 'Say in "user_request" what is wanted.'
        )
    _check_text("user_request", request.user_request)
    if request.workspace is not None:
        _check_workspace(request.workspace)
    if request.base is not None:
        _check_text("base", request.base)
        if request.base.startswith("-") or not request.base.strip():
            _refuse(
                "VALUE", "base", f'"base" must name a commit, tag or branch, not "{printable(request.base)}"'
            )
    for number, path in enumerate(request.files):
        _check_file(f"files[{number}]", path)
    for number, argv in enumerate(request.verify):
        for argument in argv:
            _check_text(f"verify[{number}]", argument)
        if not argv[0].strip():
            _refuse("VALUE", f"verify[{number}]", f'"verify[{number}]" names no program to run')
    return request


def _refuse(code: str, field: str, message: str, hint: str | None = None) -> NoReturn:
    raise RequestError(message, code=f"{_CODE}-{code}", field=field, hint=hint)


def _check_text(field: str, text: str) -> None:
    if "\0" in text:
        _refuse("VALUE", field, f'"{field}" holds a NUL character')


def _check_workspace(path: str) -> None:
    if not path.startswith("/") or "\0" in path:
        _refuse(
            "WORKSPACE",
            "workspace",
            f'"workspace" must be an absolute path, not "{printable(path)}"',
            'Give "workspace" the absolute path of a git repository; "~" is not expanded.',
        )


def _check_file(field: str, path: str) -> None:
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "~")) or ".." in parts or "\0" in path:
        reason = "leads out of the project"
    elif ".git" in (part.lower() for part in parts):
        reason = "lies in .git"
    elif not parts:
        reason = "names no file"
    else:
        return
    _refuse(
        "PATH",
        field,
        f'"{field}" {reason}: "{printable(path)}"',
        'Give "files" as paths inside the repository, relative to its root.',
    )
