"""Docstrings and comments are plain English, as far as a program can tell.

A function's docstring begins with a verb (Ruff's D401 tells "Returns" from "Return"), a class's says what it is, and a
docstring that could only repeat the name is left out. Some turns that were translated word by word are not used.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "benchmarks", "deploy", "scripts")
PYTHON = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LUA = sorted((ROOT / "src").rglob("*.lua"))

#: A sentence that begins so does not say what the function does.
NO_VERBS = frozenset(
    {
        *("a", "an", "the", "it", "its", "this", "that", "these", "those"),
        *("they", "their", "who", "whoever", "whose", "what", "whatever", "whether", "which"),
        *("how", "when", "where", "why", "while", "one", "so", "all", "each"),
        *("every", "any", "some", "no", "none", "not", "only", "as", "at"),
        *("by", "from", "in", "of", "on", "to", "with", "until", "after"),
        *("before", "if", "our", "ours", "we", "same", "more", "most", "many"),
        *("nothing", "something", "somebody", "and", "or", "for", "here", "there", "also"),
        *("seconds", "bytes"),
    }
)
#: A class's docstring names what it is.
PRONOUNS = frozenset({"it", "they", "those", "who", "whoever", "what", "that", "this"})
#: A shorter docstring of a function only repeats the function's name.
SHORTEST = 34
CALQUES = re.compile(
    r"\b(whoever|anew|mends?|mended|is no (?!longer|more than)|somebody|since long|so many)\b", re.IGNORECASE
)
#: The longest function, in lines, and the most arguments of a constructor.
LONGEST, MOST_ARGUMENTS = 45, 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Definition:
    """A module, a class or a function, and what is said and counted of it here."""

    path: Path
    #: Of a module, "".
    name: str
    line: int
    docstring: str
    is_class: bool = False
    is_function: bool = False
    is_property: bool = False
    lines: int = 0
    arguments: int = 0

    def __str__(self) -> str:
        """Show where it is, for a person who is to change it."""
        return f"{self.path.relative_to(ROOT)}:{self.line} {self.name}"


@cache
def definitions(path: Path) -> tuple[Definition, ...]:
    """Return what may have a docstring in a file: the module, its classes and its functions.

    The trees of all files, kept, would be millions of objects for the garbage collector to walk through.
    """
    module = ast.parse(path.read_text("utf-8"))
    of_module = Definition(path, "", 1, ast.get_docstring(module) or "")
    return of_module, *(_definition(path, node) for node in _below(module))


def _below(node: ast.AST) -> Iterator[ast.ClassDef | Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | Function):
            yield child
        if not isinstance(child, ast.expr):  # none has a definition in it, and most nodes are in one
            yield from _below(child)


def _definition(path: Path, node: ast.ClassDef | Function) -> Definition:
    common = (path, node.name, node.lineno, ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef):
        return Definition(*common, is_class=True)
    decorators = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
    return Definition(
        *common,
        is_function=True,
        is_property=bool(decorators & {"property", "cached_property"}),
        lines=(node.end_lineno or node.lineno) - node.lineno + 1,
        arguments=len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]),
    )


def everywhere() -> Iterator[Definition]:
    for path in PYTHON:
        yield from definitions(path)


def first_word(docstring: str) -> str:
    found = re.match(r"[`'\"(]?(\w+)", docstring)
    return found[1].lower() if found else ""


def says_what_it_does(docstring: str) -> bool:
    return docstring[0] != "`" and first_word(docstring) not in NO_VERBS and len(docstring) >= SHORTEST


def test_a_function_s_docstring_begins_with_a_verb_and_says_more_than_the_name() -> None:
    # A test's name states the behaviour, and its docstring adds the circumstances.
    assert [
        f"{one}: {one.docstring.splitlines()[0]}"
        for one in everywhere()
        if one.is_function and one.docstring and not one.is_property and not one.name.startswith("test_")
        if not says_what_it_does(one.docstring)
    ] == []


def test_a_class_s_docstring_says_what_it_is() -> None:
    assert [
        f"{one}: {one.docstring.splitlines()[0]}"
        for one in everywhere()
        if one.is_class and first_word(one.docstring) in PRONOUNS
    ] == []


def test_no_docstring_of_a_module_or_a_property_begins_with_a_pronoun() -> None:
    # A module may open with what it is about: "What the exporter shows."
    wrong = {"": PRONOUNS - {"what"}}
    assert [
        f"{one}: {one.docstring}"
        for one in everywhere()
        if not one.name or one.is_property
        if first_word(one.docstring) in wrong.get(one.name, PRONOUNS)
    ] == []


def test_no_docstring_or_comment_is_a_riddle() -> None:
    wrong = []
    for path in {*PYTHON, *LUA} - {Path(__file__)}:
        texts = lua_comments(path) if path.suffix == ".lua" else prose(path)
        wrong += [f"{path.relative_to(ROOT)}: {text.strip()}" for text in texts if CALQUES.search(text)]
    assert wrong == []


def prose(path: Path) -> Iterator[str]:
    """Yield each docstring and comment of a Python file."""
    for one in definitions(path):
        yield one.docstring
    yield from re.findall(r"(?:^|\s)#[:\s].*$", path.read_text("utf-8"), re.MULTILINE)


def lua_comments(path: Path) -> list[str]:
    return re.findall(r"--.*$", path.read_text("utf-8"), re.MULTILINE)


def test_functions_fit_in_a_glance() -> None:
    assert [
        f"{one}: {one.lines} lines, {one.arguments} arguments"
        for one in everywhere()
        if one.path.is_relative_to(ROOT / "src")
        if one.lines > LONGEST or (one.name == "__init__" and one.arguments - 1 > MOST_ARGUMENTS)
    ] == []
