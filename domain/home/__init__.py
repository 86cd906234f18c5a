"""What waits for a person: what they have to answer, to pay, to do and to read. It reads most
contexts and changes none."""
