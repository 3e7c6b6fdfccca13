"""Graphs with several streams at once: formats and lengths that the example does not have, and chosen channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tests.support import material
from tests.support.addresses import LOOPBACK, free_group, free_port
from tests.support.graphs import Loop, table, write_graph
from tests.support.kernel import Outcome, exact, run_kernel
from tests.support.material import Words


def compared(folder: Path, sent: Mapping[str, Words], _: Outcome) -> str:
    """What differs between recordings and what they should be, by file name."""
    differs = {name: material.difference(words, material.read(folder / name)) for name, words in sent.items()}
    return "; ".join(f"{name}: {what}" for name, what in differs.items() if what)


def send_all(folder: Path, loops: Sequence[Loop], sent: Mapping[str, Words], *more: str) -> Outcome:
    """Run these loops in one graph, and compare every sample of every recording."""
    graph = write_graph(folder / "graph.toml", *(loop.toml for loop in loops), *more)
    result = exact(partial(run_kernel, graph, folder), partial(compared, folder, sent))
    assert result.code == 0, result.stderr
    assert result.report["ended"] == "completed"
    return result


def test_formats(tmp_path: Path) -> None:
    """Mono, other rates, a float file, and 16-bit samples in a 24-bit stream, side by side in one run."""
    sent = {
        "mono.wav": material.make(tmp_path / "mono-source.wav", channels=1),
        "96k.wav": material.make(tmp_path / "96k-source.wav", 48_000, rate=96_000),
        "44k1.wav": material.make(tmp_path / "44k1-source.wav", 22_050, rate=44_100),
        "float.wav": material.make(tmp_path / "float-source.wav", subtype="FLOAT"),
        "short-words.wav": material.make(tmp_path / "short-words-source.wav", subtype="PCM_16"),
    }
    loops = [Loop(source=tmp_path / f"{Path(name).stem}-source.wav", name=Path(name).stem, copy=name) for name in sent]
    result = send_all(tmp_path, loops, sent)
    packets = {loop.name: result.metrics(f"{loop.name}-out")["packets_sent"] for loop in loops}
    # 44.1 kHz is sent in packets of 48 frames too (AES67-2018, 7.2.1), the last of which is short here.
    assert packets == {"mono": 500, "96k": 500, "44k1": 460, "float": 500, "short-words": 500}


def test_lengths_that_are_no_whole_number_of_packets(tmp_path: Path) -> None:
    """The last packet is as short as the file's rest: nothing is cut off, and nothing is filled up."""
    lengths = {"one": 1, "hundred": 100, "odd": 10_007, "packet": 48}
    sent = {f"{name}.wav": material.make(tmp_path / f"{name}-source.wav", frames) for name, frames in lengths.items()}
    loops = [Loop(source=tmp_path / f"{name}-source.wav", name=name, copy=f"{name}.wav") for name in lengths]
    result = send_all(tmp_path, loops, sent)
    for name, frames in lengths.items():
        assert result.metrics(f"{name}-in")["packets_received"] == -(-frames // 48)
        assert result.metrics(f"{name}-copy")["frames_in"] == frames


def test_streams_that_share_a_port_or_a_group_are_told_apart(tmp_path: Path) -> None:
    """Two groups on one port, one of these groups on another port, and a unicast stream beside them."""
    port, other_port = free_port(), free_port()
    group, other_group = free_group(), free_group()
    ways = {
        "here": (group, port),
        "other-group": (other_group, port),
        "other-port": (group, other_port),
        "unicast": (LOOPBACK, free_port()),
    }
    sent = {f"{name}.wav": material.make(tmp_path / f"{name}-source.wav", seed=seed) for seed, name in enumerate(ways)}
    loops = [
        Loop(source=tmp_path / f"{name}-source.wav", name=name, group=group, port=port, copy=f"{name}.wav")
        for name, (group, port) in ways.items()
    ]
    result = send_all(tmp_path, loops, sent)
    for name in ways:
        assert result.metrics(f"{name}-in")["packets_received"] == 500
        assert result.metrics(f"{name}-in")["packets_foreign"] == 0


def test_channels_are_chosen_turned_and_put_side_by_side(tmp_path: Path) -> None:
    """A stream of channels of two files, and a recording of channels of that stream."""
    left = material.make(tmp_path / "left.wav", channels=2, seed=1)
    right = material.make(tmp_path / "right.wav", channels=3, seed=2)
    loop = Loop(
        source=tmp_path / "left.wav",
        sender={"input": [{"source": "loop-file", "channels": [2]}, {"source": "right", "channels": [3, 1]}]},
    )
    on_the_wire = np.column_stack([left[:, 1], right[:, 2], right[:, 0]])
    turned = table(
        "sinks",
        "turned",
        kind="file",
        overwrite=True,
        input=[{"source": "loop-in", "channels": [3, 1, 1]}],
        path="turned.wav",
    )
    sent = {"copy.wav": on_the_wire, "turned.wav": on_the_wire[:, [2, 0, 0]]}
    send_all(tmp_path, [loop], sent, table("sources", "right", kind="file", path="right.wav"), turned)
