"""Docstrings and comments are plain English, as far as a program can tell.

A function's docstring begins with a verb (Ruff's D401 tells "Returns" from "Return"), a class's says what it is, and a
docstring that could only repeat the name is left out. Some turns that were translated word by word are not used.
"""

import ast
import re
from collections.abc import Iterator
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


@cache
def documented(path: Path) -> tuple[ast.Module | ast.ClassDef | Function, ...]:
    """Return what may have a docstring in a file: the module, its classes and its functions."""
    module = ast.parse(path.read_text("utf-8"))
    return module, *_definitions(module)


def _definitions(node: ast.AST) -> Iterator[ast.ClassDef | Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | Function):
            yield child
        if not isinstance(child, ast.expr):  # none has a definition in it, and most nodes are in one
            yield from _definitions(child)


def functions(paths: list[Path]) -> Iterator[tuple[str, Function]]:
    """Yield each function with its place and name."""
    for path in paths:
        for node in documented(path):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def is_property(function: Function) -> bool:
    decorators = {ast.unparse(one).rpartition(".")[2] for one in function.decorator_list}
    return bool(decorators & {"property", "cached_property"})


def first_word(docstring: str) -> str:
    found = re.match(r"[`'\"(]?(\w+)", docstring)
    return found[1].lower() if found else ""


def says_what_it_does(docstring: str) -> bool:
    return docstring[0] != "`" and first_word(docstring) not in NO_VERBS and len(docstring) >= SHORTEST


def test_a_function_s_docstring_begins_with_a_verb_and_says_more_than_the_name() -> None:
    wrong = []
    for place, function in functions(PYTHON):
        docstring = ast.get_docstring(function)
        # A test's name states the behaviour, and its docstring adds the circumstances.
        if docstring and not function.name.startswith("test_") and not is_property(function):
            wrong += [] if says_what_it_does(docstring) else [f"{place}: {docstring.splitlines()[0]}"]
    assert wrong == []


def test_a_class_s_docstring_says_what_it_is() -> None:
    wrong = []
    for path in PYTHON:
        for node in documented(path):
            docstring = ast.get_docstring(node) if isinstance(node, ast.ClassDef) else None
            if docstring and first_word(docstring) in PRONOUNS:
                wrong.append(f"{path.relative_to(ROOT)}: {docstring.splitlines()[0]}")
    assert wrong == []


def test_no_docstring_of_a_module_or_a_property_begins_with_a_pronoun() -> None:
    wrong = []
    for path in PYTHON:
        for node in documented(path):
            said = ast.get_docstring(node) or ""
            if isinstance(node, ast.Module):
                # A module may open with what it is about: "What the exporter shows."
                is_wrong = first_word(said) in PRONOUNS - {"what"}
            else:
                is_wrong = isinstance(node, Function) and is_property(node) and first_word(said) in PRONOUNS
            wrong += [f"{path.relative_to(ROOT)}: {said}"] if said and is_wrong else []
    assert wrong == []


def test_no_docstring_or_comment_is_a_riddle() -> None:
    wrong = []
    for path in {*PYTHON, *LUA} - {Path(__file__)}:
        texts = lua_comments(path) if path.suffix == ".lua" else prose(path)
        wrong += [f"{path.relative_to(ROOT)}: {text.strip()}" for text in texts if CALQUES.search(text)]
    assert wrong == []


def prose(path: Path) -> Iterator[str]:
    """Yield each docstring and comment of a Python file."""
    for node in documented(path):
        yield ast.get_docstring(node) or ""
    yield from re.findall(r"(?:^|\s)#[:\s].*$", path.read_text("utf-8"), re.MULTILINE)


def lua_comments(path: Path) -> list[str]:
    return re.findall(r"--.*$", path.read_text("utf-8"), re.MULTILINE)


def test_functions_fit_in_a_glance() -> None:
    engine = [path for path in PYTHON if path.is_relative_to(ROOT / "src")]
    wrong = []
    for place, function in functions(engine):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        if lines > LONGEST or (function.name == "__init__" and len(arguments) - 1 > MOST_ARGUMENTS):
            wrong.append(f"{place}: {lines} lines, {len(arguments)} arguments")
    assert wrong == []
