"""Creates the bucket, its lifecycle rule, and a user that may use this bucket and nothing else.

Environment variables: S3_ENDPOINT, S3_BUCKET, S3_SECURE (`true` for TLS), S3_CA (certificate of its authority),
ROOT_ACCESS_KEY, ROOT_SECRET_KEY, ACCESS_KEY, SECRET_KEY. Running it again changes nothing.
"""

import os
import ssl
import time

import urllib3
from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, Filter
from minio.credentials import StaticProvider
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

STORE_DAYS = 90
PATIENCE_S = 300
POLICY = "dpa-sse-bucket"


def await_server(client: Minio) -> None:
    """Return when the server answers."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.list_buckets()
        except Exception as error:  # refused, not yet ready: all of them are transient
            if time.monotonic() > until:
                raise SystemExit(f"MinIO did not answer within {PATIENCE_S} s: {error}") from error
            time.sleep(2)
        else:
            return


def main() -> None:
    """Set it all up."""
    env = os.environ
    endpoint, bucket = env["S3_ENDPOINT"], env["S3_BUCKET"]
    root = StaticProvider(env["ROOT_ACCESS_KEY"], env["ROOT_SECRET_KEY"])
    secure = env.get("S3_SECURE") == "true"
    tls = {"ssl_context": ssl.create_default_context(cadata=env["S3_CA"])} if secure and env.get("S3_CA") else {}
    patience = urllib3.PoolManager(retries=False, timeout=10, **tls)
    await_server(Minio(endpoint, credentials=root, secure=secure, http_client=patience))
    http = urllib3.PoolManager(retries=3, timeout=60, **tls)
    client = Minio(endpoint, credentials=root, secure=secure, http_client=http)
    if not client.bucket_exists(bucket):
        client.make_bucket(bucket)
    # The store holds finished tasks for reuse, and checkpoints; results and logs of workflows are never removed.
    rule = Rule(
        status=ENABLED,
        rule_filter=Filter(prefix="store/"),
        rule_id="store",
        expiration=Expiration(days=STORE_DAYS),
    )
    client.set_bucket_lifecycle(bucket, LifecycleConfig([rule]))
    admin = MinioAdmin(endpoint=endpoint, credentials=root, secure=secure, http_client=http)
    arn = f"arn:aws:s3:::{bucket}"
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": [arn, f"{arn}/*"]}],
    }
    admin.policy_add(POLICY, policy=policy)
    admin.user_add(env["ACCESS_KEY"], env["SECRET_KEY"])
    admin.policy_set(POLICY, user=env["ACCESS_KEY"])
    Minio(endpoint, env["ACCESS_KEY"], env["SECRET_KEY"], secure=secure, http_client=http).list_objects(bucket)
    print(f"bucket {bucket}: ready")


if __name__ == "__main__":
    main()
