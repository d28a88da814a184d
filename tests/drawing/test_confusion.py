import numpy as np
import pytest

from rspnet.drawing.colours import coloured
from rspnet.drawing.confusion import confusion

NAMES = ["left", "a name that is far too long to be written beside a row, as some of Something-Something's are", "up"]


def test_each_cell_is_the_share_of_its_row():
    picture = confusion(np.array([[3, 1, 0], [0, 0, 0], [0, 1, 1]]), NAMES)
    side, width = len(picture) // 3, picture.shape[1]
    assert (side, width) == (48, 208 + 3 * 48)
    cells = picture[side // 2 :: side, width - 3 * side + side // 2 :: side]
    expected = coloured(np.array([[0.75, 0.25, 0], [0, 0, 0], [0, 0.5, 0.5]], np.float32))
    assert np.array_equal(cells, expected)
    names = picture[:, : width - 3 * side]
    assert all((names[row * side : (row + 1) * side] < 128).any() for row in range(3))


@pytest.mark.parametrize(("classes", "size"), [(101, 707), (400, 800), (1200, 1200)])
def test_many_classes_have_small_cells_and_no_names(classes, size):
    names = [str(number) for number in range(classes)]
    assert confusion(np.eye(classes, dtype=int), names).shape == (size, size, 3)
