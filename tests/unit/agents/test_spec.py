from pathlib import Path

import pytest

from swarmd.agents.spec import load_type, load_types
from swarmd.errors import AgentError
from swarmd.planning import BUILTIN_TYPES

SHIPPED = Path(__file__).parents[3] / "agents"


def make(root: Path, name: str, toml: str = 'description = "x"\n', prompt: str = "Do it.") -> Path:
    folder = root / name
    (folder / "skills").mkdir(parents=True)
    (folder / "agent.toml").write_text(toml)
    (folder / "prompt.md").write_text(prompt)
    return folder


def test_a_new_folder_is_a_new_type_that_behaves_like_coding(tmp_path: Path) -> None:
    folder = make(tmp_path, "surgeon", 'description = "Cuts."\naccepts = ["refactor"]\ntier = "deep"\n')
    (folder / "skills" / "api.md").write_text("# api")
    loaded = load_types(tmp_path)
    assert loaded.problems == {}
    surgeon = loaded.valid["surgeon"]
    assert (surgeon.role, surgeon.prompt, surgeon.skills) == ("coding", "Do it.", {"api": "# api"})
    info = loaded.infos["surgeon"]
    assert (info.accepts, info.skills, info.tier, info.gates) == (("refactor",), ("api",), "deep", ())


def test_everything_that_agent_toml_can_say_arrives(tmp_path: Path) -> None:
    toml = """
description = "x"
role = "docs"
accepts = ["docs", "research"]
skills = ["readme"]
gates = ["lint", "tests"]
model = "big"
[inference]
temperature = 0.3
top_p = 0.9
max_tokens = 200
context_tokens = 900
stop = ["<end>"]
[limits]
max_instances = 2
attempts = 3
seconds = 60
"""
    folder = make(tmp_path, "poet", toml)
    for page in ("readme", "verse"):
        (folder / "skills" / f"{page}.md").write_text(page)
    poet = load_type(folder, models=["big"])
    assert (poet.role, poet.model, list(poet.skills)) == ("docs", "big", ["readme"])
    assert (poet.inference.temperature, poet.inference.stop) == (0.3, ["<end>"])
    assert (poet.limits.max_instances, poet.info.attempts, poet.limits.seconds) == (2, 3, 60)
    assert poet.info.gates == ("lint", "tests")


@pytest.mark.parametrize(
    ("toml", "field", "said"),
    [
        ("", "description", "required"),
        ('description = ""', "description", "at least 1"),
        ('description = "x"\naccept = ["docs"]', "accept", "not permitted"),
        ('description = "x"\naccepts = ["everything"]', "accepts.0", "'feature'"),
        ('description = "x"\nrole = "wizard"', "role", "none of coding"),
        ('description = "x"\ntier = "huge"', "tier", "'fast'"),
        ('description = "x"\ntier = "fast"\nmodel = "big"', None, "not both"),
        ('description = "x"\n[inference]\ntemperature = 9', "inference.temperature", "less than"),
        ('description = "x"\n[limits]\nmax_instances = 0', "limits.max_instances", "greater than"),
        ('description = "x"\nskills = ["absent"]', "skills", "absent.md"),
        ('description = "x"\nskills = ["../../etc/passwd"]', "skills.0", "pattern"),
        ('description = "x"\nmodel = "none-such"', "model", "swarmd.toml has: big"),
        ("description = [", None, "not TOML"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(
    tmp_path: Path, toml: str, field: str | None, said: str
) -> None:
    folder = make(tmp_path, "broken", toml)
    with pytest.raises(AgentError, match=said) as caught:
        load_type(folder, models=["big"])
    assert str(folder / "agent.toml") in caught.value.message
    assert caught.value.field == field
    assert (field or "") in caught.value.message


def test_a_broken_folder_is_reported_and_the_others_work_on(tmp_path: Path) -> None:
    make(tmp_path, "good")
    make(tmp_path, "bad", "nonsense")
    make(tmp_path, "Bad Name")
    make(tmp_path, "speechless", prompt="  \n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.md").write_text("no type")
    make(tmp_path, ".hidden")
    make(tmp_path, "__pycache__")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "good")
    loaded = load_types(tmp_path)
    assert list(loaded.valid) == ["good"]
    assert set(loaded.problems) == {"bad", "Bad Name", "speechless", "empty", "elsewhere"}
    assert "agent.toml is missing" in loaded.problems["empty"].message
    assert {error.code for error in loaded.problems.values()} == {"E-AGENT-TYPE"}


@pytest.mark.parametrize("name", ["agent.toml", "prompt.md", "skills/x.md"])
def test_no_page_is_read_through_a_link_or_when_it_is_no_text(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text('description = "x"')
    for number, spoil in enumerate((lambda p: p.symlink_to(secret), lambda p: p.write_bytes(b"\xff\xfe"))):
        folder = make(tmp_path / str(number), "sly")
        (folder / name).unlink(missing_ok=True)
        spoil(folder / name)
        with pytest.raises(AgentError, match="cannot be read"):
            load_type(folder)


def test_no_agents_folder_means_no_types(tmp_path: Path) -> None:
    assert load_types(tmp_path / "agents").valid == {}


def test_the_hash_tells_one_version_of_a_folder_from_another(tmp_path: Path) -> None:
    folder = make(tmp_path, "poet")
    first = load_type(folder).sha256
    (folder / "notes.txt").write_text("not read, so not part of the type")
    assert load_type(folder).sha256 == first
    (folder / "skills" / "a.md").write_text("b")
    second = load_type(folder).sha256
    (folder / "skills" / "a.md").rename(folder / "skills" / "b.md")
    assert len({first, second, load_type(folder).sha256}) == 3


def test_the_types_that_are_shipped_are_valid_and_complete() -> None:
    loaded = load_types(SHIPPED)
    assert loaded.problems == {}
    assert set(loaded.valid) == BUILTIN_TYPES
    served = {kind for info in loaded.infos.values() for kind in info.accepts}
    assert served == {"feature", "bugfix", "test", "docs", "review", "refactor", "deploy", "project"}
    assert all(info.role == name for name, info in loaded.infos.items())
