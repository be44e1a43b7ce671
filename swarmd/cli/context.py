"""What every command has at hand: the global options, and what follows from them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from swarmd.cli.output import Output

if TYPE_CHECKING:  # pydantic takes as long to load as everything that --help needs
    from swarmd.config import Settings
    from swarmd.home import Home

__all__ = ["Context", "global_options", "pass_context"]


@dataclass
class Context:
    """The global options of one run of the command line."""

    home_option: str | None = None
    json: bool = False
    no_color: bool = False
    quiet: bool = False
    verbose: bool = False
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @cached_property
    def output(self) -> Output:
        """Made at first use: by then all options have been read."""
        return Output(json=self.json, no_color=self.no_color, quiet=self.quiet, env=self.env)

    @cached_property
    def home(self) -> Home:
        """The home that --home, $SWARMD_HOME or the current folder names; it may not exist yet."""
        from swarmd import home

        return home.find(self.home_option, self.env, Path.cwd())

    @cached_property
    def settings(self) -> Settings:
        """The settings of the home. Raises ConfigError."""
        from swarmd import config

        return config.load(self.home.settings_file, self.env)

    def command(self, words: str) -> str:
        """What to type for the command ``words`` on this same home."""
        return (
            f"swarmd {words} --home {shlex.quote(self.home_option)}"
            if self.home_option
            else f"swarmd {words}"
        )

    def existing_home(self) -> Home:
        """The home. Raises ConfigError when nothing was ever made there."""
        from swarmd.errors import ConfigError

        if not self.home.bus.is_dir():
            raise ConfigError(
                f"there is no home at {self.home.root}",
                hint='Make one with "swarmd init", or name another with --home or $SWARMD_HOME.',
            )
        return self.home


def _store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value and param.name:
        setattr(ctx.ensure_object(Context), param.name, value)


P = ParamSpec("P")
R = TypeVar("R")


def global_options() -> list[click.Option]:
    """The options that may stand before or after the verb: every command gets them."""

    def flag(*names: str, help: str) -> click.Option:  # noqa: A002 - click's own word
        return click.Option(names, is_flag=True, expose_value=False, callback=_store, help=help)

    return [
        click.Option(
            ["--home", "home_option"],
            metavar="DIR",
            expose_value=False,
            callback=_store,
            help="The home to use. Default: $SWARMD_HOME, or the nearest one upwards, or the state folder.",
        ),
        flag("--json", help="Print JSON for programs."),
        flag("--no-color", help="Print no colours, as with $NO_COLOR."),
        flag("-q", "--quiet", help="Print the answer only."),
        flag("-v", "--verbose", help="Print more."),
    ]


def pass_context(function: Callable[Concatenate[Context, P], R]) -> Callable[P, R]:
    """Hand the Context to a command as its first argument."""
    return click.make_pass_decorator(Context, ensure=True)(function)
