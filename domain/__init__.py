"""The rules of the marketplace: records, state machines and money, independent of transports."""
