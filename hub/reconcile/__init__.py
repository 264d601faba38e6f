"""Plan and apply: once (`hub`), or for as long as the process runs (`loop`, one `worker` for each mesh)."""
