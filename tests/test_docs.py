"""The docs say what is true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "benches" / "README.md"])


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _home(file: str) -> list[Path]:
    if file.endswith(".rs"):
        return [path for path in (ROOT / "rust").rglob(file) if "target" not in path.parts]
    return [ROOT / "tests" / file]


def _named_tests() -> list[tuple[str, str]]:
    named = re.findall(r"`([\w/]+\.(?:py|rs))::(\w+)`", _text(ROOT / "docs" / "semantics.md"))
    return sorted(set(named))


@pytest.mark.parametrize(("file", "name"), _named_tests())
def test_a_promise_names_tests_that_exist(file: str, name: str) -> None:
    """Every test that semantics.md names is there."""
    assert any(re.search(rf"\b(?:def|fn|class) {name}\b", _text(home)) for home in _home(file))


def test_every_promise_names_a_test() -> None:
    """Each of the ten promises has its tests named."""
    semantics = _text(ROOT / "docs" / "semantics.md")
    _, *promises = re.split(r"^### (P\d+) .*$", semantics, flags=re.MULTILINE)
    numbers, texts = promises[::2], promises[1::2]
    assert numbers == [f"P{n}" for n in range(1, 11)]
    assert all("*Tests.*" in text for text in texts)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    """A link to a file of the repository finds it."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", _text(path))
    assert [target for target in targets if not (path.parent / target).exists()] == []
