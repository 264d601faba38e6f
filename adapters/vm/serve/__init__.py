"""Serve Envoys over ADS: the sink, the server and its streams, what each workload gets, certificates and tokens."""
