"""A new project for a request without workspace."""

from pathlib import Path

from swarmd.workspace import FileChange, PrivateRepo, inspect, make, new_project, parse


def test_a_new_project_is_an_ordinary_repository_that_work_is_delivered_into(tmp_path: Path) -> None:
    root = tmp_path / "workspaces" / "req-2"
    project = new_project(root)
    source = inspect(project)
    assert (source.base_name, source.dirty) == ("main", False)
    private = PrivateRepo.create(root, source)
    assert private.files(private.tip()) == []
    patch = parse(make([FileChange("src/app.py", None, "print('hi')\n")]), max_lines=10)
    made = private.commit_patch(patch, private.tip(), "Add the app", source.identity)
    private.deliver(source, made, "swarm/req-2")
    assert (
        source.git().text("show", "--format=%s", "--name-only", "swarm/req-2") == "Add the app\n\nsrc/app.py"
    )
    (root / ".project-rest-of-a-killed-run").mkdir()
    assert new_project(root) == project
    assert inspect(project).base_commit == source.base_commit
