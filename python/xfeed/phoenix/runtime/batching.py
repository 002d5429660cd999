"""Requests that arrive together are computed together.

There is no thread of its own: the first request to come leads. It takes what queues, up to a
limit, computes all of it, hands out the answers, and passes the lead to the next in the queue.
So nothing waits while nothing runs, and a request alone pays two locks. Every request gets its
own answer or its own error.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class _Waiting(Generic[Job, Answer]):
    """A request in the queue, and later its answer, its error or the lead."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.woken = threading.Event()
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.is_done = False


class Batcher(Generic[Job, Answer]):
    """Groups calls of `run` from several threads.

    Args:
        run: computes several jobs; gives one answer each, in order.
        max_jobs: most jobs of a group; with 1 every caller computes its own at once.
        wait_ms: how long a leader waits for a full group.
    """

    def __init__(
        self, run: Callable[[Sequence[Job]], Sequence[Answer]], max_jobs: int, wait_ms: float
    ) -> None:
        self._run = run
        self._max_jobs = max_jobs
        self._wait_secs = wait_ms / 1_000
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._queue: deque[_Waiting[Job, Answer]] = deque()
        self._is_led = False
        self._n_groups = self._n_jobs = 0

    @property
    def mean_group_len(self) -> float:
        """Jobs per group since loading; 0 before the first."""
        with self._lock:
            return self._n_jobs / self._n_groups if self._n_groups else 0.0

    def submit(self, job: Job) -> Answer:
        """Computes a job, alone or with others; returns its answer or raises its error."""
        if self._max_jobs == 1:
            return self._run([job])[0]
        mine: _Waiting[Job, Answer] = _Waiting(job)
        with self._lock:
            self._queue.append(mine)
            leads = not self._is_led
            self._is_led = True
            self._arrived.notify()
        if not leads:
            mine.woken.wait()
            leads = not mine.is_done
        if leads:
            # the queue is in order, so the leader's own job is the first of the group
            self._lead()
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None
        return mine.answer

    def _lead(self) -> None:
        """Computes one group and passes the lead on."""
        group: list[_Waiting[Job, Answer]] = []
        try:
            group = self._gathered()
            self._compute(group)
        finally:
            with self._lock:
                if self._queue:
                    self._queue[0].woken.set()
                else:
                    self._is_led = False
            for waiting in group:
                waiting.is_done = True
                waiting.woken.set()

    def _gathered(self) -> list[_Waiting[Job, Answer]]:
        """Takes jobs from the queue, waiting for more as long as allowed."""
        until = time.monotonic() + self._wait_secs
        with self._lock:
            while len(self._queue) < self._max_jobs:
                left = until - time.monotonic()
                if left <= 0 or not self._arrived.wait(left):
                    break
            group = [self._queue.popleft() for _ in range(min(self._max_jobs, len(self._queue)))]
            self._n_groups += 1
            self._n_jobs += len(group)
        return group

    def _compute(self, group: list[_Waiting[Job, Answer]]) -> None:
        """Fills in answers; when a group fails, each job is tried alone to find whose fault."""
        try:
            answers = self._run([waiting.job for waiting in group])
            for waiting, answer in zip(group, answers, strict=True):
                waiting.answer = answer
        except Exception as error:  # noqa: BLE001 - it is raised again where it belongs
            if len(group) == 1:
                group[0].error = error
                return
            for waiting in group:
                self._compute([waiting])
        except BaseException as error:
            # an interrupt belongs to the thread that leads, and the others must not wait forever
            for waiting in group[1:]:
                waiting.error = RuntimeError(f"the request was interrupted with another: {error!r}")
            raise
