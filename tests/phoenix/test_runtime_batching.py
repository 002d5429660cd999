"""Grouping: everybody gets their own answer or their own error, and nobody waits forever."""

import threading
import time
from collections.abc import Sequence

import pytest
from xfeed.phoenix.runtime.batching import Batcher

WAIT_SECS = 20
"""Far longer than anything here takes; a thread that is still there then is stuck."""


def together(n: int, batcher: Batcher[int, int]) -> dict[int, int | BaseException]:
    """Submits 0..n from as many threads; gives what each got."""
    got: dict[int, int | BaseException] = {}
    ready = threading.Barrier(n)

    def run(job: int) -> None:
        ready.wait(WAIT_SECS)
        try:
            got[job] = batcher.submit(job)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            got[job] = error

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECS)
    assert not any(thread.is_alive() for thread in threads)
    return got


@pytest.mark.parametrize("max_jobs", [1, 2, 3, 8, 64])
def test_everybody_gets_their_own_answer(max_jobs: int) -> None:
    groups: list[int] = []

    def run(jobs: Sequence[int]) -> list[int]:
        groups.append(len(jobs))
        time.sleep(0.002)
        return [job * job for job in jobs]

    batcher = Batcher(run, max_jobs, 0)
    for _ in range(5):
        assert together(16, batcher) == {job: job * job for job in range(16)}
    assert sum(groups) == 80
    assert max(groups) <= max_jobs
    # while one group runs, others queue and go together
    assert max_jobs == 1 or max(groups) > 1


def test_a_leader_waits_for_others_only_as_long_as_told() -> None:
    def run(jobs: Sequence[int]) -> list[int]:
        return list(jobs)

    start = time.monotonic()
    assert Batcher(run, 8, 0).submit(3) == 3
    assert time.monotonic() - start < 1
    patient = Batcher(run, 4, 10_000)
    start = time.monotonic()
    assert together(4, patient) == {job: job for job in range(4)}
    # a full group does not wait any longer
    assert time.monotonic() - start < 5
    assert patient.mean_group_len == 4


def test_an_error_belongs_to_the_request_that_caused_it() -> None:
    def run(jobs: Sequence[int]) -> list[int]:
        time.sleep(0.002)
        if 3 in jobs:
            raise ValueError("three")
        return [-job for job in jobs]

    got = together(12, Batcher(run, 8, 5))
    error = got.pop(3)
    assert isinstance(error, ValueError)
    assert got == {job: -job for job in range(12) if job != 3}


def test_an_interrupt_reaches_its_thread_and_frees_the_others() -> None:
    def run(jobs: Sequence[int]) -> list[int]:
        time.sleep(0.002)
        if 0 in jobs:
            raise KeyboardInterrupt
        return list(jobs)

    batcher = Batcher(run, 4, 0)
    with pytest.raises(KeyboardInterrupt):
        batcher.submit(0)
    assert batcher.submit(1) == 1
    assert together(6, Batcher(list, 4, 0)) == {job: job for job in range(6)}
