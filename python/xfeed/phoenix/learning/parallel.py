"""Runs two trainings side by side, each on one thread."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch

from xfeed.phoenix.learning.optimize import Progress, ProgressCallback

First = TypeVar("First")
Second = TypeVar("Second")


class _Ended(Exception):  # noqa: N818 -- not an error: the other side has already failed
    """Ends a training whose result nobody will use."""


def side_by_side(
    first: Callable[[ProgressCallback], First],
    second: Callable[[ProgressCallback], Second],
    progress: ProgressCallback,
) -> tuple[First, Second]:
    """Runs two functions at once, each with one thread per torch operation.

    While they run, threads that use torch for the first time also get one thread per operation;
    the caller's number is restored afterwards. If one function fails or the caller is
    interrupted, the other ends at its next report.

    Args:
        first: gets a callback to report progress to.
        second: likewise.
        progress: where the reports go, one at a time.

    Returns:
        Both results.
    """
    lock = threading.Lock()
    ended = threading.Event()

    def report(state: Progress) -> None:
        if ended.is_set():
            raise _Ended
        with lock:
            progress(state)

    n_threads = torch.get_num_threads()
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        results: tuple[Future[First], Future[Second]] = (
            pool.submit(first, report),
            pool.submit(second, report),
        )
        try:
            done, _ = wait(list[Future[Any]](results), return_when=FIRST_EXCEPTION)
            for result in done:
                result.result()
        finally:
            ended.set()
            torch.set_num_threads(n_threads)
    return results[0].result(), results[1].result()
