"""What doctor finds, and that every problem comes with what mends it."""

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from swarmd.audit.chain import Chain
from swarmd.bus.filesystem import FileSystem
from swarmd.cli import doctor
from swarmd.cli.checks import Check, confinement, files, installation, machine, models, run_checks
from swarmd.cli.context import Context
from swarmd.cli.exit_codes import ExitCode
from swarmd.config import DaemonSettings, ModelSettings, OllamaSettings, Settings, TierSettings
from swarmd.errors import SandboxError
from swarmd.home import Home

from .conftest import Run


def test_a_check_that_raises_has_failed_and_the_others_go_on() -> None:
    def refuse() -> Check:
        raise SandboxError("no sandbox", hint="Install one.")

    def break_down() -> Check:
        raise ZeroDivisionError("oh")

    found = list(run_checks([("a", refuse), ("b", break_down), ("c", lambda: Check("c", "ok", "fine"))]))
    assert [check.state for check in found] == ["fail", "fail", "ok"]
    assert found[0].fix == "Install one."
    assert "ZeroDivisionError: oh" in found[1].detail


@pytest.mark.parametrize(
    ("states", "code", "last"),
    [
        (("ok", "ok"), ExitCode.OK, "all 2 checks are ok"),
        (("ok", "warn"), ExitCode.OK, "0 failed, 1 warnings, 1 ok"),
        (("fail", "warn"), ExitCode.FAILED, "1 failed, 1 warnings, 0 ok"),
    ],
)
def test_doctor_shows_each_check_with_its_fix(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch, states: tuple[str, ...], code: int, last: str
) -> None:
    checks = [Check(f"check-{n}", state, "as found", "mend it") for n, state in enumerate(states)]  # type: ignore[arg-type]
    monkeypatch.setattr(doctor, "_probes", lambda context: [(c.name, lambda c=c: c) for c in checks])
    ran = run("doctor")
    assert ran.code == code
    assert ran.out.splitlines()[-1] == last
    assert ran.out.count("fix: mend it") == sum(state != "ok" for state in states)
    document = run("doctor", "--json").document
    assert (document["ok"], len(document["checks"])) == (code == 0, 2)
    assert len(run("doctor", "-q").out.splitlines()) == 1 + 2 * sum(state != "ok" for state in states)


# --- the machine


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("git version 2.39.5", "ok"),
        ("git version 2.47.1.windows.1", "ok"),
        ("git version 2.30.2", "warn"),
        ("?", "warn"),
    ],
)
def test_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, state: str) -> None:
    class Done:
        stdout = said

    monkeypatch.setattr(machine.subprocess, "run", lambda *args, **kwargs: Done())
    assert machine.check_git().state == state


def test_git_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine.check_git() == Check("git", "fail", "there is no git", "sudo apt-get install git")


@pytest.mark.parametrize(("free", "state"), [(10 << 30, "ok"), (2 << 30, "warn"), (1 << 20, "fail")])
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage._replace(free=free))
    assert machine.check_disk(tmp_path / "not" / "yet").state == state


def inotify(folder: Path, watches: int, instances: int, used: int = 0) -> Check:
    """What the check says where a process of ours holds ``used`` instances with one watch each."""
    limits, process = folder / "limits", folder / "proc" / "7"
    limits.mkdir()
    (limits / "max_user_watches").write_text(f"{watches}\n")
    (limits / "max_user_instances").write_text(f"{instances}\n")
    (process / "fd").mkdir(parents=True)
    (process / "fdinfo").mkdir()
    (process / "fd" / "999").symlink_to("/dev/null")
    for number in range(used):
        (process / "fd" / str(number)).symlink_to("anon_inode:inotify")
        (process / "fdinfo" / str(number)).write_text("pos:\t0\ninotify wd:1 ino:2 mask:3c8\n")
    return files.check_inotify(limits, folder / "proc")


@pytest.mark.parametrize(
    ("watches", "instances", "used", "state", "says"),
    [
        (65536, 128, 5, "ok", "5 of 65,536 watches and 5 of 128 instances are used"),
        (100, 128, 0, "warn", "only 100 watches are allowed, 0 are used"),
        (65536, 8, 0, "warn", "only 8 instances are allowed, 0 are used"),
        (65536, 128, 110, "warn", "only 128 instances are allowed, 110 are used"),
        (65536, 128, 127, "warn", "127 of 128 instances are used up: folders are listed"),
    ],
)
def test_inotify(tmp_path: Path, watches: int, instances: int, used: int, state: str, says: str) -> None:
    check = inotify(tmp_path, watches, instances, used)
    assert (check.state, check.detail[: len(says)]) == (state, says)
    assert bool(check.fix.startswith("sudo sysctl fs.inotify.")) == (state == "warn")


