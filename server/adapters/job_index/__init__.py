"""The job index on tantivy: files of this process, fed from MongoDB."""
