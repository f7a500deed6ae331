"""The bucket of the archive: any S3."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from vol_platform.errors import ArchiveError
from vol_platform.settings import S3Settings

__all__ = ["Bucket", "sha256_of"]

_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Bucket:
    """Objects by key.  Every error is an `ArchiveError` that names key and endpoint.

    Parameters
    ----------
    settings
        Endpoint, bucket and keys.
    """

    def __init__(self, settings: S3Settings) -> None:
        self.name = settings.bucket
        self._where = f"bucket {settings.bucket} at {settings.endpoint}"
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key.get_secret_value() or "anonymous",
            aws_secret_access_key=settings.secret_key.get_secret_value() or "anonymous",
            config=Config(
                retries={"max_attempts": 5, "mode": "standard"}, s3={"addressing_style": "path"}
            ),
        )

    def _error(self, what: str, error: Exception) -> ArchiveError:
        return ArchiveError(f"{what} in {self._where} failed: {error}; look at VOL_S3__…")

    def ensure(self) -> None:
        """Create the bucket if it does not exist."""
        try:
            self._client.head_bucket(Bucket=self.name)
        except ClientError:
            try:
                self._client.create_bucket(Bucket=self.name)
            except (BotoCoreError, ClientError) as error:
                raise self._error("creating the bucket", error) from error
        except BotoCoreError as error:
            raise self._error("looking for the bucket", error) from error

    def put(self, key: str, path: Path) -> None:
        """Upload a file; the object appears whole or not at all."""
        try:
            self._client.upload_file(str(path), self.name, key)
        except (BotoCoreError, ClientError, OSError) as error:
            raise self._error(f"writing {key}", error) from error
        except boto3.exceptions.S3UploadFailedError as error:
            raise self._error(f"writing {key}", error) from error

    def get(self, key: str, path: Path) -> None:
        """Download an object to a file."""
        try:
            self._client.download_file(self.name, key, str(path))
        except (BotoCoreError, ClientError, OSError) as error:
            raise self._error(f"reading {key}", error) from error

    def put_json(self, key: str, value: Any) -> None:
        """Write a small object."""
        body = json.dumps(value, indent=1, sort_keys=True).encode()
        try:
            self._client.put_object(Bucket=self.name, Key=key, Body=body)
        except (BotoCoreError, ClientError) as error:
            raise self._error(f"writing {key}", error) from error

    def get_json(self, key: str) -> Any | None:
        """Read a small object; None when there is none."""
        try:
            body = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404", "NoSuchBucket"}:
                return None
            raise self._error(f"reading {key}", error) from error
        except BotoCoreError as error:
            raise self._error(f"reading {key}", error) from error
        try:
            return json.loads(body)
        except ValueError as error:
            raise self._error(f"reading {key} as JSON", error) from error

    def has(self, key: str, size: int) -> bool:
        """Tell whether an object of this size exists."""
        try:
            return bool(
                self._client.head_object(Bucket=self.name, Key=key)["ContentLength"] == size
            )
        except ClientError:
            return False
        except BotoCoreError as error:
            raise self._error(f"looking for {key}", error) from error

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with a prefix; a bucket that is not there has none."""
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield item["Key"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchBucket":
                raise self._error(f"listing {prefix}", error) from error
        except BotoCoreError as error:
            raise self._error(f"listing {prefix}", error) from error

    def delete(self, key: str) -> None:
        """Delete an object."""
        try:
            self._client.delete_object(Bucket=self.name, Key=key)
        except (BotoCoreError, ClientError) as error:
            raise self._error(f"deleting {key}", error) from error
