"""The least cost of hashing passwords, for servers of tests.

A hash has its own cost in it, so signing in is as cheap. The usual cost takes 0.15 s of CPU time.
"""

from dataclasses import replace

from argon2.profiles import RFC_9106_LOW_MEMORY

LEAST_COST = replace(RFC_9106_LOW_MEMORY, time_cost=1, memory_cost=8, parallelism=1)
