"""Redis as more than one server: a replica and a sentinel that watches, and a cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import redis

from . import programs
from .servers import HOST, READY_WITHIN, RedisServer


class RedisReplica(RedisServer):
    def __init__(self, primary: RedisServer) -> None:
        super().__init__()
        self._primary = primary

    def _command(self) -> list[str]:
        return [*super()._command(), "--replicaof", HOST, str(self._primary.port)]


class RedisSentinel(RedisServer):
    """Makes a replica of `primary` the new primary when that is gone for half a second."""

    def __init__(self, primary: RedisServer) -> None:
        super().__init__()
        self._primary = primary

    def _command(self) -> list[str]:
        configuration: Path = self.folder / "sentinel.conf"
        configuration.write_text(
            f"bind {HOST}\nport {self.port}\n"
            f"sentinel monitor main {HOST} {self._primary.port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
        )
        return [str(programs.REDIS.require()), str(configuration), "--sentinel"]


class RedisClusterNode(RedisServer):
    """A cluster of one, which refuses what a cluster refuses."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--cluster-enabled", "yes"]

    def start(self) -> None:
        super().start()
        with redis.Redis(host=HOST, port=self.port) as node:
            if _cluster_info(node)["cluster_slots_assigned"] != "16384":
                node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            # For two seconds after its start a node answers CLUSTERDOWN; older clients give up earlier.
            deadline = time.monotonic() + READY_WITHIN
            while _cluster_info(node)["cluster_state"] != "ok":
                if time.monotonic() > deadline:
                    raise RuntimeError("the cluster of one node does not come up")
                time.sleep(0.05)


def _cluster_info(node: Any) -> dict[str, str]:
    return dict(node.execute_command("CLUSTER INFO"))
