"""One hub that makes every service mesh of a company obey one set of rules."""
