"""From a graph's options to the settings of the protocol engine: profiles, ranges, identity."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phasegraph import Build, NodeError
from phasegraph.ieee1588 import SmpteSynchronizationMetadata, parse_clock_identity

from .options import PtpConfig
from .port_sockets import PortSocketSettings
from .profiles import DSCP, PROFILES, Preset
from .protocol import DelayMechanism, PortRole, Settings, Unicast
from .protocol.authentication import Authenticator, parse_security_associations

FROM_PROFILE = (
    "domain",
    "priority1",
    "priority2",
    "log_announce_interval",
    "announce_receipt_timeout",
    "log_sync_interval",
    "log_min_delay_req_interval",
    "log_min_pdelay_req_interval",
)
"""The options that a profile presets."""


def option_value(config: PtpConfig, option: str) -> int:
    """An option as it was written, or the profile's."""
    written: int | None = getattr(config, option)
    preset: Preset = getattr(PROFILES[config.profile], option)
    return preset.default if written is None else written


def unicast_mode(config: PtpConfig) -> Unicast:
    """As written, or as in the profile; peer delay requests are multicast."""
    if config.unicast is not None:
        return Unicast(config.unicast)
    return Unicast.OFF if config.delay_mechanism == "p2p" else Unicast(PROFILES[config.profile].unicast)


Problems = Iterator[tuple[str, str, str]]


