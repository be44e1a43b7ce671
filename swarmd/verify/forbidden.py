"""What production code has no business with: the tables of ``internals``."""

from __future__ import annotations

__all__ = ["CALLS", "FRAME_ATTRIBUTES", "LOW_LEVEL", "NAMESPACES", "PROCESS_TEXTS", "RUNNERS"]

RUNNERS = frozenset({"_pytest", "pytest", "pluggy", "unittest", "nose", "xdist", "doctest", "_pytest_mock"})
LOW_LEVEL = frozenset({
    "gc", "ctypes", "_ctypes", "cffi", "atexit", "builtins", "faulthandler", "__main__", "marshal", "imp",
    "runpy",    "zipimport", "_imp", "_frozen_importlib", "_thread",
})  # fmt: skip
NAMESPACES = frozenset({"os", "sys", "builtins", "importlib", "inspect", "threading", "posix", "_imp"})

CALLS = {
    "os._exit": "os._exit ends the process behind the test runner's back",
    "posix._exit": "os._exit ends the process behind the test runner's back",
    "os.abort": "os.abort ends the process",
    "sys.settrace": "sys.settrace watches the test runner",
    "sys.setprofile": "sys.setprofile watches the test runner",
    "threading.settrace": "threading.settrace watches the test runner",
    "threading.setprofile": "threading.setprofile watches the test runner",
    "sys.monitoring": "sys.monitoring watches the test runner",
    "sys.addaudithook": "sys.addaudithook watches the test runner",
    "sys._getframe": "sys._getframe walks into the caller's frames",
    "sys._current_frames": "sys._current_frames walks into other frames",
    "inspect.stack": "inspect.stack walks into the caller's frames",
    "inspect.currentframe": "inspect.currentframe walks into the caller's frames",
    "inspect.getouterframes": "inspect.getouterframes walks into the caller's frames",
    "inspect.trace": "inspect.trace walks into frames",
    "sys.path": "sys.path changes what test modules import",
    "sys.meta_path": "sys.meta_path changes what test modules import",
    "sys.path_hooks": "sys.path_hooks changes what test modules import",
    "sys.path_importer_cache": "sys.path_importer_cache changes what test modules import",
    "sys.exitfunc": "sys.exitfunc runs code after the tests",
    "os.register_at_fork": "os.register_at_fork runs code in the test runner's children",
    "importlib.util.spec_from_file_location": "it loads code past the import statement",
    "importlib.util.spec_from_loader": "it loads code past the import statement",
    "importlib.util.module_from_spec": "it loads code past the import statement",
    "importlib.machinery": "importlib.machinery loads code past the import statement",
    "importlib.reload": "importlib.reload replaces code that is in use",
    "pkgutil.resolve_name": "pkgutil.resolve_name imports by a computed name",
    "pydoc.locate": "pydoc.locate imports by a computed name",
}
FRAME_ATTRIBUTES = frozenset({
    "f_back", "f_globals", "f_locals", "f_builtins", "f_code", "tb_frame", "gi_frame", "cr_frame", "ag_frame",
    "cell_contents", "__closure__", "__code__", "__globals__", "__builtins__", "__loader__",
})  # fmt: skip
PROCESS_TEXTS = ("/proc/self", "/proc/thread-self", "SWARMD_REPORT", "PYTEST_CURRENT_TEST", "/dev/fd")
