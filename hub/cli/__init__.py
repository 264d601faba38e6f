"""The command `smihub`: one file per verb, data on stdout, notices on stderr."""
