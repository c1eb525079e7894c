"""The public names: complete, sorted, documented, and said to live where users find them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from importlib import resources
from pathlib import Path
from types import MemberDescriptorType, ModuleType

import pytest

import outlay
from outlay import errors

ROOT = Path(__file__).parent.parent
PUBLIC_MODULES = ["outlay", "outlay.money", "outlay.testing", "outlay.adapters.autogen"]
NAMES = [name for name in outlay.__all__ if not name.startswith("__")]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(outlay, name))]
STUB = resources.files(outlay).joinpath("_engine.pyi").read_text(encoding="utf-8")
IN_STUB = {
    f"{cls.name}.{member.name}"
    for cls in ast.parse(STUB).body
    if isinstance(cls, ast.ClassDef)
    for member in cls.body
    if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(member)
}


def public(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }


def test_the_list_is_sorted():
    """`__all__` is in order and names nothing twice."""
    assert list(outlay.__all__) == sorted(set(outlay.__all__))


def test_the_list_is_complete():
    """Whatever the package shows is in `__all__`, and the other way round."""
    assert public(outlay) == set(NAMES)


def test_every_error_is_exported():
    """Every exception that outlay raises can be caught by a name in the package."""
    raised = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert {name for name in raised if name.endswith("Error")} <= set(NAMES)


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_lives_in_public(name: str):
    """A public class says that it comes from a module that users may import."""
    module = getattr(outlay, name).__module__
    assert module.partition(".")[0] == "outlay"
    assert "_" not in module


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_is_documented(name: str):
    """A public class has a docstring, and so has each of its public methods and properties.

    Those of compiled methods are in the stub, where editors look for them.
    """
    value = getattr(outlay, name)
    bare = [] if value.__doc__ else [name]
    for cls in value.__mro__:
        if cls.__module__.partition(".")[0] != "outlay":
            continue
        bare += [
            f"{cls.__name__}.{member}"
            for member, what in vars(cls).items()
            if not member.startswith("_")
            and (inspect.isroutine(what) or inspect.isdatadescriptor(what))
            and not isinstance(what, MemberDescriptorType)  # a field: the class has its meaning
            and not inspect.getdoc(what)
            and f"{cls.__name__}.{member}" not in IN_STUB
        ]
    assert bare == []


@pytest.mark.parametrize("page", ["README.md", *sorted(p.name for p in ROOT.glob("docs/*.md"))])
def test_a_page_names_what_exists(page: str):
    """Every `outlay.Name` that a page of prose mentions is one that users can write."""
    path = ROOT / page if (ROOT / page).exists() else ROOT / "docs" / page
    mentioned = set(re.findall(r"\boutlay\.([A-Z]\w+)", path.read_text(encoding="utf-8")))
    assert mentioned <= set(NAMES)


def test_types_are_shipped():
    """Type checkers may read the annotations of the installed package."""
    assert resources.files(outlay).joinpath("py.typed").is_file()


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_a_module_says_what_it_is_for(module: str):
    """A module that users import has a docstring."""
    assert inspect.getdoc(importlib.import_module(module))
