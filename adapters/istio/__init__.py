"""Istio with sidecars: SMI as AuthorizationPolicy, PeerAuthentication and VirtualService."""
