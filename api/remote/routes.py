"""`/v1/agents`."""

from uuid import UUID

from fastapi import APIRouter, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, tag
from api.conventions.models import Serial
from api.conventions.pages import CurrentNamePage, CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.remote import service
from api.remote.models import Agent, Command, CommandSummary, Config, NewCommand, NewConfig

router = APIRouter(prefix="/v1/agents", tags=["agents"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
DESK = [allow("agent")]


@router.get("", dependencies=EVERYBODY)
async def list_agents(page: CurrentNamePage, call: CurrentCall, online: bool | None = None) -> Page[Agent]:
    """Agents that have ever connected, by id; only those online, or offline, if wished."""
    parameters = {**page.parameters, "online": online, "scoped": call.principal.scoped}
    rows = await (await call.connection.execute(service.SQL["list_agents"], parameters)).fetchall()
    return Page[Agent].model_validate(page.page(rows, "agent_id"))


@router.get("/{agent_id}", dependencies=EVERYBODY)
async def get_agent(agent_id: Serial, call: CurrentCall) -> Agent:
    """One agent."""
    return Agent(**await service.get_agent(call, agent_id))


@router.get("/{agent_id}/config", dependencies=EVERYBODY)
async def get_config(agent_id: Serial, call: CurrentCall, response: Response) -> Config:
    """The desired configuration, and what the agent made of it."""
    config = Config(**await service.get_config(call, agent_id))
    tag(response, config.version)
    return config


@router.put("/{agent_id}/config", dependencies=DESK)
async def put_config(
    agent_id: Serial, body: NewConfig, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Config:
    """Set the desired configuration, the first time without If-Match; the agent gets it within seconds."""
    config = Config(**await service.put_config(call, agent_id, body, if_match))
    tag(response, config.version)
    return config


@router.post("/{agent_id}/commands", status_code=201, dependencies=DESK)
async def create_command(agent_id: Serial, body: NewCommand, call: CurrentCall, response: Response) -> Command:
    """Tell an agent to do something; it does it at most once, and not after `expires_in_s`."""
    command = Command(**await service.create_command(call, agent_id, body))
    response.headers["Location"] = f"/v1/agents/{agent_id}/commands/{command.command_id}"
    return command


@router.get("/{agent_id}/commands", dependencies=EVERYBODY)
async def list_commands(agent_id: Serial, page: CurrentPage, call: CurrentCall) -> Page[CommandSummary]:
    """An agent's commands, oldest first; what each brought is read by its id."""
    await service.require_seen(call, agent_id)
    parameters = {**page.parameters, "agent_id": agent_id, "now": call.now}
    rows = await (await call.connection.execute(service.SQL["list_commands"], parameters)).fetchall()
    return Page[CommandSummary].model_validate(page.page(rows, "number"))


@router.get("/{agent_id}/commands/{command_id}", dependencies=EVERYBODY)
async def get_command(agent_id: Serial, command_id: UUID, call: CurrentCall) -> Command:
    """One command, and what it brought."""
    return Command(**await service.get_command(call, agent_id, command_id))
