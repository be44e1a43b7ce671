"""The queues that ``bus.py`` measures: one small module each, and what they have in common.

Each row runs in processes of its own, under the interpreter that has its packages.
"""

from __future__ import annotations

__all__ = ["ROWS"]

ROWS = {
    "maildir": "benchmarks.peers.maildir:Maildir",
    "groups": "benchmarks.peers.groups:Groups",
    "prealloc": "benchmarks.peers.prealloc:Prealloc",
    "huey-sqlite": "benchmarks.peers.huey_queues:HueySqlite",
    "huey-file": "benchmarks.peers.huey_queues:HueyFile",
    "huey-redis": "benchmarks.peers.huey_queues:HueyRedis",
    "persist-queue": "benchmarks.peers.persist_queue:PersistQueue",
    "litequeue": "benchmarks.peers.lite_queue:LiteQueue",
    "litequeue-full": "benchmarks.peers.lite_queue:LiteQueueFull",
    "celery": "benchmarks.peers.celery_queue:Celery",
    "rq": "benchmarks.peers.rq_queue:Rq",
    "dramatiq": "benchmarks.peers.dramatiq_queue:Dramatiq",
    "procrastinate": "benchmarks.peers.procrastinate_queue:Procrastinate",
    "dbos": "benchmarks.peers.dbos_queue:Dbos",
    "nats": "benchmarks.peers.nats_queue:Nats",
    "swarmd-primitive": "benchmarks.peers.swarmd_primitive:Primitive",
    "swarmd-primitive-each": "benchmarks.peers.swarmd_primitive:PrimitiveEach",
    "swarmd-whole": "benchmarks.peers.swarmd_whole:Whole",
}
"""Every row by name: the module and class that measures it. The order is that of the table."""
