"""What is true in the marketplace: rules, money and state machines, free of any transport."""
