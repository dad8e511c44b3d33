"""Independent runs over worker processes: each with its own threads, each run on its own."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bioner_fast.experiments.store import record_failure

Job = dict[str, Any]
Answer = dict[str, Any]

# How long workers get to save their checkpoints after Ctrl-C, in seconds.
_GRACE = 60.0
# Libraries that make their own threads.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class _Worker:
    """A process that does jobs one after another; a new one takes its place if it dies."""

    def __init__(self, number: int, threads: int, logs: Path) -> None:
        self.log = logs / f"worker-{number}.log"
        self.threads = threads
        self.process: subprocess.Popen[str] | None = None
        self.stopping = False

    def do(self, job: Job) -> Answer:
        """Hand over a job and wait for the answer."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        if line:
            answer: Answer = json.loads(line)
            return answer
        status = process.wait()
        self.process = None
        if self.stopping:  # before it could train, or after
            return {"status": "interrupted"}
        how = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
        reason = f"its process was {how}" if status < 0 else f"its process {how}"
        reason += "; memory may have run out" if status == -9 else f"; see {self.log}"
        record_failure(Path(job["folder"]), reason)
        return {"status": "failed", "reason": reason}

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "a", encoding="utf-8") as log:
                self.process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "bioner_fast.lifeline"),
                        *(str(os.getpid()), "bioner_fast.experiments.worker"),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    encoding="utf-8",
                    env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(self.threads))},
                    # A terminal sends Ctrl-C to all that it started; the programme passes it on, once.
                    start_new_session=True,
                )
        return self.process

    def interrupt(self) -> None:
        """Ask for a checkpoint; the run at work answers that it was interrupted."""
        self.stopping = True
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End the process; without a job it ends at once."""
        if self.process is not None:
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                pipe.close()
            self.process.wait()
            self.process = None


class _JobQueue:
    """Jobs in order; one that comes ``after`` another waits for its end, and fails with it if it needs it."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = list(jobs)
        self.open = {job["folder"] for job in jobs}
        self.bad: dict[str, Answer] = {}
        self.changed = threading.Condition()
        self.stopped = False

    def take(self) -> Job | None:
        """The next job that can be done, as soon as there is one; None when there are no more."""
        with self.changed:
            while self.jobs and not self.stopped:
                for place, job in enumerate(self.jobs):
                    if job.get("after") not in self.open:
                        return self.jobs.pop(place)
                self.changed.wait()
            return None

    def hindered(self, job: Job) -> Answer | None:
        """The answer to a job whose predecessor was not done."""
        before = job.get("after")
        if before not in self.bad or not job.get("needs"):
            return None
        if self.bad[before]["status"] == "busy":
            return {"status": "busy"}
        reason = f"{Path(before).name}, which it starts from, failed: {self.bad[before]['reason']}"
        record_failure(Path(job["folder"]), reason)
        return {"status": "failed", "reason": reason}

    def finish(self, job: Job, answer: Answer) -> None:
        """Let those go that waited for this one."""
        with self.changed:
            self.open.discard(job["folder"])
            self.stopped |= answer["status"] == "interrupted"
            if answer["status"] in ("failed", "busy"):
                self.bad[job["folder"]] = answer
                self._lead(job["folder"])
            self.changed.notify_all()

    def _lead(self, folder: str) -> None:
        """Jobs that waited for this one and can do without: let the first go, the others wait for it."""
        waiting = [job for job in self.jobs if job.get("after") == folder and not job.get("needs")]
        for job in waiting:
            job["after"] = None if job is waiting[0] else waiting[0]["folder"]

    def stop(self) -> None:
        """Hand out no more."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


def run_jobs(
    jobs: Sequence[Job], *, workers: int, threads: int, logs: Path, done: Callable[[Job, Answer], None]
) -> None:
    """Do all jobs, in order, over so many processes.

    Args:
        jobs: as :func:`bioner_fast.experiments.worker.work` takes them; ``after``, if there is one, is the
            folder of a job that has to end first, and to end well if ``needs`` is true.
        workers: processes at once.
        threads: of each process.
        logs: folder for what the processes say outside of runs.
        done: called with every job and its answer, one call at a time.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came; the runs at work have saved checkpoints.
    """
    waiting = _JobQueue(jobs)
    staff = [_Worker(number + 1, threads, logs) for number in range(min(workers, len(jobs)))]
    answers: queue.SimpleQueue[tuple[Job, Answer] | None] = queue.SimpleQueue()

    def serve(worker: _Worker) -> None:
        try:
            while (job := waiting.take()) is not None:
                answer = waiting.hindered(job) or worker.do(job)
                waiting.finish(job, answer)
                answers.put((job, answer))
        finally:
            answers.put(None)

    serving = [threading.Thread(target=serve, args=(worker,), daemon=True) for worker in staff]
    with _TerminationInterrupts():
        for thread in serving:
            thread.start()
        try:
            left = len(staff)
            while left:
                answer = answers.get()
                if answer is None:
                    left -= 1
                elif answer[1]["status"] == "interrupted":
                    raise KeyboardInterrupt
                else:
                    done(*answer)
        except BaseException:
            waiting.stop()
            for worker in staff:
                worker.interrupt()
            for thread in serving:
                thread.join(_GRACE)
            raise
        finally:
            for worker in staff:
                worker.close()


class _TerminationInterrupts:
    """SIGTERM as KeyboardInterrupt, in the main thread."""

    def __enter__(self) -> None:
        self.old: Any = None
        if threading.current_thread() is threading.main_thread():
            self.old = signal.signal(signal.SIGTERM, _raise_interrupt)

    def __exit__(self, *_: object) -> None:
        if self.old is not None:
            signal.signal(signal.SIGTERM, self.old)


def _raise_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
