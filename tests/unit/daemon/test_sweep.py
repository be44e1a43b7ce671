"""What a killed daemon left half-written goes away at the next start, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd import durable
from swarmd.daemon.sweep import sweep_stale
from swarmd.home import Home

LEFT = ".agents-registry.json.0123456789ab.tmp"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    durable.make_dirs(*home.folders())
    return home


def test_half_written_files_are_swept_wherever_the_daemon_writes_views(home: Home) -> None:
    places = [home.keys, home.tasks / "coding", home.spools / "coding.1/in", home.spools / "coding.1/out"]
    durable.make_dirs(*places, home.logs / "dumps")
    for place in (*places, home.logs / "dumps"):
        (place / LEFT).write_bytes(b"{")
    swept = sweep_stale(home)
    assert len(swept) == 5
    assert f"council/keys/{LEFT}" in swept
    assert not list(home.root.rglob("*.tmp"))
    assert sweep_stale(home) == []


def test_a_spool_whose_removal_was_cut_short_goes_too(home: Home) -> None:
    aside = home.spools / ".removed-coding.1-01234567" / "out" / "deep"
    aside.mkdir(parents=True)
    (aside / "file").write_text("x")
    assert sweep_stale(home) == ["bus/agents/.removed-coding.1-01234567"]
    assert list(home.spools.iterdir()) == []


def test_what_people_keep_there_stays_and_no_link_is_followed(home: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (home.keys, elsewhere):
        for name in ("allowed_signers", "notes.tmp", ".hidden", ".x.tmp", ".a.0123456789AB.tmp"):
            (folder / name).write_text("mine")
    (elsewhere / LEFT).write_text("mine")
    (home.spools / "coding.1").symlink_to(elsewhere)
    (home.tasks / "coding").symlink_to(elsewhere)
    (home.keys / ".b.0123456789ab.tmp").mkdir()
    assert sweep_stale(home) == []
    assert (elsewhere / LEFT).exists()


def test_a_home_that_was_never_made_is_clean(tmp_path: Path) -> None:
    assert sweep_stale(Home(tmp_path / "nowhere")) == []
