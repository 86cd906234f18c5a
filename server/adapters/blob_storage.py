"""Where this deployment keeps the bytes of its files."""

from domain.files.gridfs import GridFs
from domain.kernel.store import Store
from domain.ports.blob_storage import BlobStorage
from server.config import Settings


def blobs(settings: Settings, store: Store) -> BlobStorage:
    """In its database, or in a bucket, which several deployments may share."""
    if settings.s3_bucket is None:
        return GridFs(store)
    from server.adapters import s3  # 15 MB of memory that only this needs

    return s3.S3Blobs(s3.bucket(settings.s3_bucket, settings.s3_endpoint, store.name))
