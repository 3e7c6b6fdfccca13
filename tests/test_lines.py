"""tools/lines.py: what it counts, and what it takes for the same."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from tests.support.modules import load_module

ROOT = Path(__file__).resolve().parents[1]
BEFORE = '''"""What it is."""

# Why.
class Hub:
    """Receives packets."""

    limit = 7
    """Most packets at once."""

    def feed(self, packets, now_ns):
        """Take packets in."""
        for packet in packets:
            self.route(packet, now_ns)
        return len(packets)


def gone(volume, balance):
    return volume * balance
'''
NOW = """class ReceiveSockets:
    most_packets = 7

    def distribute(self, packets, now_ns):
        for packet in packets:
            self.route(packet, now_ns)
        self.counted += len(packets)
        return len(packets)


def record(folder, stamp):
    return folder / stamp.isoformat()
"""


lines = load_module("tools/lines.py")


def test_code_is_neither_blank_nor_comment_nor_docstring() -> None:
    code, docstrings = lines.count_lines(BEFORE)
    assert sorted(code) == [4, 7, 10, 12, 13, 14, 17, 18]
    assert sorted(docstrings) == [1, 5, 8, 11]


def test_what_says_the_same_is_the_same_whatever_it_is_called() -> None:
    before = list(lines.units_of("kernel/src/hub.py", BEFORE))
    now = list(lines.units_of("kernel/src/sockets.py", NOW))
    pairs = {old.name: new.name for old, new in lines.pair_units(before, now)}
    assert pairs["Hub.feed"] == "ReceiveSockets.distribute"
    assert "gone" not in pairs
    assert "record" not in pairs.values()


def test_every_place_of_a_feature_exists() -> None:
    modules = {f"{lines.package_of(path)} {path}": path for path in lines.sources_now()}
    patterns = {pattern.partition("::")[0] for places in lines.FEATURES.values() for pattern in places}
    wanted = {pattern for pattern in patterns if pattern.endswith((".py", "/*"))}
    assert {pattern for pattern in wanted if not any(fnmatchcase(module, pattern) for module in modules)} == set()
