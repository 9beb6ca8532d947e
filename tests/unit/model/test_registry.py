import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rota.errors import DiscoveryFailed, JobClash, UnknownJob, UnknownQueue
from rota.model.registry import discover

Write = Callable[..., str]

PAINT = """
from rota.model.job import job

@job(queue="video")
async def paint(run, scene: int) -> str: ...
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a package of the given files and return its name."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"jobs_{tmp_path.name}".replace("-", "_")

    def make(**files: str) -> str:
        for path, text in {"__init__": "", **files}.items():
            file = tmp_path / name / f"{path.replace('.', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("PACKAGE", name))
        return name

    yield make
    for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[module]


def test_jobs_are_collected_from_every_module_and_folder(write: Write) -> None:
    package = write(
        **{
            "__init__": PAINT,
            "mail": PAINT.replace("paint", "send"),
            "samples.__init__": "",
            "samples.sleep": PAINT.replace("paint", "sleep"),
            "loose.deep.part": PAINT.replace("paint", "part"),
        }
    )
    assert discover(package).full_names == ("video:paint", "video:part", "video:send", "video:sleep")


def test_a_package_without_jobs_is_empty(write: Write) -> None:
    registry = discover(write())
    assert (registry.jobs, registry.queues, registry.lifespan) == ((), (), None)
    assert registry.hooks == ((), (), ())


def test_a_job_without_a_queue_belongs_to_the_default_one(write: Write) -> None:
    registry = discover(write(a=PAINT.replace('(queue="video")', "")), default_queue="misc")
    (job,) = registry.jobs
    assert registry.queues == ("misc",)
    assert registry.queue_of(job) == "misc"
    assert registry.full_name(job) == "misc:paint"
    assert registry.for_queue("misc") == {"paint": job}


def test_a_job_imported_elsewhere_is_the_same_job(write: Write) -> None:
    package = write(a=PAINT, b="from PACKAGE.a import paint\nalias = paint\n")
    assert len(discover(package).jobs) == 1


def test_a_copy_with_options_stands_for_its_job(write: Write) -> None:
    package = write(a="from PACKAGE.b import paint\nurgent = paint.options(delay=5)\ndel paint\n", b=PAINT)
    registry = discover(package)
    assert registry.find("paint") is sys.modules[f"{package}.b"].paint


@pytest.mark.parametrize("default", ["video", "misc"])
def test_two_handlers_of_one_name_on_one_queue_stop_the_boot_and_name_both_files(
    write: Write, default: str
) -> None:
    other = PAINT if default == "misc" else PAINT.replace('(queue="video")', "")
    package = write(first=PAINT, second=other)
    with pytest.raises(JobClash, match=r"video:paint: .*first\.py:\d+ and .*second\.py:\d+"):
        discover(package, default_queue=default)


def test_one_name_on_two_queues_does_not_clash(write: Write) -> None:
    registry = discover(write(a=PAINT, b=PAINT.replace("video", "print")))
    assert registry.queues == ("print", "video")
    assert registry.find("print:paint") is not registry.find("video:paint")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import does_not_exist", "ModuleNotFoundError: No module named 'does_not_exist'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("from rota.model.job import job\n@job\ndef f(): ...", "TypeError: job f: .*receives its run"),
        (
            "from rota.model.job import job\n@job\ndef f(run, x: 'Gone'): ...",
            "job f: .*'Gone' is not defined",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_cause(
    write: Write, text: str, cause: str
) -> None:
    package = write(broken=text)
    with pytest.raises(DiscoveryFailed, match=rf"the jobs of {package}\.broken: .*{cause}"):
        discover(package)


def test_the_file_and_the_line_of_the_cause_are_named_where_it_is_imported_from_too(write: Write) -> None:
    package = write(helper="x = 1\n\n1 / 0", broken="from .helper import x")
    with pytest.raises(DiscoveryFailed, match=r"failed at .*/helper\.py:3 with ZeroDivisionError"):
        discover(f"{package}.broken")


def test_the_line_of_a_syntax_error_is_named(write: Write) -> None:
    with pytest.raises(DiscoveryFailed, match=r"failed at .*/typo\.py:2 with SyntaxError: "):
        discover(write(typo="x = 1\ndef ("))


@pytest.mark.parametrize("name", ["no_such_package", "no_such_package.inner"])
def test_a_package_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises(DiscoveryFailed, match=f"{name}: there is no such package on the Python path"):
        discover(name)


def test_a_program_among_the_jobs_is_not_started(write: Write) -> None:
    package = write(a=PAINT, __main__="raise SystemExit('started')")
    assert len(discover(package).jobs) == 1


def test_a_single_module_is_a_package_too(write: Write) -> None:
    assert discover(f"{write(a=PAINT)}.a").full_names == ("video:paint",)


def test_a_default_queue_that_cannot_be_is_refused(write: Write) -> None:
    with pytest.raises(ValueError, match="queue name 'Big' is not allowed"):
        discover(write(), default_queue="Big")


LIFESPAN = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def lifespan():
    yield "mailer"
"""


@pytest.mark.parametrize("place", ["__init__", "lifespan"])
async def test_the_lifespan_of_the_package_is_found(write: Write, place: str) -> None:
    lifespan = discover(write(**{place: LIFESPAN})).lifespan
    assert lifespan is not None
    async with lifespan() as deps:
        assert deps == "mailer"


def test_a_lifespan_that_cannot_be_called_is_refused(write: Write) -> None:
    with pytest.raises(DiscoveryFailed, match="lifespan is not a function"):
        discover(write(__init__="lifespan = 5"))


