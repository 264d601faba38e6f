"""Who a workload is: the mesh's certificate authority, and tokens by which a sidecar proves which Workload it belongs to."""
