"""What tests share: people, servers, sandboxes, samples."""
