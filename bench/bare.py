"""A FastAPI route that returns the bytes of a file and does nothing else: `python -m bench.bare PORT FILE`.

What the service's own answers are compared with; uvicorn is set as in api/serving.py.
"""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response


def main(port: int, file: Path) -> None:
    """Answer until SIGTERM."""
    content = file.read_bytes()
    app = FastAPI()

    @app.post("/api")
    async def answer() -> Response:
        return Response(content, media_type="application/json")

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
