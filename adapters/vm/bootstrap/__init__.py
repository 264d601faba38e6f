"""What `smihub bootstrap` writes for a workload: the folder that its Envoy is started from."""
