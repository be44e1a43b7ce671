"""What is generated from the code is what the code says now."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from swarmd import config

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts/generate_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["docs/cli.md", "docs/settings.md", "docs/messages.md", "swarmd/swarmd.toml.in"]
)
def test_generated_file_is_up_to_date(generator: ModuleType, name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == generator.generate()[ROOT / name], (
        "run scripts/generate_docs.py"
    )


def test_the_settings_file_as_shipped_changes_nothing(tmp_path: Path, generator: ModuleType) -> None:
    path = tmp_path / "swarmd.toml"
    path.write_text(generator.settings_file())
    assert config.load(path, {}) == config.Settings()


def test_every_line_of_the_settings_file_can_be_uncommented(tmp_path: Path, generator: ModuleType) -> None:
    """Each setting is shown with its true default, in a form that TOML takes."""
    path = tmp_path / "swarmd.toml"
    text = re.sub(r"^#(?=[a-z\[])", "", generator.settings_file(), flags=re.MULTILINE)
    path.write_text("\n".join(line for line in text.splitlines() if '"/path"' not in line))
    assert config.load(path, {}) == config.Settings()
    told = tomllib.loads(path.read_text())
    expected = config.Settings().model_dump(exclude_none=True)
    assert told.keys() == expected.keys()
    for name in ("daemon", "policy", "sandbox", "limits", "tiers", "ollama"):
        assert told[name] == expected[name], name


def test_every_command_and_option_is_in_the_command_line_page(generator: ModuleType) -> None:
    page = generator.cli_page()
    for heading in ("## swarmd task add", "## swarmd doctor", "## swarmd audit verify", "## Exit codes"):
        assert f"\n{heading}\n" in page
    assert "--exit-status" in page
