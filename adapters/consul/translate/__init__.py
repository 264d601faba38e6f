"""Pure: one unit of intent in, Consul's config entries and Losses out."""
