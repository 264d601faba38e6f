"""The adapter for Consul's service mesh: config entries, as the HTTP API takes them or as consul-k8s' custom resources."""
