"""Follows the guide: its commands are run by a shell, in a copy of the checkout, in the order in which it has them.

kubectl is the real one. What needs no cluster it does; all else it has to understand, until it finds that there is
none. docker and kind are only noted: the tests of the image build and run it.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.container.checkout import copy_checkout
from tests.template.kubernetes.built import KUBECTL, ROOT

GUIDE = ROOT / "docs" / "kubernetes.md"
#: Stands for a program: notes how it was called, and lets the real kubectl answer.
_NOTING = f"""#!{sys.executable}
import json, os, subprocess, sys
program, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
with open(os.environ["NOTES"], "a") as notes:
    print(json.dumps([program, *arguments]), file=notes)
if program != "kubectl":
    sys.exit()
if arguments[0] == "kustomize":
    os.execv({KUBECTL!r}, ["kubectl", *arguments])
nowhere = ["--server=http://127.0.0.1:1", "--request-timeout=2s"]
ran = subprocess.run([{KUBECTL!r}, *nowhere, *arguments], capture_output=True, text=True)
sys.exit(0 if ran.returncode and "refused" in ran.stderr else f"{{arguments}}: {{ran.stderr}}")
"""
#: Who commits the copy, whatever the machine's own configuration says.
_SOMEONE = "-c user.name=rota -c user.email=rota@example.com -c commit.gpgsign=false"


@dataclass(frozen=True)
class Followed:
    """The guide's commands when they have run: the copy in which they did, and how the programs were called."""

    copy: Path
    calls: list[list[str]]


def commands(page: Path) -> list[str]:
    """Return the lines of a page that are commands: those that are indented, outside of fences and lists."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
    return re.findall(r"(?m)^    (\S.*)$", text)


def follow(folder: Path) -> Followed:
    """Run all commands of the guide in a copy of this checkout; return what came of them."""
    copy = copy_checkout(folder / "checkout")
    (copy / ".venv").symlink_to(ROOT / ".venv")
    for asked in ("init --quiet", "add --all", f"{_SOMEONE} commit --quiet --message=Begin"):
        subprocess.run(["git", *asked.split()], cwd=copy, check=True)
    programs = folder / "programs"
    programs.mkdir()
    for name in ("kubectl", "docker", "kind"):
        (programs / name).write_text(_NOTING, "utf-8")
        (programs / name).chmod(0o755)
    notes = folder / "notes"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands(GUIDE))],
        cwd=copy,
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder), "NOTES": str(notes)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return Followed(copy, [json.loads(line) for line in notes.read_text("utf-8").splitlines()])
