module smihub.io/tests/servers/gateway-api

go 1.26.0

// Its CRDs are what these tests need; nothing is built of it.
require sigs.k8s.io/gateway-api v1.6.0
