"""Tests of the shape of the code: imports, sizes, names and the wire contract."""
