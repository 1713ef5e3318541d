"""Which partitions a worker has, and since when: it says so in every commit, where `cradle lag` reads it."""

import os
import socket
from collections.abc import Collection
from datetime import datetime

from consumers.runtime.offsets import Partition
from operations.lag import Mark


class Ownership:
    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._since: dict[Partition, int] = {}
        self._unsaid: set[Partition] = set()

    def gain(self, partitions: Collection[Partition], now: datetime) -> None:
        """One that the worker keeps through a rebalance stays as long its own as it was."""
        for partition in partitions:
            if self._since.setdefault(partition, _ms(now)) == _ms(now):
                self._unsaid.add(partition)

    def keep_only(self, partitions: Collection[Partition]) -> None:
        self._since = {one: since for one, since in self._since.items() if one in partitions}
        self._unsaid &= {*partitions}

    def take_unsaid(self) -> set[Partition]:
        """Those it has not said anything of yet: an idle partition has no commit that would."""
        unsaid, self._unsaid = self._unsaid, set()
        return unsaid

    def note(self, partition: Partition, now: datetime) -> str:
        """To be written beside the partition's offset."""
        return Mark(self.worker, self._since.get(partition, _ms(now)), _ms(now)).text()


def worker_name(stage: str, instance: str | None) -> str:
    """As it was named, or by its machine and process."""
    return instance or f"{stage}-{socket.gethostname()}-{os.getpid()}"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
