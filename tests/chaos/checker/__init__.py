"""The independent checker: what topics, ledger and image say, read and judged by code that the product does not have.

It imports nothing of Cradle. Formats are taken from docs/events.md, docs/image.md, docs/ledger.md and the docstrings of
`builders/leaves.py` and `appliance/format.py`; topics.yaml is read as data.
"""

from tests.chaos.checker.evidence import Evidence
from tests.chaos.checker.image import read_image
from tests.chaos.checker.ledger import read_ledger
from tests.chaos.checker.records import read_topics
from tests.chaos.checker.rules import RULES, Finding, Found, Rule, Verdict

__all__ = ["Evidence", "Finding", "Verdict", "check"]


async def check(evidence: Evidence) -> Verdict:
    """Reads everything once, then asks each rule."""
    found = Found(
        evidence=evidence,
        topics=await read_topics(evidence),
        ledger=read_ledger(evidence),
        image=read_image(evidence.image),
        calm=read_image(evidence.calm_image),
    )
    return Verdict(tuple(_ask(rule, found) for rule in RULES))


def _ask(rule: Rule, found: Found) -> Finding:
    """A rule that finds nothing to look at has not been kept: a checker that reads nothing must not be content."""
    looked_at, violations = rule(found)
    return Finding(
        rule.__doc__ or "", looked_at, violations or (() if looked_at else ("there was nothing to look at",))
    )
