"""Where SMI objects come from: every source yields the same events (hub.events)."""
