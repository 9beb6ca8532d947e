"""A handler's signature: the arguments that it takes after its run, and their types."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    Never,
    NoReturn,
    NotRequired,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic.fields import FieldInfo
from typing_extensions import TypedDict, is_protocol

from rota.model.payload.forms import CONFIG, Form
from rota.model.run import Run


class Signature:
    """The arguments and the result of one handler; `job` is the job's name in error messages.

    Raises TypeError for parameters that named arguments cannot fill.
    """

    __slots__ = ("_globals", "_parameters", "_returns", "job", "names", "positional", "required")

    def __init__(self, handler: Callable[..., Any], job: str | None = None) -> None:
        self.job = job or str(getattr(handler, "__name__", handler))
        signature = inspect.signature(handler)
        self._parameters = self._after_run(list(signature.parameters.values()))
        self._returns = signature.return_annotation
        self._globals = getattr(inspect.unwrap(handler), "__globals__", {})
        self._check_run(next(iter(signature.parameters.values())))
        self.names = tuple(p.name for p in self._parameters)
        self.required = tuple(p.name for p in self._parameters if p.default is p.empty)
        self.positional = tuple(p.name for p in self._parameters if p.kind is p.POSITIONAL_OR_KEYWORD)

    def arguments_form(self) -> Form:
        """Return the form of a dictionary of the arguments. Raises NameError for an annotation not defined yet."""
        hints = self._resolved({p.name: p.annotation for p in self._parameters})
        fields = {name: hints[name] if name in self.required else NotRequired[hints[name]] for name in hints}
        # A TypedDict and not a model: parameters can have any name, and a model's fields cannot.
        arguments = cast(Any, TypedDict)("arguments", fields)
        arguments.__pydantic_config__ = CONFIG | {"extra": "forbid"}
        try:
            return Form(arguments)
        except TypeError as error:
            for name, annotation in hints.items():
                self._form(annotation, f"argument {name!r}")
            raise TypeError(f"job {self.job}: {error}") from None

    def result_form(self) -> Form:
        """Return the form of the result. Raises NameError for an annotation that is not defined yet."""
        annotation = self._resolved({"return": self._returns})["return"]
        # A handler that always raises has no result to check.
        return self._form(Any if annotation in (NoReturn, Never) else annotation, "its result")

    def _form(self, annotation: Any, what: str) -> Form:
        try:
            return Form(annotation)
        except TypeError as error:
            raise TypeError(f"job {self.job}: {what} cannot be checked: {error}") from None

    def _resolved(self, annotations: dict[str, Any]) -> dict[str, Any]:
        known = {name: hint for name, hint in annotations.items() if hint is not inspect.Parameter.empty}
        try:
            hints = get_type_hints(SimpleNamespace(__annotations__=known), self._globals, include_extras=True)
        except NameError:
            raise
        except Exception as error:
            raise TypeError(f"job {self.job}: an annotation is not a type: {error}") from None
        return {name: hints.get(name, Any) for name in annotations}

    def _after_run(self, parameters: list[inspect.Parameter]) -> tuple[inspect.Parameter, ...]:
        by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if not parameters or parameters[0].kind not in by_position:
            raise TypeError(f"job {self.job}: a handler's first parameter receives its run; add `run: Run`")
        for parameter in parameters[1:]:
            self._refuse(parameter)
        return tuple(parameters[1:])

    def _check_run(self, first: inspect.Parameter) -> None:
        try:
            hint = self._resolved({first.name: first.annotation})[first.name]
        except NameError:
            return  # Run itself, imported for the type checker only.
        if not _may_be_run(hint):
            raise TypeError(
                f"job {self.job}: a handler's first parameter receives its run, and {str(first)!r} cannot; "
                "add `run: Run` before it"
            )

    def _refuse(self, parameter: inspect.Parameter) -> None:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(
                f"job {self.job}: {parameter} cannot be checked; name each argument, or take one list or dict"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(
                f"job {self.job}: {parameter.name!r} is positional only, and arguments travel by name; "
                "move the / before it"
            )
        if isinstance(parameter.default, FieldInfo):
            raise TypeError(
                f"job {self.job}: the default of {parameter.name!r} is a Field; use Annotated[type, Field()]"
            )


def _may_be_run(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Annotated:
        return _may_be_run(get_args(hint)[0])
    if origin in (Union, UnionType):
        return any(map(_may_be_run, get_args(hint)))
    kind = origin or hint
    if not isinstance(kind, type) or kind is Any or is_protocol(kind):
        return True
    return issubclass(kind, Run) or issubclass(Run, kind)