def option_problems(config: PtpConfig) -> Problems:
    """Problems of a clock's options beyond their types: (option, message, hint)."""
    yield from _interface_problems(config)
    yield from _outside_profile(config)
    yield from _unicast_problems(config)
    yield from _role_problems(config)
    for identity in config.accept:
        try:
            parse_clock_identity(identity)
        except ValueError as error:
            yield "accept", str(error), ""
    if config.event_port == config.general_port:
        yield "general-port", "event and general messages need two ports", ""
    try:
        ZoneInfo(config.time_zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        yield "time-zone", f"no time zone {config.time_zone!r} is known here", "such as 'Europe/Berlin' or 'UTC'"


def _outside_profile(config: PtpConfig) -> Problems:
    for option in FROM_PROFILE:
        preset: Preset = getattr(PROFILES[config.profile], option)
        value = option_value(config, option)
        if not preset.least <= value <= preset.most:
            range = f"{preset.least} to {preset.most}" if preset.least < preset.most else f"{preset.least} only"
            yield (
                option.replace("_", "-"),
                f"{value} is outside what the profile {config.profile} allows: {range}",
                f"its default is {preset.default}; another profile may allow it",
            )


def interfaces_of(config: PtpConfig) -> tuple[str, ...]:
    """The interfaces: one, or the two of a redundant pair."""
    return (config.interface,) if isinstance(config.interface, str) else config.interface


def _interface_problems(config: PtpConfig) -> Problems:
    interfaces = interfaces_of(config)
    if len(interfaces) not in (1, 2) or len(set(interfaces)) < len(interfaces):
        yield "interface", "a clock follows on one interface, or on two different ones", '["eth0", "eth1"]'
    if len(interfaces) > 1:
        if "" in interfaces:
            yield "interface", "an interface of a pair has no name", "name both"
        if config.role != "follower":
            yield "interface", f"two interfaces are for a follower, not for {config.role}", "a clock for each of them"
        if config.management_socket is not None:
            yield "management-socket", "pmc knows clocks of one port only", "leave it out, or name one interface"


def _unicast_problems(config: PtpConfig) -> Problems:
    if config.unicast == "negotiated" and not config.unicast_servers and config.role != "grandmaster":
        yield "unicast-servers", "no server to negotiate with is given", "name the grandmasters' addresses"
    version = 6 if config.transport == "udp6" else 4
    for server in config.unicast_servers:
        if (parsed := _address(server)) is None or parsed.version != version or parsed.is_multicast:
            hint = "names are not resolved: write the address"
            yield "unicast-servers", f"{server!r} is not a unicast address of {config.transport}", hint
    if config.unicast != "negotiated" and config.unicast_servers:
        yield "unicast-servers", "they are used with unicast = 'negotiated' only", ""
    if config.unicast == "hybrid" and config.delay_mechanism == "p2p":
        yield "unicast", "hybrid sends Delay_Req, and delay-mechanism is p2p", "peer delay requests are multicast: off"


def _role_problems(config: PtpConfig) -> Problems:
    if config.master_only and config.role != "grandmaster":
        yield "master-only", f"a clock with the role {config.role} may have to follow", "role = 'grandmaster'"
    for option in ("spp", "active_key_id"):
        if getattr(config, option) is not None and config.sa_file is None:
            yield option.replace("_", "-"), "there is no key without a file of keys", "name it: sa-file"
    for option in ("reference", "leap_seconds"):
        if getattr(config, option) and config.role == "follower":
            yield option.replace("_", "-"), "a follower serves no time", "role = 'grandmaster' or 'ordinary'"


def settings_from_config(config: PtpConfig) -> Settings:
    """The settings of the engine."""
    presets = {option: option_value(config, option) for option in FROM_PROFILE}
    metadata = PROFILES[config.profile].synchronization_metadata
    return Settings(
        **presets,
        role=PortRole(config.role),
        minor_version=config.minor_version,
        clock_class=config.clock_class,
        delay_mechanism=DelayMechanism(config.delay_mechanism),
        unicast=unicast_mode(config),
        servers=tuple(str(_address(server)) for server in config.unicast_servers),
        accept=frozenset(parse_clock_identity(identity) for identity in config.accept),
        master_only=config.master_only,
        path_trace=config.path_trace,
        asymmetry_ns=config.asymmetry,
        synchronization_metadata=SmpteSynchronizationMetadata() if metadata else None,
    )


def authenticator_from_config(config: PtpConfig, build: Build) -> Authenticator | None:
    """Signs and checks messages, where there is a file of keys. Raises NodeError for a file that has no such keys."""
    if config.sa_file is None:
        return None
    try:
        associations = parse_security_associations(build.read_text(config.sa_file))
        if config.spp is None and len(associations) > 1:
            raise ValueError(f"the key file has several associations: name one of spp {sorted(associations)}")
        spp = next(iter(associations)) if config.spp is None else config.spp
        if spp not in associations or not associations[spp].keys:
            raise ValueError(f"the key file has no key for spp {spp}")
        return Authenticator(associations[spp], config.active_key_id)
    except ValueError as error:
        raise NodeError(str(error), "see sa_file in linuxptp's manual of ptp4l", option="sa-file") from error


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    # As arrivals have it: in its shortest form, and without a scope, which is the interface's.
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def socket_settings_from_config(config: PtpConfig, interface: str) -> PortSocketSettings:
    """The sockets that it needs on an interface."""
    event_dscp, general_dscp = DSCP[config.dscp]
    return PortSocketSettings(
        interface=interface,
        transport=config.transport,
        event_port=config.event_port,
        general_port=config.general_port,
        ttl=config.ttl,
        event_dscp=event_dscp if config.event_dscp is None else config.event_dscp,
        general_dscp=general_dscp if config.general_dscp is None else config.general_dscp,
        hardware_stamps=config.hardware_stamps,
    )


def make_identity(mac: bytes, *parts: str | int) -> int:
    """A clockIdentity (7.5.2.2) of an Ethernet address and what distinguishes this instance on the host.

    The middle octets are not FF-FE: that identity belongs to the ``ptp4l`` that may run beside us, and two clocks of
    one identity take each other's messages for their own. Without an address all octets are made of the parts.
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    octets = bytearray(mac[:3] + digest[:2] + mac[3:] if len(mac) == 6 else digest[:8])
    octets[3] &= 0x7F  # never FF-FE
    octets[0] |= 0x02  # locally administered
    return int.from_bytes(octets, "big")
