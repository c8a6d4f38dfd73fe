"""The page on JSON says what the code says; ``python -m tests.docs.json_page`` writes it anew."""

from tests.docs import json_page


def test_the_page_and_the_schemas_are_up_to_date() -> None:
    assert json_page.PAGE.read_text(encoding="utf-8") == json_page.page()
    assert json_page.SCHEMAS.read_text(encoding="utf-8") == json_page.schemas()


def test_each_document_says_of_which_command_it_is() -> None:
    found = json_page.known()
    assert len(found) > 20
    for schema, kind in found.items():
        assert schema.startswith("ablate.")
        assert schema.endswith("/1")
        assert "`ablate " in str(kind.__doc__), schema
