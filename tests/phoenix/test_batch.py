import numpy as np
import pytest
from xfeed.errors import ShapeError
from xfeed.phoenix.batch import InteractionColumns, PostColumns

from tests.phoenix.worlds import World, make_posts

COLUMNS = (
    "viewer_key", "post_row", "at_ms", "surface", "actions", "dwell_secs", "acted_ms",
    "is_impression",
)  # fmt: skip


def test_row_minus_one_gives_an_absent_post() -> None:
    posts = make_posts(5, np.random.default_rng(0))
    taken = posts.take(np.array([4, -1, 0]))
    assert len(taken) == 3
    assert taken.post_key.tolist() == [posts.post_key[4], 0, posts.post_key[0]]
    assert not taken.topic_keys[1].any()
    assert taken.created_ms[1] == 0
    assert PostColumns.zeros(0).take(np.array([-1])).post_key.tolist() == [0]


def test_rows_outside_of_a_table_are_refused() -> None:
    posts = make_posts(5, np.random.default_rng(0))
    for row in (5, -2):
        with pytest.raises(ShapeError, match="allowed"):
            posts.take(np.array([row]))


def test_tables_can_be_put_under_each_other() -> None:
    posts = make_posts(5, np.random.default_rng(0))
    both = PostColumns.concat([posts, posts.take(np.array([2]))])
    assert len(both) == 6
    assert both.post_key[5] == posts.post_key[2]


def test_sound_columns_pass_and_keep_exact_keys(world: World) -> None:
    columns = {name: getattr(world.interactions, name) for name in COLUMNS}
    rows = InteractionColumns.checked(n_posts=len(world.posts), **columns)
    assert len(rows) == len(world.interactions)
    posts = PostColumns.checked(
        **{name: getattr(world.posts, name) for name in PostColumns.__slots__}
    )
    assert int(posts.post_key[3]) == 2**63 + 3


def test_a_column_of_another_dtype_shape_or_order_is_refused(world: World) -> None:
    posts = {name: getattr(world.posts, name) for name in PostColumns.__slots__}
    bad = (
        ("post_key", posts["post_key"].astype(np.int64)),
        ("created_ms", posts["created_ms"][:-1]),
        ("topic_keys", posts["topic_keys"][:, :3]),
        ("topic_keys", np.asfortranarray(posts["topic_keys"])),
        ("media_kind", [0] * 80),
    )
    for name, column in bad:
        with pytest.raises(ShapeError, match=name):
            PostColumns.checked(**(posts | {name: column}))


def test_rows_out_of_order_are_refused(world: World) -> None:
    rows = world.interactions.take(slice(None, None, -1))
    columns = {name: np.ascontiguousarray(getattr(rows, name)) for name in COLUMNS}
    with pytest.raises(ShapeError, match="not sorted"):
        InteractionColumns.checked(n_posts=len(world.posts), **columns)


def test_post_rows_outside_of_the_posts_are_refused(world: World) -> None:
    columns = {name: getattr(world.interactions, name) for name in COLUMNS}
    with pytest.raises(ShapeError, match="post_row"):
        InteractionColumns.checked(n_posts=3, **columns)
