# Puts an object, reads it back and lists it, at each endpoint: python3 s3-client.py ENDPOINT[=HOST]... HOST is what the requests say
# in the place of what the endpoint is called. Everything is signed, the body too.

import sys

import boto3
from botocore.config import Config

KEY = "a folder//50%25 of+it/\u00fcber ~=&;$,!'()*.txt"
BODY = b"some bytes\x00\xff" * 10_000


def connect(endpoint, host):
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example-secret-key",
        config=Config(
            signature_version="s3v4",
            retries={"max_attempts": 0},
            s3={"addressing_style": "path", "payload_signing_enabled": True},
        ),
    )

    def say_host(request, **_):
        request.headers["Host"] = host

    if host:
        client.meta.events.register("before-sign.s3", say_host)
    return client


for argument in sys.argv[1:]:
    endpoint, _, host = argument.partition("=")
    client = connect(endpoint, host)
    client.put_object(Bucket="bucket", Key=KEY, Body=BODY, Metadata={"spaced": "two  spaces"})
    assert client.get_object(Bucket="bucket", Key=KEY)["Body"].read() == BODY
    found = client.list_objects_v2(Bucket="bucket", Prefix="a folder//", Delimiter="|", MaxKeys=7)
    assert [each["Key"] for each in found["Contents"]] == [KEY], found
    print("done", argument)
