"""The verifier process: one job after the other, with a sign of life while a gate runs."""

from __future__ import annotations

import errno
import logging
import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from swarmd import durable
from swarmd.bus.channel import Channel, ChannelClosedError
from swarmd.config import Settings
from swarmd.errors import SandboxError, SwarmdError
from swarmd.home import Home
from swarmd.messages import DISK_FULL, ErrorInfo, Job, JobReport
from swarmd.sandbox import Sandbox, choose
from swarmd.verify.bench import Bench, Shop
from swarmd.verify.deliver import deliver
from swarmd.verify.integrate import integrate
from swarmd.verify.judge import judge
from swarmd.verify.prepare import prepare

__all__ = ["do_job", "main"]

_KINDS: dict[str, Callable[[Bench], JobReport]] = {
    "prepare": prepare,
    "judge": judge,
    "integrate": integrate,
    "deliver": deliver,
}
_LOG = logging.getLogger(__name__)
TRACE_LINES = 12
_NO_ROOM = os.strerror(errno.ENOSPC)
"""As git says it."""


def main(channel: Channel, home: Home, settings: Settings) -> None:
    """Serve the master on ``channel`` until it says stop or goes away.

    Messages in: job, stop. Out: ready, beat (at least every daemon.heartbeat_s while a job runs),
    report. No error of a job ends the loop; it becomes the job's report.
    """
    pulse = _Pulse(channel, settings.daemon.heartbeat_s)
    desk = _Desk(home, settings, pulse)
    try:
        channel.send({"op": "ready", "sandbox": desk.level()})
        while True:
            received = channel.receive(settings.daemon.heartbeat_s)
            if received is None:
                pulse.beat("idle")
                continue
            message = received[0]
            if message.get("op") == "stop":
                return
            if message.get("op") == "job":
                channel.send(
                    {"op": "report", "report": desk.serve(message.get("job")).model_dump(mode="json")}
                )
    except ChannelClosedError:
        _LOG.info("the master has gone; this verifier ends")


class _Pulse:
    """Says that this process is alive, not more often than every ``every_s`` seconds."""

    def __init__(self, channel: Channel, every_s: float) -> None:
        self._channel = channel
        self._every_s = every_s
        self._last = time.monotonic()
        self._progress = 0
        self.doing = ""

    def __call__(self) -> None:
        """Called by the sandbox while it waits."""
        if time.monotonic() - self._last >= self._every_s / 2:
            self.beat(self.doing)

    def beat(self, doing: str) -> None:
        """Send one sign of life."""
        self._last = time.monotonic()
        self._progress += 1
        self._channel.send({"op": "beat", "progress": self._progress, "doing": doing})


class _Desk:
    """Takes jobs as they come from the master."""

    def __init__(self, home: Home, settings: Settings, pulse: _Pulse) -> None:
        self._home = home
        self._settings = settings
        self._pulse = pulse
        self._sandbox: Sandbox | None = None

    def level(self) -> str:
        """The sandbox's level; "none" when there is none, and then each job says why."""
        try:
            return self._chosen().level
        except SandboxError as error:
            _LOG.warning("no sandbox: %s", error.message)
            return "none"

    def _chosen(self) -> Sandbox:
        self._sandbox = self._sandbox or choose(self._settings.sandbox.level, self._home.make_runtime())
        return self._sandbox

    def serve(self, raw: Any) -> JobReport:
        """Do one job. Raises only ChannelClosedError."""
        try:
            job = Job.model_validate(raw)
        except ValidationError as error:
            job_id = str(raw.get("job_id", "")) if isinstance(raw, dict) else ""
            return _failed(job_id, "E-JOB", f"the job cannot be read: {error}", "")
        self._pulse.doing = f"{job.kind} {job.request.request_id}"
        self._pulse.beat(self._pulse.doing)
        try:
            return do_job(job, Shop(self._home, self._settings, self._chosen(), self._pulse))
        except SandboxError as error:
            return _failed(job.job_id, error.code, error.message, error.hint)


def do_job(job: Job, shop: Shop) -> JobReport:
    """Do one job; whatever goes wrong becomes its report, except that the master has gone."""
    try:
        return _KINDS[job.kind](Bench(shop, job))
    except ChannelClosedError:
        raise
    except SwarmdError as error:
        if _NO_ROOM in error.message:
            return _without_room(job)
        return _failed(job.job_id, error.code, error.message, error.hint)
    except OSError as error:
        if durable.is_full(error):
            return _without_room(job)
        return _unexpected(job)
    except Exception:  # a verifier that dies of one request would be given it again and again
        return _unexpected(job)


def _without_room(job: Job) -> JobReport:
    """Not the project's fault, and not for ever: the master gives the job again."""
    return _failed(job.job_id, DISK_FULL, f"the disk is full: {job.kind} could not be done", "Make room.")


def _unexpected(job: Job) -> JobReport:
    lines = traceback.format_exc().strip().splitlines()[-TRACE_LINES:]
    return _failed(
        job.job_id,
        "E-VERIFIER",
        "the verifier failed unexpectedly:\n" + "\n".join(lines),
        "Please report this with the lines above.",
    )


def _failed(job_id: str, code: str, message: str, hint: str) -> JobReport:
    return JobReport(
        job_id=job_id, ok=False, error=ErrorInfo(code=code, message=message[:4000], hint=hint[:1000])
    )
