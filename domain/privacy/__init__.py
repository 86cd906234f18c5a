"""A person's own data: exporting all of it, deleting the account, and erasing what copies it."""
