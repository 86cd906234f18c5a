"""Uploaded files: their records, quotas, attachment and storage in GridFS."""
