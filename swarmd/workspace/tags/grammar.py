"""The languages that can be tagged: their grammars, and the patterns that find names in them.

The patterns follow the ``tags.scm`` queries that come with the grammars, less their comments and with
imports, base classes and types besides calls: these connect files as much as calls do.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Language, Query

__all__ = ["LANGUAGES", "Grammar", "grammar", "language_of"]


class Grammar(NamedTuple):
    """A loaded language."""

    language: Language
    query: Query


class _Source(NamedTuple):
    """Where a language's grammar is, and its patterns. Captures: ``name`` of what ``class``,
    ``function``, ``method`` or ``constant`` spans; ``ref`` is a mention."""

    module: str
    function: str
    patterns: str


_PYTHON = """
(class_definition name: (identifier) @name) @class
(function_definition name: (identifier) @name) @function
(module (expression_statement (assignment left: (identifier) @name) @constant))
(call function: (identifier) @ref)
(call function: (attribute attribute: (identifier) @ref))
(type (identifier) @ref)
(decorator (identifier) @ref)
(class_definition superclasses: (argument_list (identifier) @ref))
(import_from_statement name: (dotted_name (identifier) @ref))
(import_from_statement name: (aliased_import name: (dotted_name (identifier) @ref)))
"""
_SCRIPT = """
(class_declaration name: (_) @name) @class
(function_declaration name: (identifier) @name) @function
(generator_function_declaration name: (identifier) @name) @function
(method_definition name: (property_identifier) @name) @method
(variable_declarator
  name: (identifier) @name value: [(arrow_function) (function_expression)]) @function
(program (lexical_declaration (variable_declarator name: (identifier) @name
  value: [(number) (string) (template_string) (object) (array) (regex) (new_expression)]) @constant))
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name
  value: [(number) (string) (template_string) (object) (array) (regex) (new_expression)]) @constant)))
(assignment_expression
  left: (member_expression property: (property_identifier) @name)
  right: [(arrow_function) (function_expression)]) @function
(call_expression function: (identifier) @ref)
(call_expression function: (member_expression property: (property_identifier) @ref))
(new_expression constructor: (identifier) @ref)
(import_specifier name: (identifier) @ref)
(import_clause (identifier) @ref)
"""
_JAVASCRIPT = """
(class_heritage (identifier) @ref)
(jsx_opening_element name: (identifier) @ref)
(jsx_self_closing_element name: (identifier) @ref)
"""
_TYPESCRIPT = """
(abstract_class_declaration name: (type_identifier) @name) @class
(interface_declaration name: (type_identifier) @name) @class
(type_alias_declaration name: (type_identifier) @name) @class
(enum_declaration name: (identifier) @name) @class
(function_signature name: (identifier) @name) @function
(method_signature name: (property_identifier) @name) @method
(abstract_method_signature name: (property_identifier) @name) @method
(class_heritage (extends_clause value: (identifier) @ref))
(type_identifier) @ref
"""
_TSX = """
(jsx_opening_element name: (identifier) @ref)
(jsx_self_closing_element name: (identifier) @ref)
"""
_GO = """
(function_declaration name: (identifier) @name) @function
(method_declaration name: (field_identifier) @name) @method
(type_spec name: (type_identifier) @name) @class
(source_file (const_declaration (const_spec name: (identifier) @name) @constant))
(source_file (var_declaration (var_spec name: (identifier) @name) @constant))
(call_expression function: (identifier) @ref)
(call_expression function: (selector_expression field: (field_identifier) @ref))
(type_identifier) @ref
"""
_JAVA = """
(class_declaration name: (identifier) @name) @class
(interface_declaration name: (identifier) @name) @class
(enum_declaration name: (identifier) @name) @class
(record_declaration name: (identifier) @name) @class
(method_declaration name: (identifier) @name) @method
(constructor_declaration name: (identifier) @name) @method
(method_invocation name: (identifier) @ref)
(type_identifier) @ref
"""

LANGUAGES = {
    "python": _Source("tree_sitter_python", "language", _PYTHON),
    "javascript": _Source("tree_sitter_javascript", "language", _SCRIPT + _JAVASCRIPT),
    "typescript": _Source("tree_sitter_typescript", "language_typescript", _SCRIPT + _TYPESCRIPT),
    "tsx": _Source("tree_sitter_typescript", "language_tsx", _SCRIPT + _TYPESCRIPT + _TSX),
    "go": _Source("tree_sitter_go", "language", _GO),
    "java": _Source("tree_sitter_java", "language", _JAVA),
}
_SUFFIXES = {
    ".py": "python",
    ".pyi": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "tsx",
    ".go": "go",
    ".java": "java",
}


def language_of(path: str) -> str | None:
    """The language in which ``path`` is written, by its suffix; None when it cannot be tagged."""
    return _SUFFIXES.get(PurePosixPath(path).suffix.lower())


@cache
def grammar(name: str) -> Grammar | None:
    """The grammar of the language ``name``, loaded at its first use; None when this installation has
    none that fits."""
    source = LANGUAGES[name]
    try:
        from tree_sitter import Language, Query

        module = importlib.import_module(source.module)
        language = Language(getattr(module, source.function)())
        return Grammar(language, Query(language, source.patterns))
    except (ImportError, ValueError, AttributeError):
        # A grammar of another version, or none: files of that language are without tags, which only
        # makes prompts poorer.
        return None
