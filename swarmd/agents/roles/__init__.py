"""What agents of each role do with an order: ``run(context) -> Proposal``, one module per role."""

from swarmd.agents.roles.context import RoleContext

__all__ = ["RoleContext"]
