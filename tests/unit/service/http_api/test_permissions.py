"""What every HTTP call needs; what nobody thought of is for administrators."""

import pytest

from service.access import Need
from service.http_api.permissions import needed


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/livez", "nothing"),
        ("GET", "/v2/health/ready", "nothing"),
        ("GET", "/v1/models", "key"),
        ("HEAD", "/v1/models/tiny", "key"),
        ("GET", "/v1/aliases/stable", "key"),
        ("POST", "/v2/repository/index", "key"),
        ("POST", "/v1/samples", "sample"),
        ("POST", "/v1/images/variations", "sample"),
        ("POST", "/v2/models/tiny/versions/3/infer", "sample"),
        ("GET", "/v1/fine_tuning/jobs/1/events", "train"),
        ("POST", "/v1/files", "train"),
        ("DELETE", "/v1/files/1", "train"),
        ("POST", "/v1/datasets", "train"),
        ("PUT", "/v1/aliases/stable", "admin"),
        ("DELETE", "/v1/models/tiny", "admin"),
        ("POST", "/v2/repository/models/tiny/load", "admin"),
        ("POST", "/v1/samples/", "admin"),
        ("POST", "/v1/samples/anything", "admin"),
        ("PUT", "/v1/samples", "admin"),
        ("PATCH", "/v1/models", "admin"),
        ("POST", "/v2/models/a/b/infer", "admin"),
        ("POST", "/v1/new", "admin"),
        ("POST", "/livez/", "admin"),
    ],
)
def test_the_need_of_a_call(method: str, path: str, need: Need) -> None:
    assert needed(method, path) == need
