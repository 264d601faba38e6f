"""The real server of the Consul tests: `python -m tests.servers.consul.build` builds it where it is not there."""

from __future__ import annotations

import sys

from tests.servers.go_servers import Server, build

CONSUL = Server("consul", "github.com/hashicorp/consul", "github.com/hashicorp/consul")

if __name__ == "__main__":
    sys.exit(build((CONSUL,)))
