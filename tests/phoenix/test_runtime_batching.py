"""Grouping: everybody gets their own answer or their own error, and nobody waits forever."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import Any

import pytest
from xfeed.phoenix.runtime.batching import Batcher

WAIT_SECS = 20
"""Far longer than anything here takes; a thread that is still there then is stuck."""


class Cancelled(BaseException):
    """What interrupts a request, as Ctrl-C does."""


def together(n: int, batcher: Batcher[int, int]) -> dict[int, int | BaseException]:
    """Submits 0..n from as many threads; gives what each got."""
    got: dict[int, int | BaseException] = {}
    ready = threading.Barrier(n)

    def run(job: int) -> None:
        ready.wait(WAIT_SECS)
        try:
            got[job] = batcher.submit(job)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            got[job] = error

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECS)
    assert not any(thread.is_alive() for thread in threads)
    return got


def same(jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
    return enumerate(jobs)


class Held:
    """Computes jobs when it is told to, and tells when it began; answers with the job itself."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.groups: list[list[int]] = []

    def run(self, jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
        self.groups.append(list(jobs))
        self.began.set()
        assert self.go_on.wait(WAIT_SECS)
        yield from enumerate(jobs)


class Caller(threading.Thread):
    """One request in its own thread."""

    def __init__(self, call: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.got: int | BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.got = self._call()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.got = error

    def answer(self) -> int | BaseException | None:
        self.join(WAIT_SECS)
        assert not self.is_alive()
        return self.got


def queued(batcher: Batcher[int, int], n: int) -> None:
    """Waits until `n` requests stand in the queue."""
    until = time.monotonic() + WAIT_SECS
    while len(batcher._queue) < n:
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.mark.parametrize("max_jobs", [1, 2, 3, 8, 64])
def test_everybody_gets_their_own_answer(max_jobs: int) -> None:
    groups: list[int] = []

    def run(jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
        groups.append(len(jobs))
        time.sleep(0.002)
        # in another order than they came
        yield from reversed([(place, job * job) for place, job in enumerate(jobs)])

    batcher = Batcher(run, max_jobs, 0)
    for _ in range(5):
        assert together(16, batcher) == {job: job * job for job in range(16)}
    assert sum(groups) == 80
    assert max(groups) <= max_jobs
    # while one group runs, others queue and go together
    assert max_jobs == 1 or max(groups) > 1


def test_a_leader_waits_for_others_only_as_long_as_told() -> None:
    start = time.monotonic()
    assert Batcher(same, 8, 0).submit(3) == 3
    assert time.monotonic() - start < 1
    patient = Batcher(same, 4, 10_000)
    start = time.monotonic()
    assert together(4, patient) == {job: job for job in range(4)}
    # a full group does not wait any longer
    assert time.monotonic() - start < 5
    assert patient.mean_group_len == 4


def test_a_leader_does_not_wait_for_others_past_its_deadline() -> None:
    start = time.monotonic()
    assert Batcher(same, 8, 10_000).submit(3, start + 0.05) == 3
    assert time.monotonic() - start < 5


def test_an_error_belongs_to_the_request_that_caused_it() -> None:
    def run(jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
        time.sleep(0.002)
        if 3 in jobs:
            raise ValueError("three")
        yield from ((place, -job) for place, job in enumerate(jobs))

    got = together(12, Batcher(run, 8, 5))
    error = got.pop(3)
    assert isinstance(error, ValueError)
    assert got == {job: -job for job in range(12) if job != 3}


def test_an_error_after_some_answers_takes_none_of_them_back() -> None:
    def run(jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
        for place, job in enumerate(jobs):
            if job == 3:
                raise ValueError("three")
            yield place, job

    for _ in range(20):
        got = together(8, Batcher(run, 8, 100))
        assert isinstance(got.pop(3), ValueError)
        assert got == {job: job for job in range(8) if job != 3}


def test_an_answer_does_not_wait_for_the_rest_of_its_group() -> None:
    """The leader's, too: another member computes on."""
    go_on = threading.Event()

    def run(jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
        for place, job in enumerate(jobs):
            if job == 2:
                assert go_on.wait(WAIT_SECS)
            yield place, job

    batcher = Batcher(run, 3, 10_000)
    leader = Caller(lambda: batcher.submit(0))
    queued(batcher, 1)
    second = Caller(lambda: batcher.submit(1))
    queued(batcher, 2)
    third = Caller(lambda: batcher.submit(2))
    assert leader.answer() == 0
    assert second.answer() == 1
    assert third.is_alive()
    go_on.set()
    assert third.answer() == 2
    assert batcher.submit(5, time.monotonic()) == 5


def test_a_request_leaves_the_queue_at_its_deadline() -> None:
    held = Held()
    batcher = Batcher(held.run, 2, 0)
    first = Caller(lambda: batcher.submit(1))
    assert held.began.wait(WAIT_SECS)
    late = Caller(lambda: batcher.submit(2, time.monotonic() + 0.05))
    until = time.monotonic() + WAIT_SECS
    while held.groups != [[1], [2]]:
        assert time.monotonic() < until
        time.sleep(0.001)
    # it is run by itself while the first one still runs
    assert first.is_alive()
    held.go_on.set()
    assert (first.answer(), late.answer()) == (1, 2)
    assert batcher.submit(3) == 3


def test_an_interrupt_reaches_its_thread_and_frees_the_others() -> None:
    def run(jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
        time.sleep(0.002)
        if 0 in jobs:
            raise KeyboardInterrupt
        yield from enumerate(jobs)

    batcher = Batcher(run, 4, 0)
    with pytest.raises(KeyboardInterrupt):
        batcher.submit(0)
    assert batcher.submit(1) == 1
    got = together(6, batcher)
    assert isinstance(got.pop(0), KeyboardInterrupt)
    # the thread that led the group with the culprit may be hit too, and nobody else
    hit = [job for job, answer in got.items() if isinstance(answer, KeyboardInterrupt)]
    assert len(hit) <= 1
    assert got == {job: job for job in range(1, 6)} | {job: got[job] for job in hit}


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Interrupts the main thread after some seconds, wherever it is then."""

    def cancel(_: int, __: FrameType | None) -> None:
        raise Cancelled

    before: Any = signal.signal(signal.SIGALRM, cancel)

    def after(secs: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, secs)

    yield after
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_request_that_is_interrupted_in_the_queue_leaves_it(
    alarm: Callable[[float], None],
) -> None:
    held = Held()
    batcher = Batcher(held.run, 4, 0)
    first = Caller(lambda: batcher.submit(1))
    assert held.began.wait(WAIT_SECS)
    alarm(0.05)
    with pytest.raises(Cancelled):
        batcher.submit(2)
    held.go_on.set()
    assert first.answer() == 1
    assert Caller(lambda: batcher.submit(3)).answer() == 3
    assert together(6, batcher) == {job: job for job in range(6)}
    assert not any(2 in group for group in held.groups[:2])


def test_a_request_that_is_interrupted_in_a_running_group_is_not_given_the_lead(
    alarm: Callable[[float], None],
) -> None:
    held = Held()
    batcher = Batcher(held.run, 2, 10_000)
    leader = Caller(lambda: batcher.submit(1))
    queued(batcher, 1)
    alarm(0.2)
    with pytest.raises(Cancelled):
        batcher.submit(2)
    held.go_on.set()
    assert leader.answer() == 1
    assert held.groups == [[1, 2]]
    assert Caller(lambda: batcher.submit(3, time.monotonic())).answer() == 3


@pytest.mark.parametrize("fails_first", [False, True])
def test_a_leader_that_is_interrupted_leaves_the_others_their_answers(
    alarm: Callable[[float], None], *, fails_first: bool
) -> None:
    """In a group, and while the members of a group that failed are tried one by one."""
    groups: list[list[int]] = []

    def run(jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
        groups.append(list(jobs))
        if fails_first and len(jobs) > 1:
            raise ValueError("together")
        if 0 in jobs:
            alarm(0.01)
            time.sleep(WAIT_SECS)
        yield from enumerate(jobs)

    batcher = Batcher(run, 3, 10_000)
    others: list[Caller] = []

    def follow() -> int:
        queued(batcher, 1)
        others.extend(Caller(partial(batcher.submit, job)) for job in (1, 2))
        return 0

    following = Caller(follow)
    with pytest.raises(Cancelled):
        batcher.submit(0)
    assert following.answer() == 0
    assert sorted(other.answer() for other in others) == [1, 2]  # type: ignore[type-var]
    assert sorted(groups[0]) == [0, 1, 2]
    assert Caller(lambda: batcher.submit(3, time.monotonic())).answer() == 3
