"""What the API is measured against: a FastAPI route that does one INSERT, served as the API is."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

TABLE = """
    CREATE TABLE IF NOT EXISTS public.bare_ticket (
        ticket_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, serial text NOT NULL, kind text NOT NULL,
        priority text NOT NULL, title text NOT NULL, description text NOT NULL, at timestamptz NOT NULL DEFAULT now())
"""
INSERT = """
    INSERT INTO public.bare_ticket (serial, kind, priority, title, description)
    VALUES (%(serial)s, %(kind)s, %(priority)s, %(title)s, %(description)s)
    RETURNING ticket_id
"""


class BareTicket(BaseModel):
    """The same body as that of the API's own route in this benchmark."""

    serial: str
    kind: str
    priority: str
    title: str
    description: str


def bare_app(database_url: str) -> FastAPI:
    """The application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncConnectionPool(database_url, min_size=2, max_size=10) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/tickets", status_code=201)
    async def create(body: BareTicket) -> dict[str, Any]:
        async with app.state.pool.connection() as connection:
            row = await (await connection.execute(INSERT, body.model_dump())).fetchone()
        return {"ticket_id": row[0], **body.model_dump()}

    return app


if __name__ == "__main__":
    uvicorn.run(bare_app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_config=None, access_log=False)
