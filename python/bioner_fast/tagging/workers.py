"""Worker processes, each with a tagger of its own, that tag one input after another."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, NoReturn

from bioner_fast import lifeline
from bioner_fast.errors import BionerError
from bioner_fast.interruption import deliver_lost_interrupts
from bioner_fast.log import logger
from bioner_fast.tagging.manifest import ShardRecord
from bioner_fast.tagging.shards import Shard, TaggerSettings, TagOptions, check_output, tag_shard

# How long a worker that was told to stop may take to throw its unfinished output away.
_PATIENCE = 5.0


@dataclass(slots=True)
class _Process:
    process: Any  # multiprocessing.context.SpawnProcess
    connection: Connection
    shard: int | None = None  # what it works on
    busy: bool = True  # whether it would have to be told to stop


class Workers:
    """Some processes that tag shards. Leaving the ``with`` block stops them, however far they are.

    Processes are spawned, not forked: threads and CUDA survive no fork. A worker whose parent is gone ends.

    Args:
        number: of processes.
        settings: what each loads.
        options: how each tags.
        gpus: GPUs to deal out to them, 0 for none.

    Raises:
        BionerError: the model cannot be loaded.
    """

    def __init__(self, number: int, settings: TaggerSettings, options: TagOptions, gpus: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._workers: list[_Process] = []
        try:
            for index in range(number):
                here, there = context.Pipe()
                process = context.Process(
                    target=lifeline.start,
                    args=(os.getpid(), __name__, "_serve", there),
                    name=f"bioner-worker-{index + 1}",
                )
                process.start()
                there.close()
                self._workers.append(_Process(process, here))
                # Not among the arguments: a worker ties itself to this process before it imports what
                # these are.
                with contextlib.suppress(OSError):  # it has ended; that is found below
                    here.send((settings, options, index % gpus if gpus else None))
            waiting = list(self._workers)
            while waiting:  # all have loaded the model
                worker, _ = self._next(waiting)
                worker.busy = False
                waiting.remove(worker)
        except BaseException:
            self.stop()
            raise

    def run(self, shards: Sequence[Shard]) -> Iterator[tuple[int, ShardRecord]]:
        """Tag shards; yields (index, record) as they are done, in any order.

        Raises:
            BionerError: a shard failed for another reason than its input, or a worker ended.
        """
        todo = iter(range(len(shards)))
        for worker in self._workers:
            self._give(worker, shards, todo)
        while busy := [worker for worker in self._workers if worker.shard is not None]:
            worker, record = self._next(busy)
            done = worker.shard
            assert done is not None
            self._give(worker, shards, todo)
            yield done, record

    def _give(self, worker: _Process, shards: Sequence[Shard], todo: Iterator[int]) -> None:
        worker.shard = next(todo, None)
        worker.busy = worker.shard is not None
        if worker.shard is not None:
            try:
                worker.connection.send(shards[worker.shard])
            except OSError:
                self._lost(worker)

    def _next(self, among: Sequence[_Process]) -> tuple[_Process, Any]:
        """Wait for the next result; what workers log goes to our log meanwhile."""
        by_connection = {worker.connection: worker for worker in among}
        while True:
            connection = wait(list(by_connection))[0]
            worker = by_connection[connection]  # type: ignore[index]
            try:
                kind, value = worker.connection.recv()
            except (EOFError, OSError):
                self._lost(worker)
            if kind == "log":
                logger.log(*value)
            elif kind == "error":
                raise value
            else:
                return worker, value

    def _lost(self, worker: _Process) -> NoReturn:
        worker.process.join(_PATIENCE)
        code = worker.process.exitcode
        how = (
            f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        )
        raise BionerError(
            f"a worker process {how}, perhaps for lack of memory; finished outputs are kept: "
            "use fewer --workers and --resume"
        )

    def stop(self) -> None:
        """End all processes; unfinished outputs are thrown away."""
        for worker in self._workers:
            worker.connection.close()
            if worker.busy:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _ToParent(logging.Handler):
    """Sends what is logged here to the process that the user sees."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        # Logging locks around emit; results are sent under the same lock (see _send).
        self._connection.send(("log", (record.levelno, "%s", record.getMessage())))


def _serve(connection: Connection) -> None:
    """A worker: load, then tag what comes until the connection is closed."""
    # Ctrl-C reaches every process of the terminal; the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    deliver_lost_interrupts()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        settings, options, gpu = connection.recv()
    except EOFError:
        return
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(gpu)
    handler = _ToParent(connection)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def send(kind: str, value: object) -> None:
        handler.acquire()
        try:
            connection.send((kind, value))
        finally:
            handler.release()

    try:
        tagger = settings.load()
        check_output(tagger, options)
        lifeline.untie()
        send("ready", None)
        while True:
            send("done", tag_shard(tagger, connection.recv(), options))
    except EOFError:
        return
    except Exception as error:
        with contextlib.suppress(OSError):  # the parent has stopped listening
            send("error", error if isinstance(error, BionerError) else _described(error))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to throw away


def _described(error: Exception) -> RuntimeError:
    """An error that survives the way between processes, whatever its own type does."""
    import traceback

    described = RuntimeError(f"{type(error).__name__}: {error}")
    described.add_note(f"In the worker process:\n{''.join(traceback.format_exception(error))}")
    return described


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signum)


def _end_with_parent() -> None:
    """A parent that was killed cannot say so, and its unfinished work must not go on behind its successor."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _visible(gpu: int) -> str:
    """The GPU's name among those that this process may see."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in seen.split(",") if name.strip()]
    return names[gpu] if gpu < len(names) else str(gpu)