def test_a_job_is_found_by_its_short_or_full_name(write: Write) -> None:
    registry = discover(write(a=PAINT))
    assert registry.find("paint") is registry.find("video:paint")


@pytest.mark.parametrize("name", ["pain", "video:pain", "vidoe:paint", "audio:paint"])
def test_an_unknown_job_suggests_the_nearest(write: Write, name: str) -> None:
    with pytest.raises(UnknownJob, match=f"no job '{name}'; did you mean video:paint"):
        discover(write(a=PAINT)).find(name)


@pytest.mark.parametrize("name", ["", ":", ":paint", "paint:", "video:"])
def test_half_a_name_is_unknown(write: Write, name: str) -> None:
    with pytest.raises(UnknownJob):
        discover(write(a=PAINT)).find(name)


def test_a_short_name_on_two_queues_asks_for_the_full_one(write: Write) -> None:
    registry = discover(write(a=PAINT, b=PAINT.replace("video", "print")))
    with pytest.raises(UnknownJob, match="on several queues; use one of: print:paint, video:paint"):
        registry.find("paint")


def test_an_unknown_queue_is_named_with_the_choices(write: Write) -> None:
    with pytest.raises(UnknownQueue, match="no queue 'audio'; choose one of: video"):
        discover(write(a=PAINT)).for_queue("audio")


def test_the_collected_jobs_cannot_be_changed(write: Write) -> None:
    registry = discover(write(a=PAINT))
    with pytest.raises(TypeError):
        registry.for_queue("video")["other"] = registry.jobs[0]  # type: ignore[index]


@pytest.mark.parametrize("text", ["async def lifespan():\n    yield", "def lifespan():\n    yield"])
def test_a_lifespan_without_its_decorator_is_refused(write: Write, text: str) -> None:
    with pytest.raises(
        DiscoveryFailed, match=r"lifespan at .*__init__\.py:1 is a bare function; decorate it"
    ):
        discover(write(__init__=text))


HOOKS = """
async def timed(run, call_next): return await call_next(run)
def tell(event): ...
class Counting:
    def created(self, jobs): ...
middleware = [timed]
subscribers = (tell,)
senders = [Counting()]
"""


def test_the_code_around_all_jobs_is_found_in_the_package_or_in_modules_of_its_names(write: Write) -> None:
    middleware, subscribers, senders = discover(write(__init__=HOOKS)).hooks
    assert [one.__name__ for one in (*middleware, *subscribers)] == ["timed", "tell"]
    assert [type(one).__name__ for one in senders] == ["Counting"]


def test_modules_may_be_named_for_what_they_hold(write: Write) -> None:
    hooks = discover(write(middleware=HOOKS, subscribers=HOOKS)).hooks
    assert [one.__name__ for kind in hooks for one in kind] == ["timed", "tell"]
    assert hooks.senders == ()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "middleware = timed",
            r"its middleware is function; it is a list: \[an async def \(run, call_next\)",
        ),
        (
            "middleware = [tell]",
            r"tell in its middleware does not fit; each is an async def \(run, call_next\)",
        ),
        (
            "subscribers = [timed]",
            r"timed in its subscribers does not fit; each is a plain function \(event\)",
        ),
        (
            "senders = [print()]",
            r"NoneType in its senders does not fit; each is a context manager \(jobs\)",
        ),
        ("subscribers = [3]", "int in its subscribers does not fit"),
        ("async def late(event): ...\nsubscribers = [late]", "late in its subscribers does not fit"),
    ],
)
def test_what_does_not_fit_around_jobs_stops_the_boot(write: Write, line: str, sentence: str) -> None:
    with pytest.raises(DiscoveryFailed, match=sentence):
        discover(write(__init__=HOOKS + line))


def test_what_cannot_be_collected_is_passed_over_where_that_is_asked_for(write: Write) -> None:
    package = write(
        **{
            "mail": PAINT.replace("paint", "send"),
            "broken": "import nosuch_library",
            "clash": PAINT.replace("paint", "send"),
            "lifespan": "lifespan = 3",
        }
    )
    failures: list[Exception] = []
    registry = discover(package, on_failure=failures.append)
    assert registry.full_names == ("video:send",)
    assert registry.lifespan is None
    assert [type(one) for one in failures] == [DiscoveryFailed, JobClash, DiscoveryFailed]
    assert discover("nosuch_package", on_failure=failures.append).jobs == ()


ALIASES = """
from rota.model.job import job

@job(queue="video", aliases=("draw", "sketch"))
async def paint(run): ...
"""


def test_a_job_is_found_by_names_that_it_had_before(write: Write) -> None:
    registry = discover(write(a=ALIASES))
    (paint,) = registry.jobs
    assert [registry.find(name) for name in ("draw", "video:sketch", "paint")] == [paint] * 3
    assert registry.full_names == ("video:paint",)
    assert set(registry.for_queue("video")) == {"paint"}


@pytest.mark.parametrize("other", ["draw", "sketch"])
def test_an_alias_that_is_the_name_of_another_job_is_refused(write: Write, other: str) -> None:
    with pytest.raises(JobClash, match=f"two jobs are named video:{other}"):
        discover(write(a=ALIASES, b=PAINT.replace("paint", other)))


def test_an_alias_of_two_jobs_is_refused(write: Write) -> None:
    with pytest.raises(JobClash, match="two jobs are named video:draw"):
        discover(write(a=ALIASES, b=ALIASES.replace("paint", "redraw").replace('"sketch"', "")))
