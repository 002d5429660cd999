"""Requests that arrive together are computed together.

There is no thread of its own: the first request to come leads. It takes what queues, up to a
limit, and computes until its own answer is there; then the lead goes to another of the group, which
computes on from there, or to the next in the queue. So nothing waits while nothing runs, a request
is answered when it is done and not when its group is, and a request alone pays two locks. Every
request gets its own answer or its own error.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class _Waiting(Generic[Job, Answer]):
    """A request that was submitted, and later the lead, its answer or its error.

    Attributes:
        job: what is to be computed.
        deadline: moment of `time.monotonic` at which it leaves the queue; None for none.
        woken: set when there is something to do or to take.
        leads: whether its thread is the one that computes.
        is_gone: whether its thread was interrupted, so that nobody waits for the answer.
        is_alone: whether a group with it failed, so that it is computed by itself.
    """

    def __init__(self, job: Job, deadline: float | None) -> None:
        self.job = job
        self.deadline = deadline
        self.woken = threading.Event()
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.is_done = self.leads = self.is_gone = self.is_alone = False

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it still."""
        return not (self.is_done or self.is_gone)

    def finish(self, answer: Answer | None, error: Exception | None = None) -> None:
        """Hands out the answer or the error."""
        self.answer, self.error = answer, error
        self.is_done = True
        self.woken.set()


class _Group(Generic[Job, Answer]):
    """Requests that are computed together, and their answers as they come."""

    def __init__(
        self, members: list[_Waiting[Job, Answer]], answers: Iterator[tuple[int, Answer]]
    ) -> None:
        self.members = members
        self.answers = answers

    @property
    def awaited(self) -> list[_Waiting[Job, Answer]]:
        """Members that have no answer yet and want one."""
        return [member for member in self.members if member.is_awaited]


class Batcher(Generic[Job, Answer]):
    """Groups calls of `run` from several threads.

    Args:
        run: computes several jobs; gives the place of each among them and its answer, as soon as
            it has it. It may be continued in another thread after any answer.
        max_jobs: most jobs of a group; with 1 every caller computes its own at once.
        wait_ms: how long a leader waits for a full group.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Job]], Iterator[tuple[int, Answer]]],
        max_jobs: int,
        wait_ms: float,
    ) -> None:
        self._run = run
        self._max_jobs = max_jobs
        self._wait_secs = wait_ms / 1_000
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._queue: deque[_Waiting[Job, Answer]] = deque()
        self._running: _Group[Job, Answer] | None = None
        self._is_led = False
        self._n_groups = self._n_jobs = 0

    @property
    def mean_group_len(self) -> float:
        """Jobs per group since loading; 0 before the first."""
        with self._lock:
            return self._n_jobs / self._n_groups if self._n_groups else 0.0

    def submit(self, job: Job, deadline: float | None = None) -> Answer:
        """Computes a job, alone or with others; returns its answer or raises its error.

        Args:
            job: the job.
            deadline: moment of `time.monotonic` after which it no longer stands in the queue: then
                `run` gets it by itself and at once, beside whatever is running.
        """
        if self._max_jobs == 1:
            return self._alone(job)
        mine: _Waiting[Job, Answer] = _Waiting(job, deadline)
        try:
            self._enter(mine)
            while not mine.is_done:
                self._wait(mine)
                self._lead(mine)
        except BaseException:
            self._leave(mine)
            raise
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None
        return mine.answer

    def _alone(self, job: Job) -> Answer:
        ((_, answer),) = self._run([job])
        return answer

    def _enter(self, mine: _Waiting[Job, Answer]) -> None:
        with self._lock:
            self._queue.append(mine)
            mine.leads = not self._is_led
            self._is_led = True
            self._arrived.notify()

    def _wait(self, mine: _Waiting[Job, Answer]) -> None:
        """Waits for the lead or the answer, in the queue no longer than until the deadline."""
        if mine.leads:
            return
        left = None if mine.deadline is None else max(mine.deadline - time.monotonic(), 0)
        if mine.woken.wait(left):
            return
        with self._lock:
            is_late = not mine.woken.is_set() and mine in self._queue
            if is_late:
                self._queue.remove(mine)
        if is_late:
            mine.finish(self._alone(mine.job))
        # a group that runs looks at the clock itself
        mine.woken.wait()

    def _lead(self, mine: _Waiting[Job, Answer]) -> None:
        """Computes, while leading, until the own answer is there or the group has failed."""
        while mine.leads:
            self._step(self._running or self._gathered())
            with self._lock:
                if mine.is_done or self._running is None:
                    self._pass_lead(mine)

    def _leave(self, mine: _Waiting[Job, Answer]) -> None:
        """Takes out a request whose thread was interrupted; the others get their answers."""
        with self._lock:
            mine.is_gone = True
            if mine in self._queue:
                self._queue.remove(mine)
            if mine.leads:
                # what was interrupted cannot be continued
                self._requeue()
                self._pass_lead(mine)

    def _requeue(self) -> None:
        """Puts what the running group left back to the front of the queue, each by itself.

        Each is then computed in its own thread, and harms no other.
        """
        if self._running is not None:
            awaited = self._running.awaited
            for member in awaited:
                member.is_alone = True
            self._queue.extendleft(reversed(awaited))
            self._running = None

    def _pass_lead(self, mine: _Waiting[Job, Answer]) -> None:
        """Gives the lead to who waits in the running group, else to the next in the queue."""
        mine.leads = False
        if not mine.is_done:
            mine.woken.clear()
        awaited = [] if self._running is None else self._running.awaited
        if not awaited:
            self._running = None
        following = awaited[:1] or list(self._queue)[:1]
        self._is_led = bool(following)
        for one in following:
            one.leads = True
            one.woken.set()

    def _gathered(self) -> _Group[Job, Answer]:
        """Takes jobs from the queue, waiting for more as long as allowed."""
        start = time.monotonic()
        with self._lock:
            # there is at least one: whoever leads without a group stands in the queue
            while len(self._queue) < self._max_jobs and not self._queue[0].is_alone:
                ends = [one.deadline for one in self._queue if one.deadline is not None]
                left = min([start + self._wait_secs, *ends]) - time.monotonic()
                if left <= 0 or not self._arrived.wait(left):
                    break
            group = [self._queue.popleft()]
            if not group[0].is_alone:
                while self._queue and len(group) < self._max_jobs and not self._queue[0].is_alone:
                    group.append(self._queue.popleft())
                self._n_groups += 1
                self._n_jobs += len(group)
            # at once, so that whoever interrupts this loses nobody
            self._running = _Group(group, self._run([waiting.job for waiting in group]))
            return self._running

    def _step(self, group: _Group[Job, Answer]) -> None:
        """Computes up to the next answer; when a group fails, each job is tried by itself."""
        try:
            place, answer = next(group.answers)
        except Exception as error:  # noqa: BLE001 - it is raised again where it belongs
            with self._lock:
                if len(group.members) == 1:
                    group.members[0].finish(None, error)
                self._requeue()
            return
        group.members[place].finish(answer)
        if not group.awaited:
            self._running = None
