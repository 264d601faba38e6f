"""What became of every unit: kept on record, shown by the command, as metrics, and over HTTP. `outcomes` is the entry."""
