import pytest
from xfeed.conformance.shape import NotCovered
from xfeed.conformance.shorthand import ShortPost, evaluate, integers, listed, posts


def test_a_range_holds_both_its_ends() -> None:
    assert integers("3..5") == [3, 4, 5]
    assert integers("7") == [7]
    assert integers("5..4") == []


@pytest.mark.parametrize("text", ["", "a..b", "1...", "1.5", "0..2000000"])
def test_anything_else_is_no_range(text: str) -> None:
    with pytest.raises(NotCovered):
        integers(text)


def test_expressions_are_computed_as_they_read() -> None:
    names = {"now": 1000, "id": 8, "i": 2}
    assert evaluate("now-700+id", names) == 308
    assert evaluate("now - 1000 + id // 3", names) == 2
    assert evaluate("id%7+2*i", names) == 5


@pytest.mark.parametrize(
    "text",
    ["", "later", "now.real", "__import__('os')", "id/3", "1.5", "id//0", "now if id else 1"],
)
def test_nothing_but_sums_over_known_names_is_computed(text: str) -> None:
    with pytest.raises(NotCovered):
        evaluate(text, {"now": 1, "id": 2})


def test_posts_in_a_short_form_are_written_out() -> None:
    assert posts("ids 5..6, author id%2+1, created_at now-10+id", 100) == [
        ShortPost(5, 2, 95),
        ShortPost(6, 1, 96),
    ]
    assert listed([40, 50], "3", "now+i", 7) == [ShortPost(40, 3, 7), ShortPost(50, 3, 8)]


@pytest.mark.parametrize("text", ["ids 1..2", "ids 1..2, author 1, created_at 1, colour 2", ""])
def test_posts_with_missing_or_foreign_fields_are_not_guessed(text: str) -> None:
    with pytest.raises(NotCovered):
        posts(text, 0)
