"""Runs a function under strace, which counts its system calls on some paths and breaks one."""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

CALLS = "openat,write,read,fsync,fdatasync,rename,unlink,mkdir,close"

PARENT = """
import ctypes, os, signal, sys

{program}

for job in sys.stdin:
    out, *arguments = job.split()
    pid = os.fork()
    if pid == 0:
        # Where only descendants may be traced, anybody may trace this one.
        ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.kill(os.getpid(), signal.SIGSTOP)
        main(*arguments)
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Ran(NamedTuple):
    """How a run ended.

    Attributes:
        code: exit status; minus the signal that ended it.
        out: what it said.
        calls: names of its system calls on the watched paths, in order.
    """

    code: int
    out: str
    calls: list[str]


@functools.cache
def _problem() -> str:
    if shutil.which("strace") is None:
        return "strace is not installed (Debian: apt-get install strace)"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.decode()}"


def need_strace() -> None:
    """Skips the test where there is no strace; in CI there has to be one."""
    if _problem():
        assert not os.environ.get("CI"), _problem()
        pytest.skip(_problem())


class Traced:
    """Runs `main` of a Python program again and again; what it imports is imported once.

    Args:
        program: defines `main`, whose arguments are texts without spaces.
        scratch: where output and traces lie.
    """

    def __init__(self, program: str, scratch: Path) -> None:
        self._scratch = scratch
        self._parent = subprocess.Popen(
            [sys.executable, "-c", PARENT.format(program=program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _number(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())

    def run(
        self, *arguments: str, paths: Sequence[Path], inject: str = "", calls: str = CALLS
    ) -> Ran:
        """Runs it once; `inject` is what strace does to a call on `paths`.

        The number after `when=` counts the calls of each name for itself.
        """
        assert self._parent.stdin is not None
        out, log = self._scratch / "out", self._scratch / "calls"
        print(out, *arguments, file=self._parent.stdin, flush=True)
        pid = self._number()
        watched = [part for path in paths for part in ("-P", str(path))]
        broken = ["-e", f"inject={inject}"] if inject else []
        command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", *broken, *watched]
        with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE) as strace:
            while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
                assert strace.poll() is None, strace.stderr and strace.stderr.read()
                time.sleep(0.002)
            os.kill(pid, signal.SIGCONT)
            code = self._number()
        names = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE)
        return Ran(code, out.read_text(), names)

    def close(self) -> None:
        """Ends the parent."""
        self._parent.communicate()
