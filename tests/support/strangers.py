"""Strangers on a network: packets that no honest device sends, from a seed. A program for hosts of `netns`.

    python strangers.py rtp GROUP PORT COUNT SEED     a burst of well-formed audio of another sender
    python strangers.py flood GROUP PORT COUNT SEED   audio of 60 000 packets/s, each of another sender
    python strangers.py junk GROUP PORT COUNT SEED    60 000 packets/s that are no audio, or nearly audio
    python strangers.py pace GROUP PORT COUNT SEED    audio of one other sender, a packet a millisecond
    python strangers.py echo GROUP PORT COUNT SEED    each packet of the stream again, with other audio in it
    python strangers.py sap COUNT SEED                announcements, cut, damaged and absurd
    python strangers.py rtsp HOST PORT SEED           clients that send junk, or nothing, and go away

It needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable
from random import Random

SAP_GROUP, SAP_PORT = "239.255.255.255", 9875
INTERFACE_ADDRESS = "10.77.0.4"
"""The address of the host that the strangers live on."""
FLOOD_RATE = 60_000
_FOREIGN = b"\x55" * 288
_DESCRIPTION = """v=0
o=- {id} {version} IN IP4 {host}
s={name}
c=IN IP4 239.69.9.{last}/32
t=0 0
m=audio {port} RTP/AVP 98
a=rtpmap:98 L24/48000/2
a=ptime:{ptime}
a=source-filter: incl IN IP4 {filter}
a=mediaclk:direct={clock}
"""
_ABSURD = ("someone", "-1", "0", "99999999999999999999", "239.69.9.1 x y", "\x1b[2J", "a" * 3000, "10.0.0.1", "")


def _sender() -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(INTERFACE_ADDRESS))
    return sender


def rtp(group: str, port: int, count: int, seed: int) -> None:
    """A burst of audio packets, whose samples are all 0x55."""
    random = Random(seed)
    sender, ssrc = _sender(), random.getrandbits(32)
    sequence, timestamp = random.getrandbits(16), random.getrandbits(32)
    for number in range(count):
        if random.random() < 0.01:
            ssrc = random.getrandbits(32)
        header = struct.pack("!BBHII", 0x80, 98, (sequence + number) & 0xFFFF, (timestamp + 48 * number) % 2**32, ssrc)
        with contextlib.suppress(OSError):
            sender.sendto(header + _FOREIGN, (group, port))


def _paced(rate: int, count: int, send: Callable[[int], object]) -> None:
    """Call `send` with the numbers below `count`, that often a second, or as fast as it goes."""
    began = time.monotonic()
    for number in range(count):
        if number % 20 == 0 and (early_s := began + number / rate - time.monotonic()) > 0.0005:
            time.sleep(early_s)
        with contextlib.suppress(OSError):
            send(number)


def flood(group: str, port: int, count: int, seed: int) -> None:
    """Audio packets of 60 000 a second, each with an SSRC, a sequence number and a timestamp of its own."""
    sender, bits = _sender(), Random(seed).getrandbits
    heads = [struct.pack("!BBHII", 0x80, 98, bits(16), bits(32), bits(32)) for _ in range(4096)]
    _paced(FLOOD_RATE, count, lambda number: sender.sendto(heads[number % 4096] + _FOREIGN, (group, port)))


def junk(group: str, port: int, count: int, seed: int) -> None:
    """60 000 packets a second of random octets; a third of them have the first two octets of the stream's."""
    sender, random = _sender(), Random(seed)
    packets = [random.randbytes(random.choice((0, 1, 11, 12, 13, 300, 1400))) for _ in range(256)]
    packets += [b"\x80\x62" + random.randbytes(random.choice((10, 100, 298, 299))) for _ in range(128)]
    _paced(FLOOD_RATE, count, lambda number: sender.sendto(packets[number % len(packets)], (group, port)))


def pace(group: str, port: int, count: int, seed: int) -> None:
    """Audio of one other sender in real time."""
    sender, bits = _sender(), Random(seed).getrandbits
    ssrc, sequence, timestamp = bits(32), bits(16), bits(32)

    def send(number: int) -> None:
        at = (sequence + number) & 0xFFFF, (timestamp + 48 * number) % 2**32
        sender.sendto(struct.pack("!BBHII", 0x80, 98, *at, ssrc) + _FOREIGN, (group, port))

    _paced(1000, count, send)


def echo(group: str, port: int, count: int, seed: int) -> None:
    """The headers of the stream with other audio, from another address: the next packet's before it is sent."""
    sender, listener = _sender(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((group, port))
    membership = socket.inet_aton(group) + socket.inet_aton(INTERFACE_ADDRESS)
    listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    listener.settimeout(1.0)
    random = Random(seed)
    with contextlib.suppress(OSError):
        for _ in range(count):
            _, _, sequence, timestamp, ssrc = struct.unpack("!BBHII", listener.recv(2048)[:12])
            ahead = random.choice((0, 1, 1, 2))
            at = (sequence + ahead) & 0xFFFF, (timestamp + 48 * ahead) % 2**32
            sender.sendto(struct.pack("!BBHII", 0x80, 98, *at, ssrc) + _FOREIGN, (group, port))


def sap(count: int, seed: int) -> None:
    """Announcements and deletions that are damaged in all ways that a seed has."""
    random, sender = Random(seed), _sender()
    for _ in range(count):
        absurd = {name: random.choice(_ABSURD) for name in ("host", "name", "port", "ptime", "filter", "clock", "last")}
        usual = {"host": "10.77.0.4", "name": "Chaos", "port": "5004", "ptime": "1", "filter": "239.69.9.1 10.77.0.4"}
        fields = {name: usual.get(name, "1") if random.random() < 0.7 else text for name, text in absurd.items()}
        text = _DESCRIPTION.format(id=random.randrange(4), version=random.randrange(4), **fields).encode()
        if random.random() < 0.3:
            cut = random.randrange(len(text))
            text = text[:cut] + random.randbytes(random.randrange(20)) + text[cut + random.randrange(5) :]
        flags = random.choice((0x20, 0x20, 0x24, 0x21, random.randrange(256)))
        body = b"application/sdp\0" + text
        packet = bytes([flags, random.choice((0, 0, 200))]) + random.randbytes(2) + socket.inet_aton("10.77.0.4")
        packet += zlib.compress(body) if flags & 1 else body
        with contextlib.suppress(OSError):
            sender.sendto(packet[: random.choice((4, 20, 9000, 9000))], (SAP_GROUP, SAP_PORT))


def rtsp(host: str, port: int, seed: int) -> None:
    """Clients of an RTSP server."""
    random = Random(seed)
    pieces = (b"\r\n" * 500, random.randbytes(3000), b"DESCRIBE rtsp://a/by-name/x RTSP/1.0\r\n", b"A" * 9000, b"")
    for _ in range(20):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0) as client:
            client.settimeout(0.2)
            for _ in range(random.randrange(5)):
                client.sendall(random.choice(pieces))
            client.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n")
            client.recv(4096)


if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    if kind in (audio := {"rtp": rtp, "flood": flood, "junk": junk, "pace": pace, "echo": echo}):
        audio[kind](words[0], *map(int, words[1:]))
    elif kind == "sap":
        sap(*map(int, words))
    else:
        rtsp(words[0], *map(int, words[1:]))
