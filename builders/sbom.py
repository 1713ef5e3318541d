"""What software an image consists of, in CycloneDX: the base's packages, the appliance, and the SQLite that wrote the
data. Nothing in it is drawn or timed: the same base and appliance give the same bytes.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.parser import BytesParser
from typing import Final
from uuid import NAMESPACE_URL, uuid5

import apsw
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from builders.oci.read import Image, read_files

_DPKG_STATUS: Final = "var/lib/dpkg/status"
_OS_RELEASE: Final = "usr/lib/os-release"
_PYTHON_PACKAGE: Final = re.compile(r"(?:.*/)?(?:dist|site)-packages/[^/]+\.dist-info/METADATA")
_LONGEST_LICENCE: Final = 80
"""What is longer is a licence's text, not its name."""
_UNTIMED: Final = datetime.fromtimestamp(0, UTC)


def make_sbom(base: Image | None, *, version: str, licence: str) -> bytes:
    """The SBOM of an image over `base`, with the appliance's version and licence (SPDX).

    Raises CradleError `image.broken`: a layer of the base cannot be read.
    """
    files = read_files(base, _tells_of_packages) if base else {}
    packages = [*_debian_packages(files), *_python_packages(files), _sqlite()]
    packages.sort(key=lambda one: one.bom_ref.value or "")
    itself = _component(PackageURL("generic", None, "cradle-appliance", version), licence, ComponentType.APPLICATION)
    bom = Bom(
        components=packages,
        metadata=BomMetaData(component=itself, timestamp=_UNTIMED),
        serial_number=uuid5(NAMESPACE_URL, "\n".join(one.bom_ref.value or "" for one in packages)),
    )
    bom.register_dependency(itself, packages)
    written = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    return written.encode() + b"\n"


def _tells_of_packages(name: str) -> bool:
    return name in (_DPKG_STATUS, _OS_RELEASE) or _PYTHON_PACKAGE.fullmatch(name) is not None


def _debian_packages(files: Mapping[str, bytes]) -> Iterable[Component]:
    """Those that are installed. Debian keeps licences as texts, which are not told here."""
    release = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)', files.get(_OS_RELEASE, b"").decode(), re.MULTILINE))
    vendor = release.get("ID", "debian")
    distribution = f"{vendor}-{release.get('VERSION_ID', '')}".rstrip("-")
    for paragraph in files.get(_DPKG_STATUS, b"").decode().split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status") == "install ok installed":
            name, number, qualifiers = fields["Package"], fields["Version"], {"arch": fields["Architecture"]}
            yield _component(PackageURL("deb", vendor, name, number, {**qualifiers, "distro": distribution}))


def _python_packages(files: Mapping[str, bytes]) -> Iterable[Component]:
    for name in sorted(files):
        if _PYTHON_PACKAGE.fullmatch(name):
            metadata = BytesParser().parsebytes(files[name], headersonly=True)
            stated = metadata["License-Expression"] or metadata["License"] or ""
            licence = stated if len(stated) <= _LONGEST_LICENCE and "\n" not in stated else ""
            yield _component(PackageURL("pypi", None, metadata["Name"].lower(), metadata["Version"]), licence)


def _sqlite() -> Component:
    """The one that writes data layers; what reads them is the base's."""
    return _component(PackageURL("generic", None, "sqlite", apsw.sqlite_lib_version()), "blessing")


def _component(purl: PackageURL, licence: str = "", kind: ComponentType = ComponentType.LIBRARY) -> Component:
    return Component(
        name=purl.name,
        version=purl.version,
        type=kind,
        purl=purl,
        bom_ref=purl.to_string(),  # the library would draw one
        licenses=[LicenseFactory().make_from_string(licence)] if licence else (),
    )
