"""The systemd user unit."""

from __future__ import annotations

from swarmd.cli.service_files import mark
from swarmd.cli.service_spec import NO_RESTART, ServiceSpec

__all__ = ["WATCHDOG_S", "unit"]

WATCHDOG_S = 120
"""A main loop that stands still for so long is ended and started again. One pass takes milliseconds;
the margin is for a machine whose disk or memory is at its end."""

TEMPLATE = """\
# Written by "swarmd service install". What you change here is lost at the next install: put it into a
# drop-in ("systemctl --user edit @NAME@"), which stays.
# @MARK@

[Unit]
Description=swarmd (@HOME@)
# Five failed starts within five minutes, and it stays down until a person has looked.
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart=@EXEC@
# Settings and agent types are read again.
ExecReload=kill -HUP $MAINPID
@ENVIRONMENT@

# Every crash is recovered from by the next start. Not so: a setting that is wrong (2), another daemon
# on this home (6). 130 and 143 are Ctrl-C and SIGTERM.
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=@NO_RESTART@
SuccessExitStatus=130 143
WatchdogSec=@WATCHDOG@
# Recovery reads the log; a large one on a slow disk takes its time.
TimeoutStartSec=300

# Only the daemon itself is asked to end: it lets running steps finish (daemon.drain_s), then ends its
# own processes. What is left after that is killed.
KillMode=mixed
TimeoutStopSec=@STOP@
# A gate that eats the memory is the gate's failure, not the daemon's.
OOMPolicy=continue

# Hardening, as far as it leaves the sandbox for model-written code standing. Each line was tried with
# bubblewrap under a systemd user manager, as root and as an ordinary user. None changes what a gate
# may do: its own filter forbids as much, and real-time scheduling is not for ordinary users anyway. So
# results are the same as from a terminal.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
# AF_NETLINK: bubblewrap brings up the loopback of its network namespace with it.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
#
# Left out on purpose:
# RestrictNamespaces=      bubblewrap is made of namespaces.
# SystemCallFilter=        @system-service lacks mount and pivot_root, which bubblewrap needs; it ends it.
# CapabilityBoundingSet=   as root, bubblewrap cannot map users without; else it cannot be set at all.
# PrivateUsers=, ProtectSystem=, ProtectHome=, PrivateTmp=, PrivateDevices=, ProtectKernel*=, ProtectProc=
#                          in a user unit, they need a user namespace around the daemon (or are ignored,
#                          or fail with 218 or 226, by version): in there, other users' files have no
#                          owner, bubblewrap cannot mount a fresh /proc over a masked one, and the
#                          user's repositories, wherever they lie, could not be written.
# PrivateNetwork=, IPAddressDeny=
#                          a model's server is asked on the loopback of this machine; gates have no
#                          network anyway, and privacy = "strict" is kept by the daemon.
# RestrictSUIDSGID=        a project's tests may set these bits in their checkout.
# MemoryDenyWriteExecute=  gates run what compiles at run time (Node, ctypes, PyPy).
# UMask=                   swarmd gives its files their modes itself.

[Install]
WantedBy=default.target
"""


def unit(spec: ServiceSpec, name: str) -> str:
    """The text of the unit called ``name``."""
    fields = {
        "NAME": name,
        "MARK": mark(spec.home),
        "HOME": _specifiers(str(spec.home.root)),
        "EXEC": " ".join([_quote(spec.argv[0]), *(_argument(word) for word in spec.argv[1:])]),
        "ENVIRONMENT": "\n".join(
            f"Environment={_quote(f'{variable}={value}')}" for variable, value in spec.environment.items()
        ),
        "NO_RESTART": " ".join(map(str, NO_RESTART)),
        "WATCHDOG": str(WATCHDOG_S),
        "STOP": str(spec.stop_s),
    }
    lines = []
    for line in TEMPLATE.splitlines():
        before, at, rest = line.partition("@")
        field, end, after = rest.partition("@")
        # Filled in line by line, once each: a home called "@EXEC@" stays what it is.
        lines.append(before + fields[field] + after if at and end and field in fields else line)
    return "\n".join(lines) + "\n"


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _quote(text: str) -> str:
    """``text`` as one word. systemd undoes backslashes inside quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_specifiers(escaped)}"'


def _argument(text: str) -> str:
    """``text`` as one argument of a command, in which a dollar would name a variable."""
    return _quote(text).replace("$", "$$")
