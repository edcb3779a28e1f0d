"""The pool: here or in other processes, the results are the same, in order."""

from __future__ import annotations

import math
import operator
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parties.network.worker_pool import WORTH_SPAWNING, Pool
from vsplit.protocol import LocalError

MANY = WORTH_SPAWNING


def on_processes() -> bool:
    return False


@pytest.fixture(scope="module")
def processes() -> Iterator[Pool]:
    with Pool(2, threads=on_processes) as pool:
        assert pool.run(math.factorial, [(number,) for number in range(MANY)])  # the processes are there now
        yield pool


@pytest.fixture(scope="module")
def threads() -> Iterator[Pool]:
    with Pool(2, threads=lambda: True) as pool:
        yield pool


@pytest.fixture(params=["here", "threads", "processes"])
def pool(request: pytest.FixtureRequest) -> Pool:
    return Pool() if request.param == "here" else request.getfixturevalue(request.param)


def test_results_come_in_the_order_of_the_pieces(pool: Pool) -> None:
    pieces = [(1000 - number, 7) for number in range(3 * MANY)]
    assert pool.run(divmod, pieces) == [divmod(*piece) for piece in pieces]
    assert pool.run(divmod, []) == []


def test_an_exception_of_a_piece_is_raised_and_the_pool_goes_on(pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        pool.run(divmod, [(1, 1)] * MANY + [(1, 0)])
    assert pool.run(divmod, [(7, 2)]) == [(3, 1)]


def test_work_may_be_started_and_collected_later_in_any_order(pool: Pool) -> None:
    first = pool.start(divmod, [(number, 3) for number in range(MANY)])
    second = pool.start(divmod, [(number, 5) for number in range(MANY)])
    assert pool.collect(second) == [divmod(number, 5) for number in range(MANY)]
    assert pool.collect(first) == [divmod(number, 3) for number in range(MANY)]


def test_a_ticket_of_nobody_is_refused(pool: Pool) -> None:
    with pytest.raises(TypeError):
        pool.collect("ticket")


def test_work_runs_in_other_processes_which_do_not_import_torch(processes: Pool) -> None:
    ids = set(processes.run(os.getpid, [()] * MANY))
    assert os.getpid() not in ids
    assert 1 <= len(ids) <= 2
    for name in ("torch", "pandas", "sklearn"):
        loaded = processes.run(operator.contains, [(_Loaded(), name)] * MANY)
        assert loaded == [False] * MANY
    assert processes.run(operator.contains, [(_Loaded(), "operator")]) == [True]


class _Loaded:
    """Becomes the names of the modules of the process that it is sent to."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("list(__import__('sys').modules)",)


def test_a_little_work_starts_no_process() -> None:
    with Pool(2, threads=on_processes) as pool:
        assert pool.run(os.getpid, [()] * (WORTH_SPAWNING - 1)) == [os.getpid()] * (WORTH_SPAWNING - 1)


def test_a_process_that_the_system_ends_is_said_in_a_sentence() -> None:
    with (
        Pool(2, threads=on_processes) as pool,
        pytest.raises(LocalError, match=r"worker process .* was killed.*more memory"),
    ):
        pool.run(os._exit, [(9,)] * MANY)


def test_threads_work_at_the_same_time_in_this_process(threads: Pool) -> None:
    meeting = threading.Barrier(2)
    assert sorted(threads.run(meeting.wait, [(60,), (60,)])) == [0, 1]  # neither returns before both are there
    assert threads.run(os.getpid, [(), ()]) == [os.getpid()] * 2


def test_one_piece_starts_no_thread_and_asks_for_no_kernel() -> None:
    asked: list[bool] = []
    with Pool(2, threads=lambda: asked.append(True) is None) as pool:
        assert pool.run(threading.get_ident, [()]) == [threading.get_ident()]
        assert not asked
        assert pool.run(threading.get_ident, [(), ()]) != [threading.get_ident()] * 2
        assert asked == [True]


def test_workers_use_the_portable_twin_without_a_trial_of_their_own(processes: Pool) -> None:
    assert processes.run(os.getenv, [("VSPLIT_KERNELS",)]) == ["portable"]


def test_with_one_worker_nothing_is_loaded_and_nothing_is_spawned() -> None:
    with Pool(1) as pool:
        assert pool.run(os.getpid, [()] * 100) == [os.getpid()] * 100


def test_workers_end_with_a_party_that_is_killed(tmp_path: Path) -> None:
    """The party is a process of its own here; its worker's pid is asked for, then the party is killed without a word."""
    script = tmp_path / "party.py"
    script.write_text(
        "import os, time\n"
        "from parties.network.worker_pool import Pool\n"
        "if __name__ == '__main__':\n"
        "    pool = Pool(2, threads=lambda: False)\n"
        "    print(*set(pool.run(os.getpid, [()] * 20)), flush=True)\n"
        "    time.sleep(600)\n"
    )
    party = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert party.stdout is not None
    workers = [int(word) for word in party.stdout.readline().split()]
    party.kill()
    party.wait()
    party.stdout.close()
    assert workers
    deadline = time.monotonic() + 60  # a safety net: a worker sees it at once
    while any(Path(f"/proc/{worker}").exists() and not is_zombie(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.05)


def is_zombie(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_workers_run_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "socket.py").write_text("raise ImportError('a file of the working folder')\n")
    monkeypatch.chdir(tmp_path)
    with Pool(2, threads=on_processes) as pool:
        assert pool.run(divmod, [(7, 2)] * MANY) == [(3, 1)] * MANY
