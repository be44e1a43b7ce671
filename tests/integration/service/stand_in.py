"""A daemon that does nothing but what a service manager sees of one: ``stand_in.py HOME``.

What is in HOME/do decides what happens next: "hang", or a number to exit with.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from swarmd.clock import SystemClock
from swarmd.daemon import presence
from swarmd.daemon.notify import Notifier
from swarmd.home import Home


def main() -> int:
    home = Home(Path(sys.argv[1]))
    note = home.root / "heard"
    with presence.hold(home, SystemClock()), Notifier.from_env(os.environ) as notifier:
        asked: list[int] = []
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: asked.append(number))
        worker = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        notifier.ready()
        notifier.status(f"watched every {notifier.watchdog_s} s")
        while True:
            notifier.alive()
            time.sleep(0.02)
            if signal.SIGHUP in asked:
                asked.clear()
                notifier.reloading()
                note.write_text("reload")
                notifier.ready()
            if signal.SIGTERM in asked:
                notifier.stopping()
                time.sleep(0.3)  # draining: the workers still live
                note.write_text(f"drained, worker {worker.poll()}")
                return 0
            if (home.root / "do").exists():
                what = (home.root / "do").read_text()
                (home.root / "do").unlink()
                if what == "hang":
                    time.sleep(1000)
                return int(what)


if __name__ == "__main__":
    sys.exit(main())
