"""Parts against stock, machine and serial numbers."""

from typing import Annotated

from pydantic import Field

from api.completion_audit.facts import Facts
from api.completion_audit.kinds.kind import NONE, Answer, Found, Kind, Nothing, Parameters, Unknown


class Stock(Parameters):
    """What is compared with the ledger."""

    billed_too: bool = Field(True, description="also pieces that the customer pays for")
    tolerance: Annotated[int, Field(ge=0, le=1000)] = Field(0, description="pieces that do not matter")


def _parts_against_stock(facts: Facts, wanted: Stock) -> Answer:
    billed: dict[str, int] = {}
    if wanted.billed_too and facts.bill is not None and not facts.voided:
        for line in facts.bill.lines:
            if line.kind == "part":
                billed[line.code] = billed.get(line.code, 0) + line.quantity
    uses = {part.sku: part for part in facts.parts}
    found = []
    for sku in sorted(set(uses) | set(billed)):
        use = uses.get(sku)
        told, moved = (use.used_by_job, use.moved) if use else (0, 0)
        claimed = max(told, billed.get(sku, 0))
        if claimed > moved + wanted.tolerance:
            message = (
                f"{sku}: {told} reported and {billed.get(sku, 0)} billed, {moved} taken from stock; "
                "book the rest or object"
            )
            detail = {"sku": sku, "reported": told, "billed": billed.get(sku, 0), "moved": moved}
            found.append(Found(message, detail))
    return found


def _part_does_not_fit(facts: Facts, _: Nothing) -> Answer:
    return [
        Found(f"{part.sku} does not fit a {facts.model}; object with why it was built in", {"sku": part.sku})
        for part in facts.parts
        if part.used > 0 and part.fits is False
    ]


def _part_serial(facts: Facts, _: Nothing) -> Answer:
    found = []
    for part in facts.parts:
        missing = part.used - part.serials if part.serialised else 0
        if missing > 0:
            message = f"{part.sku}: {missing} of {part.used} fitted without their serial number; correct part_serials"
            found.append(Found(message, {"sku": part.sku, "missing": missing}))
    return found


def _old_part(facts: Facts, _: Nothing) -> Answer:
    return [
        Found(f"{part.sku}: what became of the old part is not told; object with where it is", {"sku": part.sku})
        for part in facts.parts
        if part.old_without_fate > 0
    ]


def _replaced_without_part(facts: Facts, _: Nothing) -> Answer:
    if facts.report is None:
        return Unknown("the visit has no report")
    if not facts.report.replaced or any(part.used_by_job > 0 for part in facts.parts):
        return NONE
    names = ", ".join(facts.report.replaced)
    message = f"{names} reported as replaced, and no part was taken from stock; book it or object"
    return [Found(message, {"replaced": facts.report.replaced})]


KINDS = (
    Kind("parts_against_stock", "more parts than the ledger of stock has moved", Stock, _parts_against_stock),
    Kind("part_does_not_fit", "a part that the catalogue does not let into the model", Nothing, _part_does_not_fit),
    Kind("part_serial", "a part with a number of its own, fitted without it", Nothing, _part_serial),
    Kind("old_part", "an old part that is wanted back and not told of", Nothing, _old_part),
    Kind("replaced_without_part", "a component replaced, and no part used", Nothing, _replaced_without_part),
)
