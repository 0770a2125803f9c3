"""What a correction of a report names must be there."""

from api.completion_audit.models import Correction
from api.completion_audit.repository import row
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.files.service import attach, require_file
from api.visits.repository import find_fault_code


async def require_named(call: Call, visit_id: int, body: Correction) -> None:
    """Refuse what the correction names and is not there; its files belong to the visit's case from now on.

    Raises:
        Problem: 422 naming the field.
    """
    visit = await row(call, "subject_of_visit", {"visit_id": visit_id})
    if visit is None:
        raise LookupError(f"visit {visit_id} is gone although it has a check")
    files = [(f"body.photos.{index}", file_id) for index, file_id in enumerate(body.photos)]
    if body.signature_file_id is not None:
        files.append(("body.signature_file_id", body.signature_file_id))
    for field, file_id in files:
        await require_file(call, file_id, field)
        await attach(call, file_id, ticket_id=visit["ticket_id"], asset_id=visit["asset_id"], field=field)
    for level, code in (body.diagnosis.model_dump() if body.diagnosis else {}).items():
        if code is not None:
            found = await find_fault_code(call, visit["product_kind"], code)
            if found is None or found["level"] != level:
                message = f"{visit['product_kind']} has no {level} {code}; GET /v1/fault-codes lists them"
                raise Problem.bad_field(f"body.diagnosis.{level}", message)
    for index, fitted in enumerate(body.part_serials):
        wanted = {"visit_id": visit_id, "visit_part_id": fitted.visit_part_id}
        if await row(call, "part_of_visit", wanted) is None:
            message = f"visit {visit_id} has used no such part; GET /v1/visits/{visit_id} lists them"
            raise Problem.bad_field(f"body.part_serials.{index}.visit_part_id", message)
