"""The rival: FastAPI as its documentation shows it, over onnxruntime with its defaults. ``python … GRAPH DIM``.

Prints its port, then serves until it is stopped.
"""

import socket
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel


class Sample(BaseModel):
    """Body of the only call."""

    n: int = 1
    seed: int = 0


def application(graph: str, dim: int) -> FastAPI:
    """One route, which a thread of the framework's pool runs."""
    app, session = FastAPI(), onnxruntime.InferenceSession(graph)
    conditional = any(each.name == "label" for each in session.get_inputs())

    @app.post("/v1/samples")
    def sample(body: Sample) -> Response:
        random = np.random.default_rng(body.seed)
        inputs: dict[str, object] = {"latents": random.standard_normal((body.n, dim), dtype=np.float32)}
        if conditional:
            inputs["label"] = random.integers(0, 10, body.n)
        return Response(session.run(None, inputs)[0].tobytes(), media_type="application/octet-stream")

    return app


if __name__ == "__main__":
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(application(sys.argv[1], int(sys.argv[2])), log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
