import numpy as np
import pandas as pd

from opal.data.craft import craft_frame, load


def test_equals_the_published_table(shared):
    published = pd.read_csv(shared / "data" / "craft.csv")
    pd.testing.assert_frame_equal(load(target="Target", minority=0).frame, published, check_exact=True)


def test_values_are_pinned():
    assert load(target="Target", minority=0).digest == "12518070b91e5e3dfe14eaebeacec44f"


def test_rows_and_seed_can_be_chosen():
    frame = craft_frame(rows=51, seed=7)
    assert frame.shape == (51, 10)
    assert frame.Target.sum() == 25  # above the median
    assert np.array_equal(frame.X1, frame.X1.round(1))
    assert not frame.equals(craft_frame(rows=51, seed=8))


def test_global_random_state_is_untouched():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    craft_frame(10, 1)
    assert np.random.random() == expected
