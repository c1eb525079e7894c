"""The code keeps its own rules: what may import what, how long things are, what needs a reason."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "outlay"
CORE = ROOT / "rust" / "core"
FOLDERS = [".ci", "benches", "docs", "python", "rust", "tests"]
TEXTS = {".md", ".py", ".pyi", ".rs", ".toml", ".yml", ""}

# A module imports from those below it. Those on one line may not import each other in a circle.
LAYERS = [
    ["_engine"],
    ["errors", "metadata", "money", "testing"],
    ["wallet", "ledger"],
    ["receipts", "prices", "journal", "actors"],
    ["adapters"],
    ["demo"],
    ["cli"],
    ["__main__"],
]
REQUIRED = {"anyio", "msgspec"}
# What these two bring along.
BROUGHT = {"idna", "sniffio", "typing_extensions"}
LAZY = {"rich"}

LINE_LENGTH_MAX = 100
FUNCTION_LINES_MAX = 60
# Tests that are named after a promise, not after a module.
PROMISES = {
    "test_bad_input.py",
    "test_docs.py",
    "test_edge.py",
    "test_exports.py",
    "test_laws.py",
    "test_linear.py",
    "test_threads.py",
    "test_tidy.py",
}
# Commands are run by tests/test_cli.py, names are looked at by tests/test_exports.py.
TESTED_ELSEWHERE = {"__init__.py", "__main__.py", "adapters/__init__.py", "demo.py"}


def texts() -> list[Path]:
    """Every file that is written by hand, generated and compiled ones left out."""
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in files if path.suffix in TEXTS and "__pycache__" not in path.parts]


def named(paths: Iterator[Path] | list[Path]) -> list[object]:
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in sorted(paths)]


MODULES = named(PACKAGE.rglob("*.py"))
PYTHON = named([*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")])
RUST = named((ROOT / "rust").rglob("*.rs"))
ENGINE = named((CORE / "src").rglob("*.rs"))


def numbered(path: Path) -> list[tuple[int, str]]:
    return list(enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))


def is_comment(line: str) -> bool:
    return line.lstrip().startswith("//")


def code(path: Path) -> list[tuple[int, str]]:
    """The lines of a Rust file without their comments."""
    return [(n, line.partition("//")[0]) for n, line in numbered(path) if not is_comment(line)]


# Imports


def layer(module: str) -> int:
    return next(height for height, names in enumerate(LAYERS) if module in names)


def noun(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """What a module imports when it is imported: not in functions, not for type checkers."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        pending += ast.iter_child_nodes(node)


def siblings(path: Path) -> set[str]:
    """The modules of the package that a module imports."""
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("outlay.")}
    return ours - {noun(path)}


@pytest.mark.parametrize("path", [m for m in MODULES if m.id != "python/outlay/__init__.py"])
def test_imports_point_one_way(path: Path):
    """A module imports only from its own layer and those below; no one but `cli` imports `demo`."""
    above = [name for name in siblings(path) if layer(name) > layer(noun(path))]
    assert above == []


