"""How often the function that holds a planted bug is the first one to be edited, and among the first three.

Each mutant is one bug in one function of a small project. It is prepared as any request is: the tests run
in the sandbox, then a few of them once more to see which functions they call. Then the functions that the
first samples would rewrite are compared with the function that holds the bug: with what the tests called,
and without. The prepared surveys are kept (``--keep``), so that a change of the choice is measured in
seconds.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmd.bench.mutate import mutations
from swarmd.coding import evidence
from swarmd.coding.snapshot import Snapshot
from swarmd.coding.target import choose
from swarmd.config import Settings
from swarmd.home import Home
from swarmd.messages import AcceptedRequest, Job, Survey, dump, load
from swarmd.planning.mentions import culprits, suspected
from swarmd.sandbox import Sandbox
from swarmd.sandbox import choose as choose_sandbox
from swarmd.verify.bench import Shop
from swarmd.verify.worker import do_job

HERE = Path(__file__).parent
REQUEST = "Fix the failing tests"
GIT = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com")
SETTINGS = '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\npythonpath = ["."]\n'


@dataclass(frozen=True)
class Project:
    """Files, and those of them that bugs are planted into."""

    name: str
    files: dict[str, str]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Mutant:
    """A project with one bug."""

    project: Project
    number: int
    path: str
    function: str
    """Qualified in its file."""
    source: str

    @property
    def name(self) -> str:
        """The same in every run with the same seed."""
        return f"{self.project.name}-{self.number:03d}"

    @property
    def files(self) -> dict[str, str]:
        """All files, with the bug."""
        return {**self.project.files, self.path: self.source}


def projects() -> Iterator[Project]:
    """Small ones made for this, and modules of swarmd with their own tests."""
    for folder in sorted((HERE / "projects").iterdir()):
        paths = [path for path in sorted(folder.rglob("*.py")) if path.is_file()]
        files = {str(path.relative_to(folder)): path.read_text() for path in paths}
        sources = tuple(path for path in files if not path.startswith("tests/"))
        yield Project(folder.name, {**files, "pyproject.toml": SETTINGS}, sources)
    own = (
        ("workspace", ("hunks", "parsing", "patch", "paths"), ("test_parsing", "test_patch", "test_paths")),
        ("knowledge", ("lessons", "patterns"), ("test_lessons", "test_patterns")),
        ("bus", ("deadletter", "control", "backlog"), ("test_deadletter", "test_control", "test_backlog")),
    )
    root = HERE.parent
    package = {str(path.relative_to(root)): path for path in sorted((root / "swarmd").rglob("*.py"))}
    everything = {name: path.read_text() for name, path in package.items()} | {"pyproject.toml": SETTINGS}
    for name, modules, tests in own:
        paths = [f"tests/unit/{name}/{test}.py" for test in tests]
        texts = {path: (root / path).read_text() for path in paths}
        sources = tuple(f"swarmd/{name}/{module}.py" for module in modules)
        yield Project(f"swarmd.{name}", {**everything, **texts}, sources)


def functions(source: str) -> Iterator[tuple[str, str]]:
    """Qualified and plain name of each function whose plain name is the only one of its file."""
    tree = ast.parse(source)
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for one in inner:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and names.count(one.name) == 1:
                yield owner + one.name, one.name


def mutants(project: Project, most: int, seed: int) -> list[Mutant]:
    """Up to ``most`` bugs, spread over the functions by chance."""
    rng = random.Random(f"{seed}/{project.name}")
    queues = []
    for path in project.sources:
        for qualified, name in functions(project.files[path]):
            made = [(path, qualified, one.source) for one in mutations(project.files[path], name, rng)]
            if made:
                queues.append(rng.sample(made, len(made)))
    rng.shuffle(queues)
    found = []
    for turn in range(max(map(len, queues), default=0)):
        found += [queue[turn] for queue in queues if turn < len(queue)]
    return [Mutant(project, number, *parts) for number, parts in enumerate(found[:most])]


def write(folder: Path, files: dict[str, str]) -> None:
    """``files`` as a repository with one commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "Begin")):
        subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


def prepare(mutant: Mutant, sandbox: Sandbox) -> Survey | None:
    """What ``prepare`` finds of the mutant; None when it fails."""
    with tempfile.TemporaryDirectory(prefix="swarmd-localise-") as name:
        folder = Path(name)
        write(folder / "project", mutant.files)
        request = AcceptedRequest.model_validate(
            {
                "request_id": "req",
                "received_at": "2026-01-01T00:00:00.000Z",
                "source_name": "req.json",
                "content_sha256": "0" * 64,
                "user_request": REQUEST,
                "workspace": str(folder / "project"),
            }
        )
        settings = Settings()
        settings = settings.model_copy(update={"sandbox": settings.sandbox.model_copy(update={"gate_s": 60})})
        home = Home(folder / "home")
        job = Job(job_id="prepare-1", kind="prepare", request=request)
        report = do_job(job, Shop(home, settings, sandbox, lambda: None))
        if not report.ok:
            return None
        return load(Survey, (home.request_folder("req") / "survey.json").read_bytes())


