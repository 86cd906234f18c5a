"""Tests of the domain, a folder for each of its packages."""
