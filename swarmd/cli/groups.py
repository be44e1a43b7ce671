"""Command groups whose members are imported when they are run, so that ``swarmd --help`` is fast."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from swarmd.cli.context import global_options

__all__ = ["Command", "LazyGroup", "Member"]

Member = tuple[str, str]
"""Where a command lies (``module:name``), and its one line of help."""

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Command(click.Command):
    """A command that also takes the global options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", CONTEXT_SETTINGS)
        super().__init__(*args, **kwargs)
        self.params = [*self.params, *global_options()]


class LazyGroup(click.Group):
    """A group that also takes the global options, and knows its members by name and help only."""

    def __init__(self, *args: Any, members: Mapping[str, Member], **kwargs: Any) -> None:
        super().__init__(*args, context_settings=CONTEXT_SETTINGS, **kwargs)
        self.members = members
        self.params = [*self.params, *global_options()]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they were given: the first are those that a newcomer needs first."""
        return list(self.members)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The member, loaded."""
        if cmd_name not in self.members:
            return None
        module, _, name = self.members[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest name when there is none such."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], self.members, 1)
            what = f'Did you mean "{ctx.command_path} {near[0]}"?' if near else None
            raise click.UsageError(f"{error.message} {what}" if what else error.message, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The members' help, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.members.items()])
