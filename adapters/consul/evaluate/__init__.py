"""What Consul's config entries mean, written from Consul's documentation and from observation alone. `mesh` is the entry."""
