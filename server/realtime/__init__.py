"""The realtime side: sockets with a closed command table, their rooms, and a fast transport."""
