"""A job's arguments and its result, checked against the handler's signature at both ends of the wire.

Arguments travel by name, and only those that the caller gave: defaults stay with the handler.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from rota.errors import InvalidPayload, InvalidResult
from rota.model.payload.depth import SHORT, check_depth
from rota.model.payload.forms import NOT_AN_ARGUMENT, Form
from rota.model.payload.signature import Signature

_NOT_JSON = "cannot travel as JSON"
_TOO_MANY = "at most"


class _Typed(ABC):
    """A form made of a handler's annotations: at once if they can be resolved, else at the first use."""

    __slots__ = ("_form", "_job", "_signature")

    def __init__(self, handler: Callable[..., Any], job: str | None = None) -> None:
        self._signature = Signature(handler, job)
        self._job = self._signature.job
        self._form: Form | None = None
        try:
            self._form = self._build()
        except NameError:
            # The name is defined further down in the module, or in a module whose import has not ended.
            self._form = None

    @property
    def is_ready(self) -> bool:
        """Whether all names in the annotations could be resolved so far."""
        return self._form is not None

    def resolve(self) -> None:
        """Build the form if that has not been possible so far. Raises TypeError for a name that is still missing."""
        if self._form is None:
            try:
                self._form = self._build()
            except NameError as error:
                raise TypeError(
                    f"job {self._job}: an annotation cannot be resolved ({error}); define the name in the "
                    "handler's module, and import it there at run time, not under TYPE_CHECKING"
                ) from None

    def json_schema(self, ref_template: str) -> dict[str, Any]:
        """Return the JSON schema of the type, whose parts `ref_template` refers to. Raises TypeError as `resolve`."""
        return self._ready().json_schema(ref_template)

    @abstractmethod
    def _build(self) -> Form:
        """Return the form that the annotations make. Raises NameError for a name that is not defined yet."""

    def _ready(self) -> Form:
        self.resolve()
        assert self._form is not None  # noqa: S101 (resolve() raised otherwise; for the type checker)
        return self._form


