"""The test suite: a tree that mirrors the code, on real parts."""
