"""Films by the names of their videos."""

import csv

import pytest

from rspnet.data.groups import film_of, films_of


@pytest.mark.parametrize(
    ("video", "label", "film"),
    [
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", "ApplyEyeMakeup", "ApplyEyeMakeup_g08"),
        ("v_ApplyEyeMakeup_g08_c01.mp4", None, "ApplyEyeMakeup_g08"),
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush_hair", "April_09"),
        ("catch/catch_the_ball_catch_u_cm_np12_fr_med_3.avi", "catch", None),
        ("catch/catch_the_ball_catch_u_cm_np1_fr_med_13.avi", "catch", "catch_the_ball"),
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", None, None),
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "wave", None),
        ("abseiling/0wR5jVB-WPk_000417_000427.mp4", "abseiling", None),
    ],
)
def test_names(video, label, film):
    assert film_of(video, label) == film


def test_a_list_has_films_where_all_are_known_and_one_has_several():
    videos = ["v_A_g01_c01.avi", "v_A_g01_c02.avi", "v_A_g02_c01.avi"]
    assert films_of(videos, ["A"] * 3) == ["A_g01", "A_g01", "A_g02"]
    assert films_of(videos[1:], ["A"] * 2) is None
    assert films_of([*videos, "x.avi"], ["A"] * 4) is None


def test_films_of_a_real_data_set(shared):
    with open(shared / "data" / "jhmdb" / "clips.tsv") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    films = films_of([row["file"] for row in rows], [row["class"] for row in rows])
    assert sum(film != row["source_group"] for film, row in zip(films, rows)) <= 12  # which end before the class's name
    assert len(set(films)) == 336
