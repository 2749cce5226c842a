"""Where the services answer: `O2C_SERVICE_URLS`, as a list or as JSON."""

import pytest
from pydantic import ValidationError

from shared.settings import Settings

URLS = {"order": "http://127.0.0.1:7610", "credit": "https://credit"}


@pytest.mark.parametrize(
    "given",
    [
        "order=http://127.0.0.1:7610,credit=https://credit",
        " order=http://127.0.0.1:7610/ , credit=https://credit,",
        '{"order": "http://127.0.0.1:7610", "credit": "https://credit/"}',
    ],
)
def test_addresses_are_given_as_a_list_or_as_json(given: str) -> None:
    assert Settings(service_urls=given).urls_of_services() == URLS


def test_no_addresses_are_an_empty_list() -> None:
    assert Settings(service_urls="").urls_of_services() == {}


@pytest.mark.parametrize("given", ["order", "order=ftp://x", "=http://x", "{", '{"order": 1}', '{"order": {}}'])
def test_what_is_no_address_is_refused_at_start(given: str) -> None:
    with pytest.raises(ValidationError):
        Settings(service_urls=given)
