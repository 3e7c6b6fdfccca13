"""Descriptions by real devices, where they are present: in the folder that PHASEGRAPH_VECTORS names."""

import os
from pathlib import Path

import pytest

from phasegraph import Encoding
from phasegraph_aes67 import sdp


def _folder() -> Path | None:
    folder = Path(os.environ.get("PHASEGRAPH_VECTORS", "")) / "sdp"
    return folder if folder.is_dir() else None


FOLDER = _folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="PHASEGRAPH_VECTORS names no folder of descriptions")

Expected = tuple[str, int, str, int, int, int | None, int, int | None, str | None]
"""Address, port, encoding, rate, channels, frames a packet, payload type, mediaclk offset, source."""
STREAMS: dict[str, list[Expected]] = {
    "aes67_linux_daemon_2022-7": [
        ("239.1.0.1", 5004, "L24", 48_000, 2, 48, 98, 0, "192.168.1.17"),
        ("239.1.0.1", 5006, "L24", 48_000, 2, 48, 98, 0, "192.168.1.18"),
    ],
    "aes67_linux_daemon_44k1": [("239.1.0.1", 5004, "L16", 44_100, 2, 48, 98, 0, None)],
    "aes67vsc_8ch": [("239.1.178.124", 5004, "L24", 48_000, 8, 48, 98, 0, None)],
    "aes67vsc_chan_mismatch": [("239.1.178.224", 5004, "L24", 48_000, 8, 48, 98, 0, None)],
    "aes_first_edition_domain_nmbr": [("239.0.0.1", 5004, "L24", 48_000, 8, 48, 96, 893_293_533, None)],
    "blackmagic_2110_mini_bidirect": [("239.255.192.14", 16384, "L24", 48_000, 16, 6, 97, 0, "192.168.1.228")],
    "dante_audioway_bridge": [("239.69.207.194", 5004, "L24", 48_000, 2, 48, 97, 1_057_709_823, None)],
    "dante_avio_bluetooth": [("239.69.232.56", 5004, "L24", 48_000, 2, 48, 97, 0, None)],
    "dante_avio_usb": [("239.69.138.109", 5004, "L24", 48_000, 2, 48, 97, 1_563_598_893, None)],
    "dante_avio_usbc_centricular": [("239.69.165.50", 5004, "L24", 48_000, 2, 48, 97, 1_266_592_257, None)],
    "dante_glensound_aoip44_pt_mismatch": [("239.65.45.154", 5004, "L24", 48_000, 2, 48, 96, 142_410_716, None)],
    "dante_yamaha_ri8d": [("239.69.205.203", 5004, "L24", 48_000, 1, 48, 96, 750_129_611, None)],
    "demo_mixing_console": [("239.64.165.1", 5004, "L24", 48_000, 64, 6, 97, 0, "10.100.0.145")],
    "demo_stagebox_dup": [
        ("239.64.1.45", 5004, "L24", 96_000, 32, 6, 97, 0, "10.100.0.40"),
        ("239.65.1.45", 5004, "L24", 96_000, 32, 6, 97, 0, "10.100.1.40"),
    ],
    "ebu_list_l24": [("239.1.1.1", 20000, "L24", 48_000, 2, 48, 97, 0, "10.1.1.236")],
    "ebu_list_nmos_16ch": [("239.30.112.2", 50030, "L24", 48_000, 16, 48, 97, 0, "192.168.8.38")],
    "hand_single_4ch": [("239.69.11.44", 5004, "L24", 48_000, 4, 48, 98, 0, None)],
    "lawo_mic8_rtsp": [("239.15.55.1", 5004, "L24", 48_000, 2, 48, 98, 0, "192.168.15.55")],
    "livewire_node_origin_c_after_a": [("239.192.0.1", 5004, "L24", 48_000, 2, None, 97, None, None)],
    "mast_aes67-multicast-example": [("239.0.0.1", 5004, "L24", 48_000, 8, 48, 96, 963_214_424, None)],
    "mast_dante-aes67-1": [("239.65.125.63", 5004, "L24", 48_000, 2, 48, 97, 3_560_866_135, None)],
    "mast_livewire-stl": [("239.192.0.123", 5004, "L24", 48_000, 2, 261, 96, 0, None)],
    "mast_xnode-l24-48000-2": [("239.192.10.5", 5004, "L24", 48_000, 2, None, 96, 0, None)],
    "merging_anubis_l16": [("239.1.16.51", 5004, "L16", 48_000, 2, 48, 98, 0, "192.168.16.51")],
    "merging_anubis_l24": [("239.1.178.124", 5004, "L24", 48_000, 2, 48, 98, 0, "192.168.178.124")],
    "njh_recorder_aoip44": [("239.65.125.63", 5004, "L24", 48_000, 2, 48, 97, 1_199_069_607, None)],
    "njh_recorder_mono": [("224.123.234.56", 1234, "L16", 44_100, 1, None, 11, None, None)],
    "qsys_gm_tx1a_8ch": [("233.254.171.0", 5004, "L24", 48_000, 8, 48, 96, 0, None)],
    "sdpoker_INVALID_aes67-mcast": [("239.0.0.1", 5004, "L24", 48_000, 8, 48, 96, 0, None)],
    "sdpoker_valid_aes67-mcast": [("239.0.0.1", 5004, "L24", 48_000, 8, 48, 96, 0, "192.168.1.1")],
    "sdpoker_valid_st2110-30": [("232.130.55.188", 46848, "L24", 48_000, 2, 48, 102, 0, "172.29.80.65")],
    "sdpoker_valid_st2110-31": [("232.130.55.188", 46848, "AM824", 48_000, 2, 48, 102, 0, "172.29.80.65")],
    "sdptransform_dante-aes67": [("239.65.125.63", 5004, "L24", 48_000, 2, 48, 97, None, None)],
    "sdptransform_mediaclk-avbtp": [("233.252.0.1", 5004, "L24", 48_000, 2, None, 96, None, None)],
    "sdptransform_mediaclk-ptp-v2": [("233.252.0.1", 5004, "L24", 48_000, 8, None, 96, 963_214_424, None)],
    "sdptransform_mediaclk-rtp": [("233.252.0.1", 5004, "L24", 48_000, 2, None, 96, None, None)],
}
COMPLAINTS = {
    "nmos_testing_audio_TEMPLATE": "should read m=audio PORT",
    "sdpoker_INVALID_missing-media": "no m=audio line",
    "sdpoker_INVALID_missing-ts-refclk": "no m=audio line: it describes video",
    "sdpoker_INVALID_missing-v0": "no m=audio line: it describes video",
    "sdpoker_valid_rfc7104_sep_dest": "no m=audio line: it describes video",
    "sdpoker_valid_rfc7104_sep_source": "no m=audio line: it describes video",
    "sdpoker_valid_st2110-10": "no m=audio line: it describes video",
    "sdptransform_ts-refclk-media": "encoding PCMU",
    "sdptransform_ts-refclk-sess": "encoding PCMU",
}
SAID = {
    "ebu_list_nmos_16ch": ["2304 octets of payload"],
    "aes67vsc_chan_mismatch": ["i= names 2 channels, the rtpmap 8"],
    "dante_glensound_aoip44_pt_mismatch": ["payload type 97"],
    "demo_stagebox_dup": ["framecount:6"],
    "livewire_node_origin_c_after_a": ["ptime", "mediaclk", "ts-refclk"],
    "mast_livewire-stl": ["ts-refclk", "1566 octets of payload"],
    "mast_xnode-l24-48000-2": ["ptime"],
    "njh_recorder_mono": ["ptime", "mediaclk", "ts-refclk"],
    "sdptransform_dante-aes67": ["mediaclk", "ts-refclk"],
    "sdptransform_mediaclk-avbtp": ["ptime", "mediaclk"],
    "sdptransform_mediaclk-ptp-v2": ["ptime"],
    "sdptransform_mediaclk-rtp": ["ptime", "mediaclk"],
}


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def file(name: str) -> Path:
    assert FOLDER is not None
    return FOLDER / f"{name}.sdp"


