"""What the image's build cuts from compiled modules: nothing that a program loads."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop.loop

from deploy.image.trim import trimmed

COMPILED = Path(uvloop.loop.__file__)
NO_SECTIONS = bytes(8)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other files")
def test_a_module_without_what_debuggers_read_works(tmp_path: Path) -> None:
    whole = COMPILED.read_bytes()
    package = tmp_path / "uvloop"
    shutil.copytree(COMPILED.parent, package)
    (package / COMPILED.name).write_bytes(trimmed(whole))
    code = "import asyncio, uvloop; print(uvloop.run(asyncio.sleep(0, 'ran')), uvloop.loop.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["ran", str(package / COMPILED.name)]
    assert len(trimmed(whole)) < len(whole) / 2
    assert b".debug_info" not in trimmed(whole)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other files")
def test_what_was_cut_is_cut_no_further() -> None:
    once = trimmed(COMPILED.read_bytes())
    assert once[40:48] == NO_SECTIONS
    assert trimmed(once) == once


@pytest.mark.parametrize("other", [b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(60), b"INPUT(libm.so.6)\n"])
def test_what_is_no_such_module_stays_as_it_is(other: bytes) -> None:
    assert trimmed(other) == other