def test_inotify_of_the_running_system_is_counted() -> None:
    assert "used" in files.check_inotify().detail


def test_inotify_that_is_not_there(tmp_path: Path) -> None:
    assert files.check_inotify(tmp_path / "none").state == "warn"


def test_python_and_memory_are_told() -> None:
    assert ".".join(map(str, sys.version_info[:3])) in machine.check_python().detail
    assert "GiB available" in machine.check_memory().detail


# --- the home


def test_a_complete_home_is_ok(home: Home) -> None:
    assert installation.check_home(home).state == "ok"


def test_no_home_yet_is_no_failure(tmp_path: Path) -> None:
    check = installation.check_home(Home(tmp_path / "none"))
    assert (check.state, check.fix.split("   ")[0]) == ("warn", f"swarmd init {tmp_path}/none")


def test_a_home_that_others_may_write_fails(home: Home) -> None:
    home.root.chmod(0o777)
    assert installation.check_home(home).fix == f"chmod go-w {home.root}"


def test_a_home_with_a_missing_folder_fails(home: Home) -> None:
    home.outbox.rmdir()
    check = installation.check_home(home)
    assert (check.state, "outbox is missing" in check.detail) == ("fail", True)


@pytest.mark.parametrize(
    ("system", "daemon", "state", "says"),
    [
        (FileSystem("ext4", True), {}, "ok", "ext4: locks hold"),
        (FileSystem("", True), {}, "ok", "an unknown file system: locks hold"),
        (FileSystem("nfs4", False), {}, "warn", "nfs4 does not tell of files dropped from elsewhere"),
        (FileSystem("ext4", True), {"watch": "sweep"}, "ok", "ext4; folders are listed twice a second"),
        (FileSystem("overlay", True, True), {}, "warn", "overlay: what is dropped from outside"),
    ],
)
def test_the_file_system_of_the_home(
    home: Home, system: FileSystem, daemon: dict[str, str], state: str, says: str
) -> None:
    before = sorted(home.root.rglob("*"))
    check = files.check_file_system(home, DaemonSettings.model_validate(daemon), system)
    assert (check.state, check.detail[: len(says)]) == (state, says)
    assert bool(check.fix) == (state == "warn")
    assert sorted(home.root.rglob("*")) == before


def test_a_home_where_locks_fail_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "lock_trouble", lambda folder: "flock fails with no locks available")
    check = files.check_file_system(home, DaemonSettings(), FileSystem("nfs", False))
    assert (check.state, "where locks fail: flock" in check.detail) == ("fail", True)
    assert "local disk" in check.fix


def test_settings_that_are_wrong_name_the_field(home: Home) -> None:
    home.settings_file.write_text("[daemon]\nmax_agents = 0\n")
    context = Context(home_option=str(home.root), env={})
    (check,) = run_checks([("settings", lambda: installation.check_settings(context))])
    assert check.state == "fail"
    assert "daemon.max_agents" in check.detail
    assert "config show" in check.fix


def test_an_agent_type_that_is_wrong_fails(home: Home) -> None:
    (home.agents / "broken").mkdir()
    check = installation.check_agents(home, Settings().models)
    assert check.state == "fail"
    assert check.fix
    shutil.rmtree(home.agents)
    assert installation.check_agents(home, Settings().models).state == "warn"


def test_a_daemon_that_left_without_a_word_is_a_warning(home: Home) -> None:
    assert installation.check_daemon(home).state == "ok"
    home.daemon_file.write_text("{}")
    assert installation.check_daemon(home).state == "warn"


@pytest.mark.parametrize(("cut", "state"), [(0, "ok"), (2, "warn")])
def test_a_torn_log_is_a_warning(home: Home, cut: int, state: str) -> None:
    Chain(home.master_log, "1/2").append([{"event": "a"}, {"event": "b"}])
    home.master_log.write_bytes(home.master_log.read_bytes()[: -cut or None])
    assert installation.check_audit(home).state == state


