"""Writes the bill of materials of a release: CycloneDX 1.6, as JSON.

    .venv/bin/python tools/sbom.py dist/phasegraph.cdx.json

It lists our distributions and what they need to run, each with its version, licence and package URL, as installed in
the environment that runs this: the versions of constraints.txt. Tools for tests are not in it.
"""

from __future__ import annotations

import datetime
import os
import re
import sys
import time
import tomllib
import uuid
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def main(path: str) -> int:
    """Write the file; returns the exit code."""
    project = tomllib.loads((ROOT / "all" / "pyproject.toml").read_text("utf-8"))["project"]
    root = Component(
        name=project["name"], version=project["version"], bom_ref="phasegraph", type=ComponentType.APPLICATION
    )
    root.licenses.add(LicenseFactory().make_from_string(project["license"]))
    bom = Bom()
    bom.metadata.component = root
    components: dict[str, Component] = {}
    needed = [add(bom, components, *need) for need in direct_needs(project["dependencies"])]
    bom.register_dependency(root, needed)
    # The same for everyone who builds the same commit.
    stamp = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(stamp, datetime.UTC)
    bom.serial_number = uuid.uuid5(
        uuid.NAMESPACE_URL, " ".join(sorted(f"{each.name} {each.version}" for each in bom.components))
    )
    Path(path).write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", "utf-8")
    print(f"{len(components)} components: {path}")
    return 0


def add(bom: Bom, components: dict[str, Component], name: str, extras: Iterable[str] = ()) -> Component:
    """The component of a distribution, with those that it and its extras need; each once."""
    found = distribution(name)
    component = components.get(name)
    if component is None:
        components[name] = component = describe(name, found)
        bom.components.add(component)
    elif not extras:
        return component
    needs = direct_needs(found.requires or [], extras)
    bom.register_dependency(component, [add(bom, components, *need) for need in needs])
    return component


def describe(name: str, found: Distribution) -> Component:
    """A component as its metadata describes it."""
    url = PackageURL("pypi", name=name, version=found.version)
    component = Component(name=name, version=found.version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url))
    component.description = found.metadata.get("Summary")
    classifiers = found.metadata.get_all("Classifier") or []
    named = [line.rsplit(" :: ", 1)[1] for line in classifiers if line.startswith("License :: OSI Approved :: ")]
    licence = found.metadata.get("License-Expression") or " AND ".join(named) or found.metadata.get("License")
    if licence:
        component.licenses.add(LicenseFactory().make_from_string(licence.splitlines()[0]))
    return component


def direct_needs(requirements: Iterable[str], extras: Iterable[str] = ()) -> list[tuple[str, tuple[str, ...]]]:
    """Name and extras of each distribution that these requirements ask for on this system."""
    needs = []
    for requirement in map(Requirement, requirements):
        name, marker = re.sub(r"[-_.]+", "-", requirement.name).lower(), requirement.marker
        asked = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if asked and is_installed(name):
            needs.append((name, tuple(sorted(requirement.extras))))
    return sorted(needs)


def is_installed(name: str) -> bool:
    """Whether a distribution is in this environment: what other systems need is not."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
