"""Header names that are no UTF-8. Kafka takes them; aiokafka's parser raises for one each time it meets it.

So one record of a careless client would stop its partition for good. Once that has happened, this process reads
records by aiokafka's parser in plain Python instead, which can be told to go on: a byte that is no ASCII becomes '?'.
"""

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import DefaultRecordBatch, _MemoryRecordsPy


def read_any_header_name() -> None:
    """Every consumer of this process reads what it fetches from now on whatever its header names are."""
    fetcher.MemoryRecords = _Records


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka tells no types
    def _read_msg(self, *args: Any) -> Any:
        while True:
            try:
                return super()._read_msg(*args)
            except UnicodeDecodeError as error:
                self._mend(error.object)

    def _mend(self, name: bytes) -> None:
        """In the record at hand, which begins at `_pos`; its length stays."""
        at = self._buffer.index(name, self._pos)
        self._buffer[at : at + len(name)] = bytes(byte if byte < 0x80 else ord("?") for byte in name)


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    def next_batch(self, *args: Any) -> Any:
        found = self._next_slice  # batches of before Kafka 0.11 have no headers, and stay as they are
        batch = super().next_batch(*args)
        return _Batch(found) if isinstance(batch, DefaultRecordBatch) else batch
