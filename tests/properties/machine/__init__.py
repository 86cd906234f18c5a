"""Random commands, faults, events and crashes, and the invariants that must hold anyway."""
