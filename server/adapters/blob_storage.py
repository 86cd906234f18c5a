"""Chooses the blob storage of this deployment."""

from domain.files.gridfs import GridFs
from domain.kernel.store import Store
from domain.ports.blob_storage import BlobStorage
from server.config import Settings


def blobs(settings: Settings, store: Store) -> BlobStorage:
    """GridFS in the database, or a bucket of S3, which several deployments may share."""
    if settings.s3_bucket is None:
        return GridFs(store)
    from server.adapters import s3  # loaded on demand: it takes 15 MB of memory

    return s3.S3Blobs(s3.bucket(settings.s3_bucket, settings.s3_endpoint, store.name))
