"""Inside the sandbox: the authenticated report, and watching the test runner for changes.

Everything that the report needs is fetched from the standard library before any of the project's
code is imported, and held in closures: replacing ``os.write`` or ``json`` later changes nothing.
Each line carries a keyed hash over itself and the line before, so lines that the project's code
writes, changes or leaves out are noticed by the reader.
"""

from __future__ import annotations

# pathlib would be one more module to load before the project's code:
# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH119
import builtins
import fcntl
import hashlib
import json
import linecache
import os
import random
import reprlib
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Description", "Watch", "audit", "connect", "describe", "fingerprint", "import_paths"]

# Ways into other code's objects and frames: told whoever uses them, and from where.
REACHING = frozenset({
    "gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames",
    "sys._current_exceptions", "sys.settrace", "sys.setprofile", "sys.addaudithook", "code.__new__",
    "ctypes.dlopen",
})  # fmt: skip
# Everyday events, told only when the project's own code is what causes them.
OWN_ONLY = frozenset({"exec", "compile", "sys._getframe", "object.__setattr__", "object.__delattr__"})
PASSED_ON = ("inspect.py", "thread.py", "threading.py")
"""Standard modules that call what they are given, or look at their caller's frames for it."""


def connect() -> tuple[Callable[..., None], dict[str, Any]]:
    """Read the key and the options from stdin, take the report descriptor out of sight, and return
    the function that sends one line of text fields, with the options."""
    options = json.loads(sys.stdin.buffer.read())
    _hide_memory()
    given = int(os.environ.pop("SWARMD_REPORT_FD"))
    # Another number than the one that /proc/self/environ keeps; not inherited by what tests start.
    fd = fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, random.SystemRandom().randrange(100, 900))
    os.close(given)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return _sender(fd, bytes.fromhex(options.pop("key"))), options


def _hide_memory() -> None:
    """Keep the processes that tests start from reading this one's memory, where the key is."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    except (ImportError, OSError, AttributeError):
        return  # a Python without ctypes: the sandbox's own rules against tracing remain


def _sender(fd: int, key: bytes) -> Callable[..., None]:
    write, getpid, owner, keyed = os.write, os.getpid, os.getpid(), hashlib.blake2b
    encode, to_hex, join, memory = str.encode, bytes.hex, str.join, memoryview
    last = [b""]

    def send(*fields: str) -> None:
        if getpid() != owner:
            return  # a forked child that returned into the runner has nothing to report
        text = join(" ", [to_hex(encode(field, "utf-8", "backslashreplace")) for field in fields])
        payload = encode(text, "ascii")
        last[0] = encode(keyed(last[0] + payload, key=key, digest_size=16).hexdigest(), "ascii")
        view = memory(last[0] + b" " + payload + b"\n")
        while view:
            view = view[write(fd, view) :]

    return send


def audit(tell: Callable[[str], None], root: str) -> None:
    """From now on, ``tell`` each way in that the project's code tries. Python keeps such a hook for
    good: no code can take it away."""
    frame_of = sys._getframe
    busy: list[bool] = []
    told: set[str] = set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in REACHING and event not in OWN_ONLY and event not in ("open", "os.rename"):
            return
        if busy:
            return
        busy.append(True)
        try:
            text = _suspicion(event, arguments, frame_of(1), root)
            if text and text not in told:
                told.add(text)
                tell(text)
        finally:
            busy.pop()

    sys.addaudithook(hook)


def _suspicion(event: str, arguments: tuple[Any, ...], frame: Any, root: str) -> str:
    if event == "open" or event == "os.rename":
        return _suspicious_file(event, arguments, root)
    if event in OWN_ONLY:
        while frame is not None and os.path.basename(frame.f_code.co_filename) in PASSED_ON:
            frame = frame.f_back
        path = frame.f_code.co_filename if frame is not None else ""
        own = path.startswith(root + os.sep) and not _foreign(path[len(root) :])
        return event + " by " + path[len(root) + 1 :] if own or path.startswith("<string") else ""
    while frame is not None and not frame.f_code.co_filename.startswith(root + os.sep):
        frame = frame.f_back
    return event + " by " + (frame.f_code.co_filename[len(root) + 1 :] if frame is not None else "other code")


def _suspicious_file(event: str, arguments: tuple[Any, ...], root: str) -> str:
    """A program file that is written inside the checkout, or the process's own memory and descriptors."""
    name = arguments[1] if event == "os.rename" else arguments[0]
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, str):
        return ""
    path = os.path.abspath(name)
    if path.startswith("/proc/") and path.rpartition("/")[2] in ("mem", "environ", "maps", "cmdline"):
        return "opening " + "/proc/…/" + path.rpartition("/")[2]
    flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else os.O_WRONLY
    inside = path.startswith(root + os.sep) and path.endswith((".py", ".pth", ".so", ".pyc"))
    return "writing " + path[len(root) + 1 :] if inside and flags & (os.O_WRONLY | os.O_RDWR) else ""


