"""The OpenAPI document: complete, and the same for everyone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver
from drf_spectacular.validation import validate_schema

from api.fields import StrictSerializer
from api.problems import KINDS
from api.views import NotFoundView

pytestmark = pytest.mark.django_db
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def document(client) -> dict[str, Any]:
    answer = client.get("/api/schema/")
    assert answer.status_code == 200
    return answer.json()


def operations(document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def views(resolver: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Return the paths below `resolver` as the document writes them, each with its class."""
    for entry in resolver.url_patterns:
        path = before + re.sub(r"^\^|\$$", "", str(entry.pattern))
        if not isinstance(entry, URLPattern):
            yield from views(entry, path)
        elif path.startswith("api/v1/") and entry.callback.cls is not NotFoundView:
            path = re.sub(r"\(\?P<(\w+)>.*?\)(?=/)", r"{\1}", path)
            yield "/" + re.sub(r"<uuid:(\w+)>", r"{\1}", path), entry.callback.cls


@pytest.mark.slow
def test_it_is_valid_openapi_3_1(document):
    assert document["openapi"] == "3.1.0"
    validate_schema(document)


def test_every_address_and_method_of_the_api_is_in_it(document):
    there = {
        (re.sub(r"/(monitors|channels|maintenance)/\{public_id\}", _with_its_name, path), method)
        for path, cls in views(get_resolver())
        for method in METHODS
        if hasattr(cls, method)
    }
    assert len(there) > 25
    described = {(path, method) for path, method, _ in operations(document) if path.startswith("/api/v1/")}
    assert described == there


def _with_its_name(found: re.Match[str]) -> str:
    return f"/{found[1]}/{{{found[1].removesuffix('s')}_id}}"


def test_the_push_endpoint_is_in_it_with_the_token_in_the_address_and_without(document):
    assert (
        set(document["paths"]["/api/push/{token}"]) == set(document["paths"]["/api/push"]) == {"get", "post"}
    )


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for path, _, operation in operations(document):
        assert operation["summary"], path
        assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}, path


def test_every_operation_says_its_problems(document):
    for path, method, operation in operations(document):
        if not path.startswith("/api/v1/"):
            continue
        documented = set(operation["responses"])
        assert {"400", "401", "404", "429", "503"} <= documented, path
        if method != "get":
            assert "403" in documented, path
        if "requestBody" in operation:
            assert {"413", "415", "422"} <= documented, path
    for status in {kind.status for kind in KINDS.values()}:
        assert document["components"]["responses"][f"Problem{status}"]["content"]["application/problem+json"]


def test_bodies_know_no_further_fields_and_answers_have_all_of_theirs(document):
    for name, schema in document["components"]["schemas"].items():
        if schema.get("type") != "object" or name in ("Problem", "PushRequest"):
            continue
        if name.endswith("Request"):
            assert schema["additionalProperties"] is False, name
        else:
            assert set(schema["required"]) >= set(schema["properties"]) - {"warning"}, name


def test_the_document_does_not_reveal_internals(document):
    text = str(document)
    for word in ("x-spec-enum-id", "Serializer", "public_id", "kwargs"):
        assert word not in text


def test_no_body_has_the_description_of_its_base_class(document):
    base = inspect.getdoc(StrictSerializer)
    schemas = document["components"]["schemas"]
    assert [name for name, schema in schemas.items() if schema.get("description") == base] == []


def test_summaries_of_reading_and_changing_use_the_same_verbs(document):
    summaries = [operation["summary"] for _path, _method, operation in operations(document)]
    assert {"Get", "List", "Update"} <= {summary.split()[0] for summary in summaries}
    assert [
        summary for summary in summaries if summary.split()[0] in ("Read", "Show", "Change", "Edit")
    ] == []


def test_anybody_may_read_it_and_it_costs_no_query(client, django_assert_num_queries):
    client.get("/api/schema/")
    with django_assert_num_queries(0):
        assert client.get("/api/schema/").status_code == 200
        assert client.get("/api/docs/").status_code == 200
