"""Multipart bodies: aiohttp.multipart's names.

multipart_writer.py has the one that is sent, multipart_reader.py those that come.
"""

from __future__ import annotations

from .disposition import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    content_disposition_filename,
    parse_content_disposition,
)
from .multipart_part import BodyPartReader, BodyPartReaderPayload
from .multipart_reader import MultipartReader, MultipartResponseWrapper
from .multipart_writer import MultipartPayloadWriter, MultipartWriter

__all__ = (
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "BodyPartReader",
    "BodyPartReaderPayload",
    "MultipartPayloadWriter",
    "MultipartReader",
    "MultipartResponseWrapper",
    "MultipartWriter",
    "content_disposition_filename",
    "parse_content_disposition",
)
