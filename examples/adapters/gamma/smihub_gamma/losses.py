"""What Gateway API cannot say, each with the reason that its documentation gives, and what to do."""

from __future__ import annotations

from hub.api import Access, Loss, Objection, short


def no_authorization(unit: Access) -> tuple[Loss, ...]:
    """One Loss for each TrafficTarget of an identity: none of it is enforced.

    `access=False`: nothing is refused, so this Loss must not say so. Source: GEP-1294, Non-Goals: "Defining how AuthZ should be
    implemented to secure East/West traffic between services"; GEP-3779 (authorization) has no API in any release yet.
    """
    return tuple(
        Loss(
            "gamma.no-authorization",
            origin,
            "spec.sources",
            "Gateway API has no authorization between workloads (GEP-1294, Non-Goals), so this mesh lets every caller in",
            f"a request to {unit.identity}",
            "let another mesh of smihub.yaml govern access, or write the policies of your mesh by hand",
            access=False,
        )
        for origin in sorted({grant.origin for grant in unit.grants})
    )


def path(pattern: str) -> Objection:
    """A path that is neither one text nor a beginning of whole elements. Source: PathMatchType, "RegularExpression"."""
    return Objection(
        "gamma.path",
        f'every Gateway API mesh matches paths exactly or by whole elements, and path "{short(pattern)}" is neither',
        f'a request that matches "{short(pattern)}"',
        "list the paths, or end with (/.*)?",
    )


def header(name: str, pattern: str) -> Objection:
    """A header that is not one of a few texts. Source: HeaderMatchType, "RegularExpression"; HTTPHeaderMatch."""
    return Objection(
        "gamma.header",
        f'every Gateway API mesh compares headers with whole values, and "{short(name)}: {short(pattern)}" is not a list of them',
        f'a request with "{short(name)}" that matches "{short(pattern)}"',
        "list values of printable ASCII without a comma",
    )


def method(name: str) -> Objection:
    """A method that HTTPMethod does not list."""
    message = f'HTTPRoute has no method "{short(name)}"'
    return Objection("gamma.method", message, f'a request "{short(name)}"', "use a method of RFC 9110, or PATCH")


def no_call(name: str) -> Objection:
    """A method that no call of gRPC has."""
    message = f'the port declares gRPC, so it gets a GRPCRoute, and "{short(name)}" is no call of gRPC'
    return Objection("gamma.method", message, f'a request "{short(name)}"', "match POST, or declare the port as http")


UDP = Objection(
    "gamma.udp",
    "no Gateway API mesh has to read a UDPRoute whose parent is a Service (conformance profiles MESH-HTTP and MESH-GRPC)",
    "a datagram",
    "split TCP, or have clients call the backends",
)
UNDECLARED = Objection(
    "gamma.undeclared-port",
    "the port declares no protocol, so it gets a TCPRoute, which has no conditions",
    "an HTTP request to that port",
    'declare the port ("appProtocol: http")',
)
HEADLESS = Objection(
    "gamma.headless",
    "Gateway API advises meshes against headless Services as parents, and does not ask for them as backends (GEP-1294)",
    "any request to the root Service",
    "give root and backends a cluster IP",
)
WEIGHTS = Objection(
    "gamma.weights",
    "these ratios need weights above 1000000, the most that BackendRef.weight takes",
    "any request to the root Service",
    "use weights with a smaller common denominator",
)
BACKENDS = Objection(
    "gamma.backends",
    "a rule takes at most 16 backendRefs",
    "any request to the root Service",
    "use fewer backends",
)
MATCHES = Objection(
    "gamma.matches",
    "all conditions on this Service need more than one route holds: 16 rules, 64 matches in each, 128 together",
    "any request to the root Service",
    "use fewer conditions",
)