def test_every_file_has_its_expectation() -> None:
    assert FOLDER is not None
    assert {path.stem for path in FOLDER.glob("*.sdp")} == STREAMS.keys() | COMPLAINTS.keys()


@pytest.mark.parametrize("name", STREAMS)
def test_devices(name: str) -> None:
    session = sdp.parse(read(file(name)))
    got = [
        (
            stream.address,
            stream.port,
            str(stream.encoding),
            stream.rate,
            stream.channels,
            stream.frames_per_packet,
            stream.payload_type,
            stream.mediaclk_offset,
            stream.source,
        )
        for stream in session.streams
    ]
    assert got == STREAMS[name]
    said = SAID.get(name, [])
    assert len(session.problems) == len(said)
    for problem, word in zip(session.problems, said, strict=True):
        assert word in problem


def index() -> dict[str, list[str]]:
    """The rows of INDEX.md: eol, m=, rtpmap, ptime, mediaclk, ts-refclk, by file."""
    assert FOLDER is not None
    rows = [line.split("|")[1:-1] for line in (FOLDER / "INDEX.md").read_text().splitlines() if line[:1] == "|"]
    return {name: rest for name, *rest in rows[2:]}


def test_the_clocks_that_the_index_names() -> None:
    rows = index()
    assert rows.keys() == STREAMS.keys() | COMPLAINTS.keys()
    for name in STREAMS:
        _, media, rtpmap, ptime, mediaclk, refclk = (cell.strip() for cell in rows[name])
        session = sdp.parse(read(file(name)))
        assert len(session.streams) == int(media), name
        for stream in session.streams:
            assert stream.ts_refclk == refclk, name
            offset = mediaclk.removeprefix("direct=").split()[0] if mediaclk.startswith("direct=") else None
            assert stream.mediaclk_offset == (None if offset is None else int(offset)), name
            assert (stream.frames_per_packet is None) == (ptime == ""), name
            written = f"{stream.payload_type} {stream.encoding}/{stream.rate}/{stream.channels}"
            assert name == "njh_recorder_mono" or written == rtpmap, (
                "which maps three payload types, of which 11 is ours"
            )
        assert session.dup_of == ((None, 0) if media == "2" else (None,)), name


@pytest.mark.parametrize("name", COMPLAINTS)
def test_not_for_us(name: str) -> None:
    with pytest.raises(sdp.MalformedSdp, match=COMPLAINTS[name]):
        sdp.parse(read(file(name)))


def test_synthetic() -> None:
    assert FOLDER is not None
    frames = {("0.125ms", 48_000): 6, ("1ms", 48_000): 48, ("2ms", 48_000): 96, ("4ms", 48_000): 192,
              ("0.125ms", 96_000): 12, ("1ms", 96_000): 96, ("1ms", 44_100): 48}  # fmt: skip
    files = sorted((FOLDER / "synthetic").glob("*.sdp"))
    assert files
    for path in files:
        encoding, rate, channels, packet_time = path.stem.split("-")
        session = sdp.parse(read(path))
        (stream,) = session.streams
        assert session.problems == ()
        assert stream.encoding is Encoding(encoding)
        assert (stream.rate, stream.channels) == (int(rate), int(channels.removesuffix("ch")))
        assert stream.frames_per_packet == frames[packet_time, int(rate)]
