"""GAMMA for smihub: TrafficSplits as Gateway API routes whose parent is a Service."""
