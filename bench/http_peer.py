"""The peer of bench/http_checks.py, as a process: a bare FastAPI route with one SQLite commit."""

from __future__ import annotations

import socket
import sqlite3
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Given(BaseModel):
    user: str
    code: str


def create_app(path: str) -> FastAPI:
    app = FastAPI()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE peer (id INTEGER PRIMARY KEY, value TEXT)")
    connection.execute("INSERT INTO peer VALUES (1, '')")

    @app.post("/")
    async def check(given: Given) -> dict[str, str]:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE peer SET value = ? WHERE id = 1", (given.user,))
        connection.execute("COMMIT")
        return {"user": given.user}

    return app


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits it
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            create_app(sys.argv[1]), http="h11", ws="none", lifespan="off", log_config=None, access_log=False
        )
        uvicorn.Server(config).run([listener])
