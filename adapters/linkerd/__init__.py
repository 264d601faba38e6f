"""Linkerd: SMI as Server, HTTPRoute, AuthorizationPolicy, MeshTLSAuthentication and TCPRoute."""