def test_imports_make_no_circle():
    """Modules of one layer may lean on each other, in one direction."""
    leans = {noun(path): siblings(path) for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    while leans:
        free = [name for name, needs in leans.items() if not needs & leans.keys()]
        assert free, f"these import each other: {sorted(leans)}"
        for name in free:
            del leans[name]


@pytest.mark.parametrize("path", MODULES)
def test_optional_packages_stay_optional(path: Path):
    """Only adapters and the demo import a framework; rich is imported where it is used."""
    foreign = {name.partition(".")[0] for name in imports(path)} - {"outlay", "__future__"}
    foreign -= set(sys.stdlib_module_names) | REQUIRED
    if noun(path) in {"adapters", "demo"}:
        foreign -= {name for name in foreign if name not in LAZY}
    assert foreign == set()


def test_importing_outlay_is_cheap():
    """`import outlay` loads anyio, msgspec and the standard library at most."""
    script = "import sys; old = set(sys.modules); import outlay; print(*set(sys.modules) - old)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()} - set(sys.stdlib_module_names)
    assert loaded - REQUIRED - BROUGHT == {"outlay"}


def test_the_package_shows_names_only():
    """`outlay/__init__.py` imports, lists, and does nothing else."""
    body = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    assert all(isinstance(node, ast.ImportFrom | ast.Assign | ast.Expr) for node in body)


# Size and names


@pytest.mark.parametrize(
    "path", named([p for p in texts() if p.suffix in {".py", ".pyi", ".rs", ".toml"}])
)
def test_lines_fit(path: Path):
    """No line of code is longer than 100 columns."""
    assert [n for n, line in numbered(path) if len(line) > LINE_LENGTH_MAX] == []


@pytest.mark.parametrize("path", PYTHON)
def test_functions_fit_on_a_screen(path: Path):
    """No Python function is longer than 60 lines, docstring included."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = [
        f.name for f in functions if (f.end_lineno or f.lineno) - f.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


def test_files_are_named_after_nouns():
    """There is no drawer for what has no name: no utils, no common, no helpers."""
    drawers = {"base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}
    found = [
        path
        for folder in (PACKAGE, ROOT / "rust", ROOT / "tests")
        for path in folder.rglob("*")
        if path.stem.strip("_") in drawers and path != CORE
    ]
    assert found == []


def test_the_tests_mirror_the_package():
    """Every module has its file of tests, and every file of tests its module or its promise."""
    modules = {
        path.relative_to(PACKAGE).with_name(f"test_{path.name}")
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).as_posix() not in TESTED_ELSEWHERE
    }
    tests = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert {path for path in tests if path.name not in PROMISES} == modules


@pytest.mark.parametrize("path", [p for p in PYTHON if "/test_" in p.id])
def test_a_test_states_its_fact(path: Path):
    """The docstring of every test is the fact that it proves."""
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


# What needs a reason


@pytest.mark.parametrize("path", RUST)
def test_unsafe_is_argued(path: Path):
    """Above every `unsafe` block, or the statement it is in, stands why it is safe."""
    lines = path.read_text(encoding="utf-8").splitlines()
    bare = []
    for n, line in code(path):
        if not re.search(r"\bunsafe\s*(\{|impl\b|extern\b)", line):
            continue
        above = "\n".join(lines[max(0, n - 8) : n])
        if "// SAFETY: " not in above:
            bare.append(n)
    assert bare == []


@pytest.mark.parametrize("path", [p for p in ENGINE if not p.id.endswith("/sync.rs")])
def test_an_ordering_has_a_name(path: Path):
    """Memory orderings are used by the names that sync.rs gives them, never raw."""
    raw = re.compile(r"\bOrdering::(SeqCst|Relaxed|Acquire|Release|AcqRel)\b|\b(SeqCst|AcqRel)\b")
    assert [n for n, line in code(path) if raw.search(line)] == []


def test_an_ordering_has_a_reason():
    """The line above every ordering in sync.rs says when it is the right one."""
    lines = numbered(CORE / "src" / "sync.rs")
    bare = [
        n
        for n, line in lines
        if re.search(r"\bOrdering::(SeqCst|Relaxed|Acquire|Release|AcqRel)\b", line)
        and not is_comment(lines[n - 2][1])
    ]
    assert bare == []


@pytest.mark.parametrize("path", [p for p in ENGINE if not p.id.endswith("/sync.rs")])
def test_one_file_knows_how_threads_meet(path: Path):
    """Only sync.rs names std::sync or loom, so that one line swaps all of it for the checker's."""
    assert [n for n, line in code(path) if re.search(r"\b(std|core)::sync\b|\bloom::", line)] == []


@pytest.mark.parametrize("path", named([*CORE.rglob("*.rs"), CORE / "Cargo.toml"]))
def test_the_engine_has_never_heard_of_python(path: Path):
    """The engine's crate mentions neither Python nor its bindings."""
    assert not re.search(r"pyo3|python", path.read_text(encoding="utf-8"), re.IGNORECASE)


# Words

FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:home|root|Users|work|tmp|farm)/[\w.]",
    "the host of a registry": r"https?://[\w.]*\b(?:pypi\.org|pythonhosted\.org|crates\.io)",
    "an open end without a reason": r"\b(?:TODO|FIXME|XXX)\b(?!: \w+ \w+)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_forbidden_words(what: str):
    """No file names a path of one machine or a registry's host, or leaves an end unexplained."""
    found = [
        f"{path.relative_to(ROOT)}:{n}: {line.strip()}"
        for path in texts()
        if path != Path(__file__)
        for n, line in numbered(path)
        if re.search(FORBIDDEN[what], line)
    ]
    assert found == []


def test_the_example_in_the_readme_runs():
    """What README shows works as it stands."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for example in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
        exec(compile(example, "README.md", "exec"), {"__name__": "readme"})


def test_the_mutations_fit_the_source():
    """Each mutation of the engine that `make proof` tries finds its text there exactly once."""
    script = ROOT / "rust" / "core" / "tests" / "loom" / "mutations.py"
    command = [sys.executable, script, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
