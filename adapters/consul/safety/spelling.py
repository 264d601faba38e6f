"""The two spellings of a field: `PathRegex` and `HTTP` in the API of Consul, `pathRegex` and `http` in custom resources.

Source: consul-k8s, api/v1alpha1 (the JSON names of the fields).
"""

from __future__ import annotations


def capital(value: object) -> object:
    """The same in the spelling of the API, where it is in that of custom resources (`small` tells)."""
    if isinstance(value, dict):
        return {"HTTP" if key == "http" else key[:1].upper() + key[1:]: capital(part) for key, part in value.items()}
    return [capital(part) for part in value] if isinstance(value, list) else value


def small(value: object) -> object:
    """The same in the spelling of custom resources."""
    if isinstance(value, dict):
        return {"http" if key == "HTTP" else key[:1].lower() + key[1:]: small(part) for key, part in value.items()}
    return [small(part) for part in value] if isinstance(value, list) else value
