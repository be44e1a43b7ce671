"""``swarmd service``: what is written, and what is left alone. No service manager is asked."""

import plistlib
import shlex
import sys
from pathlib import Path

import pytest

from swarmd.cli import service_files, service_manager
from swarmd.cli.exit_codes import ExitCode
from swarmd.cli.service_agent import agent
from swarmd.cli.service_spec import NO_RESTART, ServiceSpec, specify
from swarmd.cli.service_unit import unit
from swarmd.clock import SystemClock
from swarmd.config import Settings
from swarmd.daemon import presence
from swarmd.errors import ConfigError, SwarmdError
from swarmd.home import Home, init

from .conftest import Run

ODD = '/srv/50% "of" $HOME \\ {größe} @EXEC@ --x'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where units go; no program is found, so that nothing of this machine is touched."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    monkeypatch.setattr(service_files.sys, "platform", "linux")
    return tmp_path / "config/systemd/user"


def other_home(tmp_path: Path, name: str = "other") -> Home:
    made = Home(tmp_path / name)
    init(made, {"XDG_STATE_HOME": str(tmp_path / "state")})
    return made


def spec(root: str = ODD) -> ServiceSpec:
    return specify(Home(Path(root)), Settings(), {"PATH": "/usr/bin"})


def values(text: str, name: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


# --- the files


def test_the_unit_says_what_the_daemon_needs() -> None:
    text = unit(spec("/srv/home"), "swarmd.service")
    assert values(text, "Type") == ["notify"]
    assert values(text, "NotifyAccess") == ["main"]
    assert values(text, "KillMode") == ["mixed"]
    assert values(text, "Restart") == ["on-failure"]
    assert values(text, "RestartPreventExitStatus") == ["2 6"]
    assert values(text, "OOMPolicy") == ["continue"]
    assert int(values(text, "TimeoutStopSec")[0]) > Settings().daemon.drain_s
    (command,) = values(text, "ExecStart")
    assert shlex.split(command) == [
        *(sys.executable, "-P", "-X", "faulthandler", "-m", "swarmd", "--home", "/srv/home", "up", "-q")
    ]


def test_exit_codes_that_a_restart_would_repeat_are_those_of_the_errors() -> None:
    assert set(NO_RESTART) == {ExitCode.USAGE, ExitCode.HOME_LOCKED}


def test_nothing_that_breaks_the_sandbox_is_switched_on() -> None:
    text = unit(spec(), "swarmd.service")
    names = {line.partition("=")[0] for line in text.splitlines() if line[:1].isalpha() and "=" in line}
    assert not names & {
        *("RestrictNamespaces", "SystemCallFilter", "PrivateUsers", "CapabilityBoundingSet", "ProtectSystem"),
        *("PrivateTmp", "PrivateDevices", "ProtectKernelTunables", "ProtectProc", "PrivateNetwork"),
    }
    assert "AF_NETLINK" in values(text, "RestrictAddressFamilies")[0]


def test_a_longer_drain_gives_a_longer_stop() -> None:
    settings = Settings.model_validate({"daemon": {"drain_s": 600}})
    assert specify(Home(Path("/h")), settings, {}).stop_s > 600


def test_the_path_has_the_programs_folders_and_not_all_of_the_shells(tmp_path: Path) -> None:
    for name in ("with space", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "with space/git").write_text("")
    (tmp_path / "with space/git").chmod(0o755)
    env = {"PATH": f"relative:{tmp_path / 'other'}:{tmp_path / 'with space'}:/usr/bin"}
    path = specify(Home(Path("/h")), Settings(), env).environment["PATH"].split(":")
    assert path[0] == str(tmp_path / "with space")
    assert str(tmp_path / "other") not in path
    assert "relative" not in path
    assert "/usr/bin" in path


@pytest.mark.parametrize("name", ["a\nExecStart=/bin/false", "a\x00b", "a\udcffb", "\u202eb"])
def test_a_home_that_cannot_stand_in_a_file_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(f"/srv/{name}")
    assert caught.value.code == "E-SERVICE-NAME"


@pytest.mark.parametrize("root", ["/srv/home", ODD, "/a---b/--", "/x\\"])
def test_the_launchd_agent_is_a_property_list_that_names_its_home(root: str) -> None:
    text = agent(spec(root), "local.swarmd")
    content = plistlib.loads(text.encode())
    assert content["ProgramArguments"][-3:] == [root, "up", "-q"]
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["ExitTimeOut"] > Settings().daemon.drain_s
    assert service_files._home_in(text) == Path(root).resolve()


# --- install, status, uninstall


def test_install_says_what_to_run_where_no_manager_answers(run: Run, home: Home, folder: Path) -> None:
    ran = run("service", "install")
    file = folder / "swarmd.service"
    assert ran.code == 0, ran.err
    assert f"created: {file}" in ran.out
    assert "systemctl --user daemon-reload" in ran.err
    assert "systemctl --user enable --now swarmd.service" in ran.err
    assert f'"{home.root}" "up"' in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644


def test_install_again_changes_nothing(run: Run, home: Home, folder: Path) -> None:
    run("service", "install")
    before = (folder / "swarmd.service").stat()
    ran = run("service", "install", "--json")
    assert (ran.document["changed"], ran.document["difference"]) == ("unchanged", [])
    after = (folder / "swarmd.service").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_install_shows_what_changes(run: Run, home: Home, folder: Path) -> None:
    run("service", "install")
    home.settings_file.write_text("[daemon]\ndrain_s = 100.0\n")
    assert "is not what it would be now" in run("service", "status").err
    ran = run("service", "install")
    assert "updated:" in ran.out
    assert "  -TimeoutStopSec=40\n  +TimeoutStopSec=130\n" in ran.out
    assert run("service", "status", "--json").document["up_to_date"] is True


def test_print_changes_nothing(run: Run, home: Home, folder: Path) -> None:
    ran = run("service", "install", "--print")
    assert not folder.exists()
    assert run("service", "status", "--print").code == ExitCode.USAGE
    run("service", "install")
    assert run("service", "status", "--print").out == ran.out == (folder / "swarmd.service").read_text()
    told = run("service", "uninstall", "--print").out
    assert told.splitlines()[0] == "systemctl --user disable --now swarmd.service"
    assert (folder / "swarmd.service").exists()


@pytest.mark.parametrize("kind", ["foreign", "link", "masked", "binary"])
def test_a_unit_of_somebody_else_is_left_alone(
    run: Run, home: Home, folder: Path, tmp_path: Path, kind: str
) -> None:
    folder.mkdir(parents=True)
    file = folder / "swarmd.service"
    if kind == "link":
        (tmp_path / "elsewhere").write_text("[Service]\n")
        file.symlink_to(tmp_path / "elsewhere")
    elif kind == "masked":
        file.symlink_to("/dev/null")
    else:
        file.write_bytes(b"[Service]\nExecStart=/usr/bin/swarmd\n" if kind == "foreign" else b"\xff\xfe")
    before = file.lstat()
    ran = run("service", "install", "--json")
    assert (ran.code, ran.error["code"]) == (1, "E-SERVICE-FOREIGN")
    assert run("service", "uninstall").code == 0
    assert file.lstat().st_mtime_ns == before.st_mtime_ns


def test_each_home_has_a_service_of_its_own(run: Run, home: Home, folder: Path, tmp_path: Path) -> None:
    second = other_home(tmp_path)
    run("service", "install")
    name = run("service", "install", "--home", str(second.root), "--json").document["name"]
    assert name.startswith("swarmd-")
    assert len(list(folder.iterdir())) == 2
    assert run("service", "uninstall").code == 0
    assert [path.name for path in folder.iterdir()] == [name]
    again = run("service", "install", "--home", str(second.root), "--json").document
    assert (again["name"], again["changed"]) == (name, "unchanged")


def test_a_home_is_known_by_any_of_its_names(run: Run, home: Home, folder: Path, tmp_path: Path) -> None:
    run("service", "install")
    (tmp_path / "alias").symlink_to(home.root)
    assert run("service", "status", "--home", str(tmp_path / "alias"), "--json").document["installed"]


def test_uninstall_removes_the_file_and_the_wish_to_start_and_may_be_repeated(
    run: Run, home: Home, folder: Path
) -> None:
    run("service", "install")
    wants = folder / "default.target.wants"
    wants.mkdir()
    (wants / "swarmd.service").symlink_to(folder / "swarmd.service")
    assert run("service", "status", "--json").document["enabled"] is True
    assert run("status", "--json").document["service"]["enabled"] is True
    assert run("service", "uninstall").code == 0
    assert not list(folder.rglob("swarmd*"))
    assert "no service is installed" in run("service", "uninstall").out
    assert run("service", "status").code == ExitCode.DAEMON_DOWN


def test_a_home_that_is_none_and_settings_that_are_wrong(run: Run, tmp_path: Path, home: Home) -> None:
    assert run("service", "install", "--home", str(tmp_path / "nowhere")).code == ExitCode.USAGE
    home.settings_file.write_text("[daemon]\nmax_agents = 0\n")
    assert run("service", "install", "--json").error["code"] == "E-CONFIG"


def test_a_daemon_that_runs_beside_the_service_is_told(run: Run, home: Home) -> None:
    with presence.hold(home, SystemClock()) as mine:
        ran = run("service", "install")
        assert "enable swarmd.service" in ran.err, "the start would only fail"
        assert f"a daemon (pid {mine.pid}) runs already" in ran.err
        assert "but not under the service" in run("service", "status").out


def test_settings_in_the_shell_are_told_as_lost(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMD_DAEMON__MAX_AGENTS", "3")
    assert "does not see $SWARMD_DAEMON__MAX_AGENTS" in run("service", "install").err


def test_a_folder_that_cannot_be_written(run: Run, home: Home, folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file is in the way")
    ran = run("service", "install", "--json")
    assert (ran.code, ran.error["code"]) == (2, "E-CONFIG")
    assert "--print" in ran.error["hint"]


def test_a_command_that_fails_says_what_it_said(tmp_path: Path) -> None:
    missing = [["swarmd-no-such-program"]]
    with pytest.raises(SwarmdError) as caught:
        service_manager.run_all(missing, {"PATH": ""}, "do this")
    assert (caught.value.code, caught.value.hint) == ("E-SERVICE", "do this")


def test_macos_gets_a_launchd_agent(
    run: Run, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_files, "manager_of", lambda: "launchd")
    monkeypatch.setenv("HOME", str(tmp_path))
    ran = run("service", "install")
    assert "launchctl bootstrap gui/" in ran.err
    assert "untested" in ran.err
    file = tmp_path / "Library/LaunchAgents/local.swarmd.plist"
    assert plistlib.loads(file.read_bytes())["Label"] == "local.swarmd"
    assert run("service", "uninstall").code == 0
    assert not file.exists()