def test_a_broken_log_fails(home: Home) -> None:
    home.master_log.write_text("garbage\n")
    check = installation.check_audit(home)
    assert (check.state, check.fix[:19]) == ("fail", "swarmd audit verify")


# --- the sandbox


def test_no_sandbox_fails_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(level: str) -> None:
        raise SandboxError("bwrap is not installed")

    monkeypatch.setattr("swarmd.sandbox.choose", none)
    (check,) = run_checks([("sandbox", lambda: confinement.check_sandbox("auto"))])
    assert check.state == "fail"
    assert "apt-get install bubblewrap" in check.fix


# --- the models


class Tags(BaseHTTPRequestHandler):
    answer = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def ollama() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Tags)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b'{"models":[{"name":"qwen2.5-coder:0.5b"},{"name":"x"}]}', {"qwen2.5-coder:0.5b", "x"}),
        (b'{"models":[]}', set()),
        (b"<html>", None),
        (b"[]", None),
        (b'{"models":[3]}', None),
    ],
)
def test_ollama_is_asked_for_its_models(
    monkeypatch: pytest.MonkeyPatch, ollama: str, answer: bytes, found: set[str] | None
) -> None:
    monkeypatch.setattr(Tags, "answer", answer)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert models.ollama_models(ollama) == found


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:1", "127.0.0.1:1", "http://[::1]:1", "http://127.0.0.1:port", ""]
)
def test_no_ollama_is_none(host: str) -> None:
    assert models.ollama_models(host) is None


def settings(**model: object) -> Settings:
    tiers = TierSettings(fast="m", deep="m", reviewer="m")
    return Settings(models={"m": ModelSettings.model_validate(model)}, tiers=tiers)


WEIGHTS = "qwen2.5-coder-0.5b-instruct-q4_k_m"


@pytest.mark.parametrize(
    ("model", "ollama", "state", "fix"),
    [
        ({"provider": "ollama", "name": "q:1"}, {"q:1"}, "ok", ""),
        ({"provider": "ollama", "name": "q"}, {"q:latest"}, "ok", ""),
        ({"provider": "ollama", "name": "q:1"}, {"other"}, "fail", "ollama pull q:1"),
        ({"provider": "ollama", "name": "q:1"}, None, "fail", "ollama pull q:1"),
        ({"provider": "auto", "name": "q:1", "weights": WEIGHTS}, {"q:1"}, "ok", ""),
        (
            {"provider": "auto", "name": "q:1", "weights": WEIGHTS},
            None,
            "fail",
            f"swarmd model pull {WEIGHTS}",
        ),
        ({"provider": "embedded"}, None, "fail", "Set weights in swarmd.toml."),
        ({"provider": "openai", "base_url": "http://127.0.0.1:1/v1"}, None, "ok", ""),
        ({"provider": "openai"}, None, "fail", "Set it in swarmd.toml."),
    ],
)
def test_models(
    tmp_path: Path, model: dict[str, object], ollama: set[str] | None, state: str, fix: str
) -> None:
    check = models.check_models(settings(**model), {"XDG_CACHE_HOME": str(tmp_path)}, ollama)
    assert (check.state, check.fix) == (state, fix)


def test_weights_that_are_here_need_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "swarmd" / "weights"
    folder.mkdir(parents=True)
    (folder / f"{WEIGHTS}.gguf").write_bytes(b"GGUF")
    embedded, env = settings(provider="embedded", weights=WEIGHTS), {"XDG_CACHE_HOME": str(tmp_path)}
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: object())
    assert models.check_models(embedded, env, None).state == "ok"
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    assert models.check_models(embedded, env, None).fix == 'pip install "swarmd[embedded]"'


@pytest.mark.parametrize(
    ("provider", "found", "state"), [("auto", None, "ok"), ("ollama", None, "fail"), ("ollama", {"m"}, "ok")]
)
def test_an_ollama_that_does_not_answer_matters_only_if_it_is_needed(
    provider: str, found: set[str] | None, state: str
) -> None:
    wanted = settings(provider=provider, name="m").model_copy(
        update={"ollama": OllamaSettings(host="http://x:1")}
    )
    assert models.check_ollama(wanted, found).state == state


def test_doctor_json_is_one_document(run: Run, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_probes", lambda context: [("git", machine.check_git)])
    assert json.loads(run("--json", "doctor").out)["command"] == "doctor"
