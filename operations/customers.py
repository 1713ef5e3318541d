"""Customers: adding one, changing what it is allowed, adding parameters, and showing it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.ledger import Limit
from infra.parameters import Customer, ParameterStore
from schemas.errors import Permanent
from schemas.ids import check_customer_id
from schemas.parameters import InstallationParameters

AGE_RECIPIENT: Final = re.compile(r"age1[02-9ac-hj-np-z]{58}")
"""A native X25519 recipient: `age1` and 58 letters of Bech32 (age-encryption.org/v1)."""
WINDOW: Final = range(1, 100_001)
RETAIN_HOURS: Final = range(1, 169)
"""At most 7 days."""
LIMIT: Final = re.compile(r"([0-9]{1,9})|([0-9]{1,3}(?:\.[0-9]{1,3})?)%")
NO_LIMIT: Final = "none"


async def add_customer(
    customer: str,
    *,
    store: ParameterStore,
    recipient: str | None = None,
    roots: Sequence[str] = (),
    revoked_roots: Sequence[str] = (),
    window: int | None = None,
    retain_hours: int | None = None,
    max_failed: str | None = None,
) -> Customer:
    """Adds a customer, with default parameters, or changes one: what is not given stays as it is.

    `roots` are added to those it has, `revoked_roots` taken away. `max_failed` is read by `read_limit`, NO_LIMIT takes
    it away again. Returns the customer as it now stands.
    Raises Permanent `customer.id`, or `customer.invalid` naming the field, never its value.
    """
    known = await _known(customer, store)
    wanted = {"recipient": recipient, "window": window, "retain_hours": retain_hours}
    changed = replace(known, **{name: value for name, value in wanted.items() if value is not None})  # type: ignore[arg-type]
    gone = {_root(root) for root in revoked_roots}
    allowed = dict.fromkeys((*changed.roots, *(_root(root) for root in roots)))
    changed = replace(changed, roots=tuple(root for root in allowed if root not in gone))
    if max_failed is not None:
        changed = replace(changed, max_failed=None if max_failed == NO_LIMIT else max_failed)
    _check(changed)
    await store.put_customer(changed)
    await _add_default_parameters(customer, store)
    return changed


async def add_parameters(customer: str, fields: Mapping[str, Any], *, store: ParameterStore) -> int:
    """Stores `fields` as the customer's next parameters; what they leave out has its default. Returns the number.

    Jobs that are open keep the version they pinned. Raises Permanent `customer.unknown`, or `parameters.invalid` naming
    the fields and rules, never a value.
    """
    await store.customer(customer)
    parameters = read_parameters(customer, fields)
    return await store.add_version(parameters)


def read_parameters(customer: str, fields: Mapping[str, Any]) -> InstallationParameters:
    """Raises Permanent `parameters.invalid` naming the fields and rules, never a value."""
    try:
        parameters = InstallationParameters.model_validate({"customer_id": customer, **fields})
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))} ({_rule(e)})" for e in error.errors(include_input=False)]
        raise Permanent("parameters.invalid", what=", ".join(wrong)) from None
    if parameters.customer_id != customer:
        raise Permanent("parameters.invalid", what="customer_id (names another customer)")
    return parameters


def read_limit(text: str | None) -> Limit | None:
    """How many documents may fail: `5` of them, `10%` of them, or any number for None.

    Raises Permanent `customer.invalid`.
    """
    if text is None:
        return None
    found = LIMIT.fullmatch(text)
    if found is None or (found[2] and float(found[2]) > 100):
        raise Permanent("customer.invalid", what="max_failed (a count as 5, a share as 10%, or none)")
    return Limit(count=int(found[1])) if found[1] else Limit(share=float(found[2]) / 100)


async def show_customer(customer: str, *, store: ParameterStore) -> dict[str, Any]:
    """The customer and its newest parameters as plain values. Raises Permanent `customer.unknown`."""
    found = await store.customer(customer)
    number, parameters = await store.version(customer)
    return {
        **asdict(found),
        "roots": list(found.roots),
        "parameters": {
            "version": number,
            "sha256": parameters.sha256(),
            **parameters.model_dump(mode="json", exclude={"customer_id"}),
        },
    }


async def _known(customer: str, store: ParameterStore) -> Customer:
    check_customer_id(customer)
    try:
        return await store.customer(customer)
    except Permanent as error:
        if error.code != "customer.unknown":
            raise
        return Customer(customer)


async def _add_default_parameters(customer: str, store: ParameterStore) -> None:
    try:
        await store.version(customer)
    except Permanent as error:
        if error.code != "parameters.unknown":
            raise
        await store.add_version(InstallationParameters(customer_id=customer))


def _check(customer: Customer) -> None:
    read_limit(customer.max_failed)
    rules = {
        "recipient (an age public key, age1...)": customer.recipient is None
        or AGE_RECIPIENT.fullmatch(customer.recipient) is not None,
        f"window ({WINDOW.start} to {WINDOW.stop - 1})": customer.window in WINDOW,
        f"retain_hours ({RETAIN_HOURS.start} to {RETAIN_HOURS.stop - 1})": customer.retain_hours in RETAIN_HOURS,
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise Permanent("customer.invalid", what=", ".join(broken))


def _root(root: str) -> str:
    """A root with one '/' at its end, so that no neighbour shares its beginning: `/data/a` is not above `/data/ab`."""
    parts = urlsplit(root)
    place = {"file": parts.path.strip("/"), "s3": parts.netloc}.get(parts.scheme)
    strange = parts.query or parts.fragment or (parts.scheme == "file" and parts.netloc)
    if not place or strange or ".." in unquote(parts.path).split("/"):
        raise Permanent("customer.invalid", what="roots (file:///folder/ or s3://bucket/prefix/, without '..')")
    return root.rstrip("/") + "/"


def _rule(error: ErrorDetails) -> str:
    """A rule of ours in its own words, which quote no value; any other by its name, since pydantic's words may."""
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    return {"extra_forbidden": "unknown field"}.get(error["type"], error["type"])
