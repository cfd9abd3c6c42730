"""Several processes that train one learner: each has a share of every batch, and all have the same weights.

What depends on the whole batch goes through here: the terms of the losses, whose counts divide them; the gradients,
which are those of one loss and are added up, never averaged; the statistics of batch norms; and what the process of
rank 0 records of all images. Numbers on the host (flags, counts, tables) are sent by gloo, tensors of a GPU by nccl.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor, nn

from assignbench.contract import Term

BACKENDS = "cpu:gloo,cuda:nccl"
BUCKET = 8_000_000  # numbers of gradients that are sent together: 32 MB, as little as keeps a network busy


@dataclass(frozen=True)
class World:
    """This process among the `size` that train together. Every method is called by all of them, in the same order.

    `group` is torch's group of them, None for all that there are. Of one process alone nothing is sent.
    """

    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the process that records and saves."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return flag if self.size == 1 else bool(self.summed(torch.tensor(int(flag))))

    def total(self, value: float) -> float:
        """The sum of a number over the processes."""
        return value if self.size == 1 else float(self.summed(torch.tensor(value, dtype=torch.float64)))

    def summed(self, values: Tensor) -> Tensor:
        """The sum of the tensors of all processes, a new tensor that is the same to the last bit in each."""
        whole = values.clone()
        dist.all_reduce(whole, group=self.group)
        return whole

    def stacked(self, values: Tensor) -> Tensor:
        """The tensors of all processes, [size, ...], by rank."""
        rows = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(rows, values, group=self.group)
        return torch.stack(rows)

    def terms(self, own: Mapping[str, Term]) -> dict[str, Term]:
        """The terms of the images of all processes, without a gradient."""
        if self.size == 1:
            return dict(own)
        numbers = torch.stack([t for term in own.values() for t in (term.sum.detach(), term.count.detach())])
        sums, counts = self.summed(numbers.double()).to(numbers.dtype).view(-1, 2).unbind(dim=1)
        images = self.summed(torch.tensor([term.images for term in own.values()])).tolist()
        return {
            name: replace(term, sum=sums[place], count=counts[place], images=int(images[place]))
            for place, (name, term) in enumerate(own.items())
        }

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Gives every parameter the sum of its gradients in all processes; none where no process has one."""
        if self.size == 1:
            return
        there = self.summed(torch.tensor([int(p.grad is not None) for p in parameters])).tolist()
        learning = [p for p, number in zip(parameters, there, strict=True) if number]
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        pending = []
        for bucket in _buckets([p.grad for p in learning if p.grad is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            pending.append((bucket, flat, dist.all_reduce(flat, group=self.group, async_op=True)))
        for bucket, flat, work in pending:
            work.wait()
            for gradient, part in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
                gradient.copy_(part.view(gradient.shape))

    def gathered(self, table: pd.DataFrame) -> list[pd.DataFrame]:
        """The tables of all processes by rank, in the process that leads; nothing in the others."""
        if self.size == 1:
            return [table]
        buffer = io.BytesIO()
        table.to_parquet(buffer)
        parts = self._bytes_of_all(buffer.getvalue())
        return [pd.read_parquet(io.BytesIO(part)) for part in parts] if self.leads else []

    def given(self, content: bytes) -> bytes:
        """What the process that leads gives to all; the others' content counts for nothing."""
        if self.size == 1:
            return content
        size = torch.tensor(len(content))
        dist.broadcast(size, group=self.group, group_src=0)
        sent = _tensor(content) if self.leads else torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(sent, group=self.group, group_src=0)
        return sent.numpy().tobytes()

    def _bytes_of_all(self, content: bytes) -> list[bytes]:
        """The contents of all processes, by rank."""
        sizes = self.stacked(torch.tensor(len(content))).tolist()
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(content)] = _tensor(content)
        return [row[:size].numpy().tobytes() for row, size in zip(self.stacked(padded), sizes, strict=True)]


ALONE = World()


def _tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _buckets(gradients: Sequence[Tensor]) -> list[list[Tensor]]:
    """The gradients in order, as many together as a bucket holds and of one type; a large one stands alone."""
    buckets: list[list[Tensor]] = []
    room = 0
    for gradient in gradients:
        if not buckets or room < gradient.numel() or buckets[-1][0].dtype != gradient.dtype:
            buckets.append([])
            room = BUCKET
        buckets[-1].append(gradient)
        room -= gradient.numel()
    return buckets
