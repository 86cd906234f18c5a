"""What the rules need from outside, as protocols. `server` implements them."""
