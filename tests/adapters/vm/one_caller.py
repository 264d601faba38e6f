"""A caller of one service, and the endpoints behind it."""

from __future__ import annotations

from typing import Any

from adapters.vm import names, wire
from hub.api import Endpoint, Facts, NativeObject, ObjectRef
from tests.servers.xds import TD, Client, Rig, found, native, workload

OUT = names.outbound("d", "api", 80)
API_ID = f"spiffe://{TD}/ns/d/sa/api"


def outbound(*callees: str) -> NativeObject:
    """An EDS cluster that pins these identities, with the placeholder where the bundle goes."""
    uri = wire.SubjectAltNameMatcher.SanType.Value("URI")
    matchers = [wire.SubjectAltNameMatcher(san_type=uri, matcher=wire.StringMatcher(exact=item)) for item in callees]
    context = wire.CertificateValidationContext(
        trusted_ca=wire.DataSource(inline_string=names.BUNDLE), match_typed_subject_alt_names=matchers
    )
    tls = wire.UpstreamTlsContext(common_tls_context=wire.CommonTlsContext(validation_context=context))
    source = wire.ConfigSource(ads=wire.AggregatedConfigSource())
    cluster: Any = wire.Cluster(name=OUT, eds_cluster_config={"eds_config": source})
    cluster.transport_socket.name = "tls"
    cluster.transport_socket.typed_config.CopyFrom(wire.any_of(tls))
    return native("Cluster", OUT, wire.pack(cluster))


def at(address: str, spiffe: str = API_ID, *, ready: bool = True) -> Endpoint:
    """An endpoint on port 8080."""
    return Endpoint(ObjectRef("smihub.io", "Workload", "d", f"w{address}"), spiffe, address, 8080, ready)


def facts(*endpoints: Endpoint) -> Facts:
    """Facts with the endpoints of the one service."""
    return Facts(TD, endpoints={("d", "api", 80): endpoints})


def addresses(assignment: Any) -> list[tuple[str, int]]:
    """(address, health status) of an assignment's endpoints."""
    items = [item for group in assignment.endpoints for item in group.lb_endpoints]
    return [(item.endpoint.address.socket_address.address, item.health_status) for item in items]


WEB = [workload("d/web", "web", names.ref("Cluster", OUT)), outbound(API_ID)]


async def endpoints_of(rig: Rig) -> Any:
    """The assignment that a new stream gets."""
    client = Client(rig.address, rig.token("d/web"))
    await client.ask("ClusterLoadAssignment", "d/web", resource_names_subscribe=[OUT])
    response = await client.next()
    await client.close()
    return found(response)[OUT]
