"""The parts of the clients that are made from the documents."""
