"""The catalogue against the tree that raises from it."""

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import CATALOGUE, CradleError, Family, Permanent, Retryable
from schemas.errors_page import page

ROOT = Path(__file__).parents[2]
PACKAGES = ("cradle", "services", "producers", "consumers", "operations", "builders", "engines", "infra", "schemas")
FAMILIES = {"Permanent": Family.PERMANENT, "Retryable": Family.RETRYABLE}


def raised() -> Iterator[tuple[str, str, str]]:
    """Class, code and place of each error that the code makes with a literal code."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Name(id="Permanent" | "Retryable" | "CradleError" as name),
                        args=[ast.Constant(value=str(code)), *_],
                    ):
                        yield name, code, f"{file.relative_to(ROOT)}:{node.lineno}"


def test_every_error_is_raised_in_its_family() -> None:
    found = list(raised())
    assert len(found) > 100
    wrong = [
        f"{place}: {name}({code})"
        for name, code, place in found
        if code not in CATALOGUE or (name in FAMILIES and CATALOGUE[code].family is not FAMILIES[name])
    ]
    assert wrong == []


def test_only_a_permanent_error_can_storm_and_none_that_a_customer_may_rightly_cause() -> None:
    storms = {code for code, kind in CATALOGUE.items() if kind.storms}
    assert {CATALOGUE[code].family for code in storms} == {Family.PERMANENT}
    assert "delivery.unexpected" in storms
    assert not {code for code in storms if code.startswith(("document.", "source.", "envelope.", "customer."))}


@pytest.mark.parametrize("code", CATALOGUE)
def test_sentence_and_next_step_are_told(code: str) -> None:
    kind = CATALOGUE[code]
    assert kind.sentence.rstrip().endswith(".")
    assert kind.next_step.strip()
    assert f"| `{code}`" in page()


def test_an_error_says_its_sentence_and_keeps_its_code() -> None:
    error = Retryable("dependency.full", name="The object store")
    assert (error.code, str(error)) == ("dependency.full", "The object store is full.")
    assert isinstance(error, CradleError) and not isinstance(error, Permanent)


def test_a_detail_that_is_missing_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        Retryable("dependency.away")


def test_an_error_stays_itself_on_its_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(Permanent("key.unknown")))
    assert isinstance(error, Permanent)
    assert (error.code, str(error), error.next_step) == ("key.unknown", *_said("key.unknown"))


def _said(code: str) -> tuple[str, str]:
    return CATALOGUE[code].sentence, CATALOGUE[code].next_step


def test_the_page_says_family_and_details() -> None:
    assert "| `dependency.away` | retryable | NAME does not answer. |" in page()
    assert "| `delivery.unexpected` * | permanent |" in page()
