"""Turns errors into OpenAI's: one table for statuses and types, one for the codes that its clients know."""

from collections.abc import Mapping
from typing import Any

from lift import errors

STATUSES: Mapping[type[errors.LiftError], tuple[int, str]] = {
    errors.InvalidInput: (400, "invalid_request_error"),
    errors.Unauthenticated: (401, "authentication_error"),
    errors.NotFound: (404, "invalid_request_error"),
    errors.AlreadyExists: (409, "invalid_request_error"),
    errors.Precondition: (409, "invalid_request_error"),
    errors.LeaseLost: (409, "invalid_request_error"),
    errors.JobCancelled: (409, "invalid_request_error"),
    errors.Exhausted: (429, "rate_limit_error"),
    errors.Unavailable: (503, "service_unavailable_error"),
    errors.TimedOut: (504, "timeout_error"),
    errors.InternalError: (500, "server_error"),
}
"""The one table between our errors and OpenAI's: HTTP status and `type`."""

CODES: Mapping[type[errors.LiftError], str] = {
    errors.AdapterMissing: "model_not_found",
    errors.QuestionTooLong: "context_length_exceeded",
}
"""Codes that OpenAI's clients know; every other error's is its reason in lower case."""


def error_body(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body. An exception that is not ours is never quoted."""
    known = error if isinstance(error, errors.LiftError) else errors.InternalError()
    status, kind = next(
        (entry for branch, entry in STATUSES.items() if isinstance(known, branch)), (500, "server_error")
    )
    code = CODES.get(type(known), known.reason().lower())
    return status, {"error": {"message": str(known), "type": kind, "param": known.facts.get("option"), "code": code}}
