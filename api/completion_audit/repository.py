"""Reads checks, and gathers what rules see of visits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from api.completion_audit.facts import Base, Facts
from api.conventions.call import Call
from api.conventions.positions import Position, great_circle_km
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.completion_audit")

_ONE_CHECK = SQL["check_rows"] + "\n" + SQL["one_check"]


async def row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row of a statement, if any."""
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    """The rows of a statement."""
    return await (await call.connection.execute(SQL[query], values)).fetchall()


async def execute(call: Call, query: str, values: Mapping[str, Any]) -> None:
    """Run a statement that answers nothing."""
    await call.connection.execute(SQL[query], values)


async def lock_check(call: Call, completion_check_id: int) -> DictRow:
    """Lock a check until the transaction ends.

    Raises:
        Problem: 404.
    """
    found = await row(call, "lock_check", {"completion_check_id": completion_check_id})
    if found is None:
        raise Problem.not_found("completion check", completion_check_id)
    return found


async def get_check(call: Call, completion_check_id: int) -> DictRow:
    """One check without its history.

    Raises:
        Problem: 404.
    """
    key = {"completion_check_id": completion_check_id}
    found = await (await call.connection.execute(_ONE_CHECK, key)).fetchone()
    if found is None:
        raise Problem.not_found("completion check", completion_check_id)
    return found


# Facts ----------------------------------------------------------------------------------------------


async def gather(call: Call, visit_ids: Sequence[int]) -> list[Facts]:
    """What the rules see of completed visits of partners, by number of the visit; needs a call that sees all of it."""
    await execute(call, "without_compiling", {})
    # How many they are differs, and so does the best plan.
    found = await (
        await call.connection.execute(SQL["facts_of_visits"], {"visit_ids": list(visit_ids)}, prepare=False)
    ).fetchall()
    photos = {one["visit_id"]: _photos(one) for one in found}
    wanted = {"file_ids": sorted({file_id for files in photos.values() for file_id in files})}
    reused = {one["file_id"]: one["asset_id"] for one in await rows(call, "photos_reused", wanted)}
    return [
        facts_of(
            one,
            photos[one["visit_id"]],
            {file_id: reused[file_id] for file_id in photos[one["visit_id"]] & set(reused)},
        )
        for one in found
    ]


def facts_of(found: Mapping[str, Any], photos: Iterable[int], reused: Mapping[int, int]) -> Facts:
    """The facts of a row.

    Args:
        found: Of `facts_of_visits`.
        photos: Numbers of all photos.
        reused: Of those that were given for another machine too, that machine by number of the file.
    """
    frozen = found["frozen"] or {}
    bill = frozen.get("bill")
    return Facts.model_validate(
        {
            **found,
            "report": _report(found, len(set(photos))),
            "warranty": frozen.get("warranty"),
            "bill": bill,
            "located": found["latitude"] is not None and found["longitude"] is not None,
            "base": _nearest(found),
            "reused": [{"file_id": file_id, "asset_id": asset_id} for file_id, asset_id in sorted(reused.items())],
        }
    )


def _photos(found: Mapping[str, Any]) -> set[int]:
    """Photos of the report, of the procedure's steps, and of corrections."""
    photos = {*found["step_photos"], *(found["content"] or {}).get("photos", ())}
    for correction in found["corrections"]:
        photos |= set(correction.get("photos", ()))
    return photos


def _report(found: Mapping[str, Any], photos: int) -> dict[str, Any] | None:
    """The report with the partner's corrections; what was corrected last holds."""
    content: dict[str, Any] | None = found["content"]
    if content is None and not found["corrections"]:
        return None
    first = content or {}
    told: dict[str, Any] = {**first, **(first.get("diagnosis") or {}), "signed": found["signed"]}
    corrected: set[str] = set()
    for correction in found["corrections"]:
        corrected |= set(correction)
        told |= {name: value for name, value in correction.items() if name not in {"diagnosis", "photos"}}
        told |= {level: code for level, code in (correction.get("diagnosis") or {}).items() if code is not None}
        told["signed"] = told["signed"] or "signature_file_id" in correction
    return {
        **{name: told.get(name) for name in ("serial_found", "symptom", "fault", "cause", "remedy")},
        **{name: told.get(name) for name in ("solved", "outcome", "in_warranty", "travel_minutes")},
        "warranty_noted": bool(told.get("warranty_note")),
        "photos": photos,
        "signed": told["signed"],
        "unsigned_noted": bool(told.get("no_signature_reason")),
        "replaced": [one["component"] for one in told.get("replaced") or ()],
        "corrected": sorted(corrected),
    }


def _nearest(found: Mapping[str, Any]) -> Base | None:
    """The partner's warehouse that is nearest to the site."""
    site = Position.of(found["latitude"], found["longitude"])
    if site is None:
        return None
    away = [
        (round(great_circle_km(Position(base["latitude"], base["longitude"]), site), 2), base["code"])
        for base in found["bases"]
    ]
    return Base(code=min(away)[1], km=min(away)[0]) if away else None
