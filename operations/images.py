"""The images that stand under CRADLE_HOME."""

import re
from pathlib import Path

from infra.paths import CustomerPaths
from schemas.errors import CradleError
from schemas.ids import CUSTOMER_ID


def find_image(home: Path, target: str) -> Path:
    """The layout that `target` names: a path to one, or a customer, whose newest image it then is.

    Raises CradleError `image.unknown`.
    """
    if re.fullmatch(CUSTOMER_ID, target):
        baked = customer_images(home, target)
        if baked:
            return baked[0]
    path = Path(target).expanduser()
    if path.exists():
        return path
    raise CradleError("image.unknown", name=target)


def customer_images(home: Path, customer: str) -> list[Path]:
    """The customer's images, the newest first. Raises Permanent `customer.id`.

    An image stands whole or not at all, and its index is what was written last.
    """
    indexes = CustomerPaths(home, customer).images.glob("[!.]*/index.json")
    newest_first = sorted(indexes, key=lambda index: (index.stat().st_mtime_ns, index.parent.name), reverse=True)
    return [index.parent for index in newest_first]
