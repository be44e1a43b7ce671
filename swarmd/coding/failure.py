"""How a reply that cannot become an edit is told to the next sample, and to people."""

from __future__ import annotations

import hashlib
import re

from swarmd.errors import PatchError
from swarmd.messages import Failure
from swarmd.messages.gate import FailureClass

__all__ = [
    "MAX_DIGEST",
    "EditError",
    "FormatError",
    "GapsError",
    "NothingError",
    "RefusedError",
    "RepeatedError",
    "SyntaxFailedError",
    "failure",
    "signature",
]

MAX_DIGEST = 1500
"""Most characters of a failure's digest."""


class EditError(PatchError):
    """The next sample is told what was wrong with this one."""

    code = "E-EDIT"
    kind: FailureClass = "format"

    @property
    def failure(self) -> Failure:
        """This error as the message that the next attempt reads."""
        return failure(self.kind, self.message)


class FormatError(EditError):
    """The reply holds no edit that can be read."""

    code = "E-EDIT-FORMAT"


class NothingError(EditError):
    """The edit changes nothing."""

    code = "E-EDIT-NOTHING"
    kind: FailureClass = "nothing"


class RepeatedError(NothingError):
    """The edit is one that was judged and failed before, but for names and comments."""

    code = "E-EDIT-REPEATED"
    kind = "repeated"


class GapsError(EditError):
    """There is no statement, or no other, that could be filled in."""

    code = "E-EDIT-GAPS"
    kind = "gaps"


class RefusedError(EditError):
    """The edit breaks a rule: it drops what nobody asked to drop, or is for another file."""

    code = "E-EDIT-REFUSED"
    kind = "refused"


class SyntaxFailedError(EditError):
    """The file would not parse any more."""

    code = "E-EDIT-SYNTAX"
    kind = "syntax"


def failure(kind: FailureClass, digest: str, *, sign: str | None = None) -> Failure:
    """A Failure with a trimmed digest and a signature that is equal for failures that look alike."""
    if len(digest) > MAX_DIGEST:
        digest = digest[: MAX_DIGEST - 400] + "\n…\n" + digest[-390:]
    return Failure(kind=kind, digest=digest, signature=sign or signature(kind, digest))


def signature(kind: str, digest: str) -> str:
    """``kind`` and a hash of ``digest`` without numbers and spacing, which vary between equal failures."""
    plain = re.sub(r"\d+|\s+", " ", digest)
    return f"{kind}:{hashlib.sha256(plain.encode()).hexdigest()[:12]}"
