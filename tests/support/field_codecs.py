"""A codec of stored fields for tests whose database no server shares."""

import os

from domain.kernel.field_codec import FieldCodec
from server.adapters.field_cipher import AesGcmFieldCipher
from server.config import SecretKey

CODEC = FieldCodec(AesGcmFieldCipher([SecretKey("test", os.urandom(32))]), messages=False)
