"""What Linkerd objects mean, written from Linkerd's documentation and from observation alone. `mesh` is the entry."""
