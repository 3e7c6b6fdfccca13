"""Options of an NMOS node, as a configuration file writes them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from phasegraph import InputFile, OutputFile

DEFAULT_PORT = 3212


class NmosOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Options of the command ``nmos``: ``[control.nmos]`` of a graph, a TOML file, or the command's own options."""

    label: Annotated[str, Meta(description="Name of the node; the name of the computer by default.")] = ""
    description: Annotated[str, Meta(description="What the node is for.")] = ""
    interface: Annotated[
        str, Meta(description="Network interface to serve and to announce on, by name or address; left out, all.")
    ] = ""
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of the APIs; 0 is any free one.")] = DEFAULT_PORT
    host: Annotated[
        str, Meta(description="Name or address that the URLs of this node have; the interface's address by default.")
    ] = ""
    registries: Annotated[
        tuple[str, ...],
        Meta(
            description="URLs of registries, the preferred one first, such as http://10.0.0.5:8010; "
            "left out, they are found by mDNS."
        ),
    ] = ()
    mdns: Annotated[
        bool, Meta(description="Find registries by mDNS, and announce the node where there is none (peer to peer).")
    ] = True
    system: Annotated[
        Literal["fill", "override", "ignore"],
        Meta(
            description="What PTP clocks get of a System API (IS-09): its domain and announce timeout where the graph "
            "sets none, in any case, or not."
        ),
    ] = "fill"
    state: Annotated[
        OutputFile, Meta(description="Folder for what controllers have set; a folder of the user by default.")
    ] = ""
    remember: Annotated[bool, Meta(description="After a restart, restore what controllers have set.")] = True
    seed: Annotated[str, Meta(description="Text that the UUIDs follow from; the machine's id by default.")] = ""
    gateway: Annotated[
        bool, Meta(description="Register sessions that are announced by SAP or RAVENNA as senders of a second device.")
    ] = False
    certificate: Annotated[
        InputFile, Meta(description="File with the certificate chain (PEM) for TLS (BCP-003-01).")
    ] = ""
    key: Annotated[InputFile, Meta(description="File with the certificate's private key (PEM).")] = ""
    trust: Annotated[
        InputFile,
        Meta(
            description="File with the certificates (PEM) that registries are checked against; the system's by default."
        ),
    ] = ""
    token_keys: Annotated[
        InputFile,
        Meta(
            description="File with the public keys of the authorization server (JWKS); with it, every request needs "
            "a bearer token (IS-10)."
        ),
    ] = ""
    token_audience: Annotated[
        str, Meta(description="Name of this node in tokens' `aud`; its host name by default.")
    ] = ""
