"""The VM mesh: Envoy sidecars beside processes, configured by our own xDS server."""