class Watch:
    """Remembers the functions and classes of the named packages, to find those replaced later."""

    def __init__(self, *packages: str) -> None:
        self._known: list[tuple[str, Any, str, Any, Any]] = []
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in packages and isinstance(module, types.ModuleType):
                self._remember(name, module)

    def _remember(self, name: str, module: types.ModuleType) -> None:
        for key, value in list(vars(module).items()):
            if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, type)):
                self._add(name, vars(module), key, value)
            if isinstance(value, type) and value.__module__ == name and module is not builtins:
                for attribute, member in list(vars(value).items()):
                    if isinstance(member, (types.FunctionType, staticmethod, classmethod, property)):
                        self._add(name + "." + key, vars(value), attribute, member)

    def _add(self, owner: str, namespace: Any, key: str, value: Any) -> None:
        self._known.append((owner, namespace, key, value, getattr(value, "__code__", None)))

    def changed(self) -> list[str]:
        """The dotted names of what is no longer what it was."""
        return [
            owner + "." + key
            for owner, namespace, key, value, code in self._known
            if namespace.get(key) is not value or (code is not None and value.__code__ is not code)
        ]


def fingerprint(function: Any, root: str) -> str:
    """A hash of what a test function does: it changes when another function takes its place."""
    for _ in range(20):
        inner = getattr(function, "__wrapped__", None)
        if inner is None:
            break
        function = inner
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if not isinstance(code, types.CodeType):
        return ""
    simple = [value for value in code.co_consts if isinstance(value, (str, bytes, int, float, tuple))]
    plain = [repr(value) for value in simple if "code object" not in repr(value)]
    # The checkout lies elsewhere from run to run where the sandbox has no mounts.
    parts = [code.co_filename.replace(root + os.sep, "", 1), code.co_name, repr(code.co_names), repr(plain)]
    return hashlib.blake2b("\0".join(parts).encode() + code.co_code, digest_size=8).hexdigest()


class Description(NamedTuple):
    """An exception, for the digest: only frames of the project's own files."""

    kind: str
    message: str
    path: str
    line: str
    frames: str
    """``path:line function``, outermost first, one a line."""
    source: str
    """The innermost frame's source line, then its simple local values, one a line."""


def describe(error: BaseException | None, root: str) -> Description:
    """What ``error`` says and where in the project under ``root`` it came from."""
    if error is None:
        return Description("", "", "", "", "", "")
    cause = error.__cause__
    if type(error).__name__ == "CollectError" and cause is not None:
        error = cause
    frames = [
        (path[len(root) + 1 :], line, frame)
        for frame, line in traceback.walk_tb(error.__traceback__)
        for path in [os.path.abspath(frame.f_code.co_filename)]
        if path.startswith(root + os.sep) and not _foreign(path[len(root) :])
    ]
    try:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    except Exception as broken:  # the exception's own __str__ is project code
        text = type(error).__name__ + " (its message cannot be shown: " + type(broken).__name__ + ")"
    path, line = (frames[-1][0], str(frames[-1][1])) if frames else ("", "")
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(root + os.sep):
        path, line = str(error.filename)[len(root) + 1 :], str(error.lineno or "")
    names = [f"{path}:{line} {frame.f_code.co_name}" for path, line, frame in frames[-6:]]
    source = "\n".join(_shown(root, *frames[-1])) if frames else ""
    return Description(type(error).__name__, text[:3000], path, line, "\n".join(names), source[:1500])


def _foreign(path: str) -> bool:
    return any(part in path for part in ("/site-packages/", "/.venv/", "/venv/", "/node_modules/"))


def _shown(root: str, path: str, line: int, frame: types.FrameType) -> list[str]:
    lines = [linecache.getline(os.path.join(root, path), line).strip()]
    for name, value in list(frame.f_locals.items())[:12]:
        if name.startswith(("@", "__")) or isinstance(value, (types.ModuleType, types.FunctionType, type)):
            continue
        try:
            lines.append(name + " = " + reprlib.repr(value))
        except Exception as broken:  # __repr__ is project code too
            lines.append(name + " cannot be shown: " + type(broken).__name__)
    return lines


def import_paths(root: str) -> list[str]:
    """What goes to the front of sys.path: the checkout, and ``src`` where packages lie there."""
    source = os.path.join(root, "src")
    return [root, source] if os.path.isdir(source) and not _is_package(source) else [root]


def _is_package(path: str) -> bool:
    return os.path.exists(os.path.join(path, "__init__.py"))
