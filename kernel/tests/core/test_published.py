"""What one thread publishes, another reads whole."""

from __future__ import annotations

import threading

from phasegraph import Published


def test_a_reader_never_gets_halves_of_two_values() -> None:
    published = Published((0, 0))
    ended = threading.Event()
    torn: list[tuple[int, int]] = []

    def read() -> None:
        while not ended.is_set():
            value = published.latest
            if value[0] != value[1]:
                torn.append(value)

    reader = threading.Thread(target=read)
    reader.start()
    for count in range(100_000):
        published.publish((count, count))
    ended.set()
    reader.join()
    assert torn == []
    assert published.latest == (99_999, 99_999)