class PayloadType(_Typed):
    """The arguments of one handler, after its run.

    Raises TypeError for a signature that named arguments cannot fill, or for a type that JSON cannot carry.
    `job` is the job's name in error messages.
    """

    __slots__ = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments' names, in the handler's order."""
        return self._signature.names

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the arguments that have no default."""
        return self._signature.required

    @property
    def positional(self) -> tuple[str, ...]:
        """The names of the arguments that can be given by position."""
        return self._signature.positional

    def bind(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> bytes:
        """Check the arguments and return them as a JSON object by name. Raises InvalidPayload.

        A value that JSON would change, into a wrong one or into another, is refused here: what `parse` returns of the
        object is what was given.
        """
        named = self._named(args, kwargs)
        if not named and not self.names:
            return b"{}"
        form = self._form or self._ready()
        try:
            checked = form.check(named)
            raw = form.write(checked)
            if form.is_unbounded and len(raw) <= SHORT:
                # Most jobs: to read it too would be a twentieth of what an enqueue in bulk costs the client.
                return raw
            arrived = form.read(raw)
            check_depth(raw)
        except ValueError as error:
            problems = _problems(form, error)
            if problems.keys() == {""}:
                problems = _unwritable(named) or problems
        else:
            if form.is_plain or not (problems := form.changed_arguments(checked, arrived)):
                return raw
        # Raised outside of the except block, so that its context is not an exception that holds the values.
        raise InvalidPayload(self._job, problems)

    def parse(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the handler's keyword arguments of JSON values as they arrived. Raises InvalidPayload.

        `args` are the positional arguments that a stock client sends.
        """
        named = self._named(args, kwargs)
        if not named and not self.names:
            return named
        form = self._form or self._ready()
        try:
            # By way of bytes, because a strict type takes a string for a date, or a list for a tuple, from JSON only.
            parsed: dict[str, Any] = form.read(to_json(named))
        except ValueError as error:
            problems = _problems(form, error)
        else:
            return parsed
        raise InvalidPayload(self._job, problems)

    def parse_raw(self, raw: bytes) -> dict[str, Any]:
        """Return the handler's keyword arguments of a JSON object by name. Raises InvalidPayload."""
        if raw == b"{}" and not self.names:
            return {}
        form = self._form or self._ready()
        try:
            parsed: dict[str, Any] = form.read(raw)
        except ValueError as error:
            problems = _problems(form, error)
        else:
            return parsed
        raise InvalidPayload(self._job, problems)

    def parse_given(self, value: bytes) -> dict[str, Any]:
        """Return the handler's keyword arguments of the JSON value of its first argument. Raises InvalidPayload."""
        if not self.positional:
            raise InvalidPayload(self._job, {"": "no argument is taken by position, and one came"})
        return self.parse_raw(b"{%b:%b}" % (to_json(self.positional[0]), value))

    def lacks(self, error: InvalidPayload) -> bool:
        """Tell whether arguments were refused because the handler does not have them all: a newer one may."""
        if error.problems.get("", "").startswith(_TOO_MANY):
            return True
        return any(
            reason == NOT_AN_ARGUMENT and name not in self.names for name, reason in error.problems.items()
        )

    def _build(self) -> Form:
        return self._signature.arguments_form()

    def _named(self, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
        if not args:
            return dict(kwargs) if kwargs else {}
        positional = self._signature.positional
        if len(args) > len(positional):
            most = f"{_TOO_MANY} {len(positional)} positional arguments are taken; {len(args)} came"
            raise InvalidPayload(self._job, {"": most})
        if not kwargs:
            return dict(zip(positional, args, strict=False))
        named = dict(kwargs)
        for name, value in zip(positional, args, strict=False):
            if name in named:
                raise InvalidPayload(self._job, {name: "is given twice"})
            named[name] = value
        return named


class ResultType(_Typed):
    """The type of a handler's result: its return annotation, or any JSON value when it has none."""

    __slots__ = ()

    def dump(self, value: Any) -> bytes:
        """Check a handler's result and return it as JSON. Raises InvalidResult."""
        form = self._form or self._ready()
        try:
            checked = form.check(value)
            raw = form.write(checked)
            check_depth(raw)
        except ValueError as error:
            problems = _never_ran(value) or _problems(form, error, within=True)
        else:
            if form.is_plain or not (problems := _changed(form, checked, raw)):
                return raw
        raise InvalidResult(self._job, problems)

    def parse(self, value: Any) -> Any:
        """Return the typed result of its JSON value. Raises InvalidResult."""
        form = self._form or self._ready()
        try:
            return form.read(to_json(value))
        except ValueError as error:
            problems = _problems(form, error, within=True)
        raise InvalidResult(self._job, problems)

    def _build(self) -> Form:
        return self._signature.result_form()


def _never_ran(result: Any) -> dict[str, str]:
    """Return what is wrong with a handler that returned a call of an `async def`, or a context manager."""
    if isinstance(result, Coroutine):
        result.close()
        return {
            "": "is a coroutine that nobody has awaited; the handler, or its decorator, must be an `async def`"
        }
    if isinstance(result, AbstractContextManager | AbstractAsyncContextManager):
        return {"": "is a context manager that nobody has entered; a handler runs, and returns its result"}
    return {}


def _changed(form: Form, result: Any, raw: bytes) -> dict[str, str]:
    try:
        arrived = form.read(raw)
    except ValueError:
        # Its reader is told when it asks, and gets no wrong value; most results are never asked for.
        return {}
    return form.changed(result, arrived)


def _problems(form: Form, error: ValueError, *, within: bool = False) -> dict[str, str]:
    if isinstance(error, ValidationError):
        return form.problems(error, within=within)
    return {"": _NOT_JSON}


def _unwritable(named: Mapping[str, Any]) -> dict[str, str]:
    return {name: _NOT_JSON for name, value in named.items() if not _is_writable(value)}


def _is_writable(value: Any) -> bool:
    try:
        check_depth(b"[%b]" % to_json(value, bytes_mode="base64"))
    except ValueError:
        return False
    return True
