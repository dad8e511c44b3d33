"""Several processes that train one network: ``torchrun --nproc-per-node 2 -m bioner_fast train ...``.

Every process plans the same batches, each of ``batch_size`` tokens for every process, takes its share of
each, and adds up gradients with the others: the run is that of one process with a batch so many times larger.
All hold the same weights and judge devel alike; the first one (rank 0) writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import distributed as dist

from bioner_fast.errors import UsageError
from bioner_fast.models.batch import Batch
from bioner_fast.ops import gated


class Processes:
    """The processes of a run, and which of them this one is.

    Args:
        rank: of this process.
        size: how many there are.

    Example:
        >>> Processes().alone
        True
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.stopping = False  # asked to stop, here or anywhere
        self._stop_here = False

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """This process's part of a batch; its ``total`` stays that of the batch.

        Where the batch is of whole sentences so is the part: those whose middle lies in it.
        """
        if self.alone:
            return batch
        low, high = (batch.size * number // self.size for number in (self.rank, self.rank + 1))
        if not batch.offsets:
            return _rows(batch, low, high)
        return _sentences(batch, low, high)

    def add_gradients(self, parameters: Sequence[Tensor], loss: Tensor | None) -> Tensor:
        """Replace gradients by their sums over the processes; the sum of the losses."""
        like = parameters[0]
        loss = like.new_zeros(()) if loss is None else loss.detach()
        if self.alone:
            return loss
        stop = like.new_full((), float(self._stop_here))
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        buffer = torch.cat([*(part.reshape(-1) for part in parts), loss.view(1), stop.view(1)])
        dist.all_reduce(buffer)
        sums = torch.split(buffer, [*(part.numel() for part in parts), 1, 1])
        for parameter, total in zip(parameters, sums, strict=False):
            parameter.grad = total.view_as(parameter)
        self._stopped = sums[-1]
        if not like.is_cuda:
            self.poll()
        total_loss: Tensor = sums[-2].view(())
        return total_loss

    def add_rows(
        self, rows: tuple[Tensor, Tensor] | None, table: Tensor | None
    ) -> tuple[Tensor, Tensor] | None:
        """Row numbers and gradients of all processes, one after another; None where nothing is tuned."""
        if self.alone or table is None:
            return rows
        numbers, gradients = rows or (
            torch.zeros(0, dtype=torch.int64, device=table.device),
            table.new_zeros(0, table.shape[1]),
        )
        gradients = gradients[:, : table.shape[1]]
        sizes = [torch.zeros(1, dtype=torch.int64, device=table.device) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(numbers)], device=table.device))
        counts = [int(size) for size in sizes]
        most = max(counts)  # all_gather wants equal shapes
        padded = numbers.new_zeros(most), gradients.new_zeros(most, gradients.shape[1])
        padded[0][: len(numbers)], padded[1][: len(numbers)] = numbers, gradients
        found = []
        for part in padded:
            everyone = [torch.empty_like(part) for _ in range(self.size)]
            dist.all_gather(everyone, part)
            found.append(torch.cat([x[:count] for x, count in zip(everyone, counts, strict=True)]))
        return found[0], found[1]

    def ask_to_stop(self) -> None:
        """Stop all processes after the same step: the next one."""
        self._stop_here = True
        if self.alone:
            self.stopping = True

    def poll(self) -> None:
        """Learn whether somebody asked to stop; makes a device wait."""
        if not self.alone:
            self.stopping = bool(self._stopped > 0)

    def wait(self) -> None:
        """Wait for all processes."""
        if not self.alone:
            dist.barrier()

    _stopped: Tensor = torch.zeros(1)


def is_first() -> bool:
    """Whether this is the process that writes and prints, as far as ``torchrun`` says."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


@contextmanager
def connected(device: torch.device) -> Iterator[Processes]:
    """The processes that ``torchrun`` started, connected; or this one alone.

    Raises:
        UsageError: the environment names several processes and they cannot find one another.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes()
        return
    mine = not dist.is_initialized()
    if mine:
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        except (ValueError, RuntimeError) as error:
            raise UsageError(
                f"WORLD_SIZE={size} names several processes, but they cannot be connected ({error}); start "
                "them with: torchrun --nproc-per-node 2 -m bioner_fast train ..."
            ) from None
    processes = Processes(dist.get_rank(), dist.get_world_size())
    gated.set_salt(processes.rank)  # their generators stay alike, their dropout does not
    try:
        yield processes
    finally:
        gated.set_salt(0)
        if mine:
            dist.destroy_process_group()


def _rows(batch: Batch, low: int, high: int) -> Batch:
    """Rows [low, high) of a batch."""
    tokens = batch.tokens
    part = slice(tokens.start + low, tokens.start + high) if isinstance(tokens, slice) else tokens[low:high]
    parts = []
    for head, rows, tags in batch.parts:
        first, last = max(rows.start, low), min(rows.stop, high)
        if first < last:
            parts.append((head, slice(first - low, last - low), tags[first - rows.start : last - rows.start]))
    return Batch(batch.features, part, tuple(parts), high - low, (), batch.total or batch.size)


def _sentences(batch: Batch, low: int, high: int) -> Batch:
    """The sentences of a batch whose middles lie in rows [low, high)."""
    assert isinstance(batch.tokens, slice)
    parts, offsets, bounds = [], [], []
    for (head, rows, tags), inside in zip(batch.parts, batch.offsets, strict=True):
        middles = (inside[:-1] + inside[1:]) // 2 + rows.start
        chosen = ((middles >= low) & (middles < high)).nonzero().squeeze(1)
        if len(chosen) == 0:
            continue
        mine = inside[int(chosen[0]) : int(chosen[-1]) + 2]
        first, last = int(mine[0]), int(mine[-1])
        bounds += [rows.start + first, rows.start + last]
        parts.append((head, slice(rows.start + first, rows.start + last), tags[first:last]))
        offsets.append(mine - first)
    total = batch.total or sum(len(inside) - 1 for inside in batch.offsets)
    start = min(bounds, default=0)
    moved = tuple((head, slice(rows.start - start, rows.stop - start), tags) for head, rows, tags in parts)
    begin = batch.tokens.start + start
    size = max(bounds, default=0) - start
    return Batch(batch.features, slice(begin, begin + size), moved, size, tuple(offsets), total)
