"""What ``swarmd doctor`` checks: one function per check, each fast, none changing anything."""

from swarmd.cli.checks.check import Check, State, run_checks

__all__ = ["Check", "State", "run_checks"]
