"""Imports that a model forgot: names that nothing in a file binds, and that mean one thing in the standard
library.

Small models forget an import more often than anything else, above all where a reply was begun for them
and there is no place left for it. Only a name that nobody else could mean is imported: a module by its name
where something is used that it has, and a few classes and functions that everybody imports by name.
"""

from __future__ import annotations

import ast
import base64
import bisect
import builtins
import calendar
import collections
import contextlib
import copy
import csv
import functools
import hashlib
import heapq
import io
import itertools
import json
import logging
import math
import operator
import os
import random
import re
import shutil
import string
import struct
import sys
import tempfile
import textwrap
import time
import typing
import unicodedata
import uuid
from collections.abc import Iterable, Iterator

from swarmd.coding import symbols
from swarmd.coding.imports import Import, add

__all__ = ["with_missing_imports"]

_MODULES = {
    module.__name__: module
    for module in [
        base64, bisect, calendar, collections, contextlib, copy, csv, functools, hashlib, heapq, io,
        itertools, json, logging, math, operator, os, random, re, shutil, string, struct, sys, tempfile,
        textwrap, time, typing, unicodedata, uuid,
    ]
}  # fmt: skip
_NAMES = {
    "collections": ("ChainMap", "Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "contextlib": ("contextmanager", "suppress"),
    "dataclasses": ("dataclass",),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "functools": ("lru_cache", "partial", "reduce", "wraps"),
    "itertools": (
        *("accumulate", "chain", "combinations", "combinations_with_replacement", "cycle", "groupby"),
        *("islice", "permutations", "product", "starmap", "takewhile", "zip_longest"),
    ),
    "pathlib": ("Path",),
    "collections.abc": ("Callable", "Generator", "Iterable", "Iterator", "Mapping", "Sequence"),
    "typing": (
        *("Any", "ClassVar", "Dict", "Final", "Generic", "List", "Literal", "NamedTuple", "Optional", "Set"),
        *("Tuple", "TypeVar", "Union"),
    ),
}
_BY_NAME = {name: Import(module, name) for module, names in _NAMES.items() for name in names}


def with_missing_imports(source: str, nodes: Iterable[ast.AST]) -> str:
    """``source`` with the imports that ``nodes``, what is new in it, need and that nobody wrote."""
    tree = symbols.parse(source)
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return source  # nobody can tell what it binds
    bound = {*_bound_by(tree), *dir(builtins)}
    return add(source, list(dict.fromkeys(_wanted(nodes, bound))))


def _wanted(nodes: Iterable[ast.AST], bound: set[str]) -> Iterator[Import]:
    for node in nodes:
        known = bound | _bound_in(node)
        for child in ast.walk(node):
            if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
                name = child.value.id
                if name not in known and hasattr(_MODULES.get(name), child.attr):
                    yield Import(name, None)
            elif isinstance(child, ast.Name) and child.id in _BY_NAME and child.id not in known:
                yield _BY_NAME[child.id]


def _bound_by(tree: ast.Module) -> set[str]:
    """What the file itself binds: at its top level, or as ``global`` anywhere in it."""
    found = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    for node in tree.body:
        found |= {node.name} if symbols.is_definition(node) else _bound_in(node)
    return found


def _bound_in(node: ast.AST) -> set[str]:
    """The names that anything in ``node`` binds, in whichever of its scopes."""
    found: set[str] = set()
    for child in ast.walk(node):
        match child:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found.update(one.asname or one.name.partition(".")[0] for one in names)
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                found.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                found.update(names)
    return found