def surveyed(mutant: Mutant, keep: Path, sandbox: Callable[[], Sandbox]) -> Survey | None:
    """The survey of the mutant, from an earlier run if there is one."""
    kept = keep / f"{mutant.name}.json"
    source = keep / f"{mutant.name}.py"
    if kept.is_file() and source.is_file() and source.read_text() == mutant.source:
        return load(Survey, kept.read_bytes()) if kept.stat().st_size else None
    survey = prepare(mutant, sandbox())
    keep.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(dump(survey) if survey is not None else b"")
    source.write_text(mutant.source)
    return survey


def is_usable(survey: Survey) -> bool:
    """Whether tests fail for the bug's sake, and not because a module cannot even be imported."""
    return bool(survey.base_failed and survey.base_passed)


def guesses(mutant: Mutant, survey: Survey, root: Path, samples: int) -> list[tuple[str, str]]:
    """(file, function) that the samples 1, 2, … would rewrite first."""
    for name, text in mutant.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    read = Snapshot(root)
    found = evidence.collect(evidence.relevant(survey, REQUEST), survey, read)
    owned = suspected(survey) or culprits(REQUEST, survey, read.read)
    guessed = []
    for sample in range(1, samples + 1):
        targets = choose(owned, REQUEST, survey, read, found, sample=sample)
        names = targets[0].symbols_for(sample) if targets else ()
        guessed.append((targets[0].path if targets else "", names[0] if names else ""))
    return guessed


def interval(hits: int, total: int) -> str:
    """The share with its 95 % interval, by Wilson's formula."""
    if not total:
        return "-"
    z, share = 1.96, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    return f"{share:.0%} ({max(middle - half, 0):.0%}–{min(middle + half, 1):.0%})"


@dataclass(frozen=True)
class Row:
    """One mutant, and at which sample its function is rewritten; 0: never."""

    project: str
    hidden: bool
    """No frame of a failing test lies in the function."""
    without: int
    with_: int
    ochiai: int
    """Its place in the bare ranking of the spectrum."""


def measure(mutant: Mutant, survey: Survey) -> Row:
    """What is chosen for one mutant, with the spectrum and without it."""
    truth = (mutant.path, mutant.function)
    root = Path(tempfile.mkdtemp(prefix="swarmd-localise-"))
    try:
        plain = guesses(mutant, survey.model_copy(update={"spectrum": None}), root, 3)
        full = guesses(mutant, survey, root, 3)
    finally:
        shutil.rmtree(root)
    suspects = [(one.path, one.name) for one in survey.spectrum.suspects] if survey.spectrum else []
    frames = {text.rpartition(" ")[2] for result in survey.base_results for one in result.failures
              for text in one.frames if not text.startswith(" ")}  # fmt: skip
    hidden = mutant.function.rpartition(".")[2] not in frames
    places = (_place(found, truth) for found in (plain, full, suspects))
    return Row(mutant.project.name, hidden, *places)


def _place(found: Sequence[tuple[str, str]], truth: tuple[str, str]) -> int:
    return found.index(truth) + 1 if truth in found else 0


def show(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| mutants of | n | first: trace | first: + coverage | of three: trace | of three: + coverage "
        "| Ochiai alone: first | of three |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = [*dict.fromkeys(row.project for row in rows)]
    groups = [(name, [row for row in rows if row.project == name]) for name in names]
    groups.append(("in no traceback", [row for row in rows if row.hidden]))
    groups.append(("all", list(rows)))
    for name, group in groups:
        cells = [
            interval(sum(0 < place <= most for place in places), len(group))
            for most, places in (
                (1, [row.without for row in group]),
                (1, [row.with_ for row in group]),
                (3, [row.without for row in group]),
                (3, [row.with_ for row in group]),
                (1, [row.ochiai for row in group]),
                (3, [row.ochiai for row in group]),
            )
        ]
        lines.append(f"| {name} | {len(group)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Plant, prepare, choose, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=30, help="most bugs planted in one project")
    parser.add_argument(
        "--of-swarmd", type=int, default=10, help="the same of swarmd's own: they take longer"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="projects, by name")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "swarmd-localise")
    arguments = parser.parse_args()
    made: list[Sandbox] = []

    def sandbox() -> Sandbox:
        if not made:
            made.append(choose_sandbox("auto"))
        return made[0]

    rows = []
    for project in projects():
        if arguments.only and project.name not in arguments.only:
            continue
        most = arguments.of_swarmd if project.name.startswith("swarmd.") else arguments.mutants
        for mutant in mutants(project, most, arguments.seed):
            survey = surveyed(mutant, arguments.keep / str(arguments.seed), sandbox)
            if survey is None or not is_usable(survey):
                continue
            rows.append(measure(mutant, survey))
            print(json.dumps({"mutant": mutant.name, "in": mutant.function, **rows[-1].__dict__}), flush=True)
    print(show(rows))


if __name__ == "__main__":
    main()
