"""What a project's formatters and linters are told, from their settings. None of them is run."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Protocol

__all__ = ["Reader", "formatter_settings"]


class Reader(Protocol):
    """What reads the project's files."""

    def read(self, path: str) -> str | None:
        """The text of ``path``; None when it cannot be read."""


def formatter_settings(read: Reader, path: str) -> dict[str, str]:
    """What formatters and linters are told, for files like ``path``. The most particular wins."""
    found = _editorconfig(read.read(".editorconfig") or "", path)
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in (".py", ".pyi"):
        found |= _python(read)
    elif suffix in (".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".mts", ".cts", ".vue", ".css", ".json"):
        found |= _prettier(read) | _eslint(read)
    return {name: value for name, value in found.items() if re.fullmatch(r"[\w ./=-]{1,40}", value)}


def _editorconfig(text: str, path: str) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=", ":"))
    try:
        parser.read_string("[-root-]\n" + text)
    except configparser.Error:
        return {}
    found: dict[str, str] = {}
    for section in parser.sections():
        if any(fnmatchcase(PurePosixPath(path).name, one) for one in _patterns(section)):
            found |= {key: value.strip().lower() for key, value in parser[section].items()}
    told: dict[str, str] = {}
    if found.get("indent_style") == "tab":
        told["indent"] = "tab"
    elif found.get("indent_size", "").isdigit():
        told["indent"] = f"{found['indent_size']} spaces"
    if found.get("max_line_length", "").isdigit():
        told["line length"] = found["max_line_length"]
    return told


def _patterns(section: str) -> list[str]:
    """``*.{py,pyi}`` as patterns that fnmatch knows; folders in them count for nothing here."""
    name = section.rpartition("/")[2]
    match = re.fullmatch(r"([^{}]{0,40})\{([^{}]{1,200})\}([^{}]{0,40})", name)
    return [match[1] + one.strip() + match[3] for one in match[2].split(",")] if match else [name]


def _python(read: Reader) -> dict[str, str]:
    tool = _table(_toml(read.read("pyproject.toml")), "tool")
    ruff = _toml(read.read("ruff.toml")) or _toml(read.read(".ruff.toml")) or _table(tool, "ruff")
    black = _table(tool, "black")
    flake8 = _ini(read, "flake8")
    length = ruff.get("line-length") or black.get("line-length") or flake8.get("max-line-length")
    quotes = _table(ruff, "format").get("quote-style") or _table(_table(ruff, "lint"), "flake8-quotes").get(
        "inline-quotes"
    )
    if quotes is None and black:
        quotes = None if black.get("skip-string-normalization") else "double"
    doc = _table(_table(ruff, "lint"), "pydocstyle").get("convention")
    version = _table(_toml(read.read("pyproject.toml")), "project").get("requires-python")
    told = {"line length": length, "quotes": quotes, "docstrings": doc, "python": _plain(version)}
    return {name: str(value) for name, value in told.items() if value}


def _plain(version: object) -> str:
    """``>=3.9`` as "3.9 or newer"."""
    match = re.match(r"\s*>=\s*(\d+\.\d+)", version) if isinstance(version, str) else None
    return f"{match[1]} or newer" if match else ""


def _ini(read: Reader, section: str) -> Mapping[str, str]:
    for name in (".flake8", "setup.cfg", "tox.ini"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(read.read(name) or "")
        except configparser.Error:
            continue
        if parser.has_section(section):
            return parser[section]
    return {}


def _prettier(read: Reader) -> dict[str, str]:
    package = _json(read.read("package.json"))
    own = (
        _json(read.read(".prettierrc")) or _json(read.read(".prettierrc.json")) or _table(package, "prettier")
    )
    told: dict[str, str] = {}
    if isinstance(own.get("semi"), bool):
        told["semicolons"] = "yes" if own["semi"] else "no"
    if isinstance(own.get("singleQuote"), bool):
        told["quotes"] = "single" if own["singleQuote"] else "double"
    if own.get("useTabs") is True:
        told["indent"] = "tab"
    elif isinstance(own.get("tabWidth"), int):
        told["indent"] = f"{own['tabWidth']} spaces"
    if isinstance(own.get("printWidth"), int):
        told["line length"] = str(own["printWidth"])
    return told


def _eslint(read: Reader) -> dict[str, str]:
    """The few rules on form of a JSON configuration; one that is a program is not run."""
    package = _json(read.read("package.json"))
    own = (
        _json(read.read(".eslintrc.json")) or _json(read.read(".eslintrc")) or _table(package, "eslintConfig")
    )
    rules = _table(own, "rules")
    names = {"quotes": "quotes", "semi": "semicolons"}
    told: dict[str, str] = {}
    for rule, name in names.items():
        value = rules.get(rule)
        if isinstance(value, list) and len(value) > 1 and isinstance(value[1], str):
            told[name] = {"always": "yes", "never": "no"}.get(value[1], value[1])
    return told


def _toml(text: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text or "")
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _table(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = table.get(name)
    return value if isinstance(value, dict) else {}
