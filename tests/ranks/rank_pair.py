"""Two gloo ranks that are started once and then run any function of a module: ``Pair.run(f, …)``."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch
import warm

from plaudit.runtime import Mesh

SECONDS = 900  # until a test gives up on a rank


def _serve(rank: int, port: int, tasks: Any, results: Any) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    mesh = Mesh.from_environment(timeout=300)
    while (task := tasks.get()) is not None:
        function, args = task
        try:
            found = "done", function(mesh, *args)
        except BaseException as error:
            found = "failed", (type(error).__name__, str(error), traceback.format_exc())
        results.put((rank, *found))
        mesh.barrier()
    torch.distributed.destroy_process_group()


class Pair:
    """``run(f, *args)`` calls ``f(mesh, *args)`` on both ranks and returns what each returned, by rank."""

    def __init__(self) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        context = warm.CONTEXT
        self.tasks, self.results = [context.Queue() for _ in range(2)], context.Queue()
        self.processes = [
            context.Process(target=_serve, args=(rank, port, self.tasks[rank], self.results), daemon=True)
            for rank in range(2)
        ]
        for process in self.processes:
            process.start()

    def outcomes(self, function: Callable[..., Any], *args: Any) -> list[tuple[str, Any]]:
        """("done", value) or ("failed", (error's class, text, traceback)) of each rank."""
        for queue in self.tasks:
            queue.put((function, args))
        found: dict[int, tuple[str, Any]] = {}
        for _ in range(2):
            rank, *outcome = self.results.get(timeout=SECONDS)
            found[rank] = tuple(outcome)
        return [found[0], found[1]]

    def killed(self, function: Callable[..., Any], *args: Any) -> list[int | None]:
        """The exit codes of the ranks after work in which one of them kills itself."""
        for queue in self.tasks:
            queue.put((function, args))
        for process in self.processes:
            process.join(timeout=SECONDS)
        return [process.exitcode for process in self.processes]

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        outcomes = self.outcomes(function, *args)
        for state, value in outcomes:
            assert state == "done", value[2]
        return [value for _, value in outcomes]

    def close(self) -> None:
        for queue in self.tasks:
            queue.put(None)
        for process in self.processes:
            process.join(timeout=30)
            if process.is_alive():
                process.terminate()
