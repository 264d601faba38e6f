"""The rows of the demo's table: for each, what SMI is asked, and the real call that is made.

Nothing here says what should happen: SMI's verdict comes from `smihub explain --batch` on the untouched folder, and
"what Envoy did" from the wire and from the application that answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `caller` is a workload (`web-1`, through its sidecar), or a way to connect past it: `cert:<service account>`,
    `no-cert`, `foreign-cert`, `plaintext` (then `target` is a workload, else a Service). `port` is the Service's or
    the workload's port.
    """

    title: str
    caller: str
    target: str
    port: int
    method: str = "GET"
    path: str = "/"
    headers: Headers = ()
    protocol: str = "http"

    @property
    def direct(self) -> bool:
        """Whether the call goes straight to the callee's sidecar, without a sidecar of its own."""
        return not self.caller.endswith("-1")

    def question(self) -> dict[str, Any]:
        """The request as `smihub explain --batch` reads it."""
        request: dict[str, Any] = {"src": self._source(), "port": self.port, "protocol": self.protocol}
        request["dst"] = {"pod" if self.direct else "service": f"shop/{self.target}"}
        if self.protocol == "http":
            request |= {"method": self.method, "path": self.path, "headers": dict(self.headers)}
        return request

    def _source(self) -> dict[str, Any]:
        kind, _, account = self.caller.partition(":")
        if kind == "cert":
            return {"identity": f"shop/{account}"}
        return {"outside": True} if self.direct else {"pod": f"shop/{self.caller}"}


GOLD = (("x-tier", "gold"),)
ROWS: Sequence[Row] = (
    Row("web lists books", "web-1", "api", 80, path="/v1/books"),
    Row("web reads a book", "web-1", "api", 80, path="/v1/books/7"),
    Row("web lists books, with a query", "web-1", "api", 80, path="/v1/books?page=2"),
    Row("web asks by HEAD", "web-1", "api", 80, "HEAD", "/v1/books"),
    Row("web orders as gold", "web-1", "api", 80, "POST", "/v1/orders", GOLD),
    Row("web orders as gold-plus", "web-1", "api", 80, "POST", "/v1/orders", (("X-Tier", "gold-plus"),)),
    Row("wrong header: web as silver", "web-1", "api", 80, "POST", "/v1/orders", (("x-tier", "silver"),)),
    Row("no header: web orders", "web-1", "api", 80, "POST", "/v1/orders"),
    Row("wrong method: web deletes", "web-1", "api", 80, "DELETE", "/v1/books"),
    Row("wrong path: web at /v1/admin", "web-1", "api", 80, path="/v1/admin"),
    Row("wrong path: not a number", "web-1", "api", 80, path="/v1/books/x"),
    Row("wrong path: with ..", "web-1", "api", 80, path="/v1/books/../admin"),
    Row("partner lists books", "partner-1", "api", 80, path="/v1/books"),
    Row("wrong source: partner orders", "partner-1", "api", 80, "POST", "/v1/orders", GOLD),
    Row("web reads the catalog", "web-1", "catalog", 80, path="/catalog/tea"),
    Row("wrong source: partner, catalog", "partner-1", "catalog", 80, path="/catalog/tea"),
    Row("wrong method: web reserves", "web-1", "catalog", 80, "POST", "/catalog/tea/reserve"),
    Row("web reads an order", "web-1", "orders", 80, path="/orders/1"),
    Row("web changes an order", "web-1", "orders", 80, "PUT", "/orders/1"),
    Row("wrong source: partner, order", "partner-1", "orders", 80, path="/orders/1"),
    Row("api writes to the ledger", "api-v1-1", "ledger", 5432, protocol="tcp"),
    Row("orders writes to the ledger", "orders-1", "ledger", 5432, protocol="tcp"),
    Row("wrong source: web at ledger", "web-1", "ledger", 5432, protocol="tcp"),
    Row("web's certificate, direct", "cert:web", "api-v1-1", 8080, path="/v1/books"),
    Row("orders' certificate, direct", "cert:orders", "catalog-1", 8080, "POST", "/catalog/tea/reserve", (("x-request-source", "orders"),)),
    Row("wrong port: web's certificate", "cert:web", "api-v1-1", 9090, path="/v1/books"),
    Row("certificate without a grant", "cert:stranger", "api-v1-1", 8080, path="/v1/books"),
    Row("no certificate", "no-cert", "api-v1-1", 8080, path="/v1/books"),
    Row("certificate of a foreign CA", "foreign-cert", "api-v1-1", 8080, path="/v1/books"),
    Row("plaintext, direct", "plaintext", "api-v1-1", 8080, path="/v1/books"),
    Row("no certificate at ledger", "no-cert", "ledger-1", 5432, protocol="tcp"),
    Row("wrong certificate at ledger", "cert:web", "ledger-1", 5432, protocol="tcp"),
)  # fmt: skip
BRIEF = tuple(row for row in ROWS if row.title in {
    "web lists books",
    "web orders as gold",
    "wrong header: web as silver",
    "wrong method: web deletes",
    "wrong path: web at /v1/admin",
    "partner lists books",
    "wrong source: partner orders",
    "api writes to the ledger",
    "wrong source: web at ledger",
    "certificate of a foreign CA",
})  # fmt: skip
"""Ten rows that show each kind of rule once; the others are called too, and shown by `DEMO=full`."""
