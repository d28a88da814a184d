"""Lists of videos in the formats that other projects write."""

import pytest

from rspnet.data.plainlist import read_list
from rspnet.errors import ConfigError

VIDEOS = ("a/1.mp4", "a/2 two.avi", "b/x, y.webm", "b/4.mp4 copy.MKV")


@pytest.fixture
def folder(tmp_path):
    for video in VIDEOS:
        (tmp_path / video).parent.mkdir(exist_ok=True)
        (tmp_path / video).touch()
    return tmp_path


def read(folder, text, name="list.txt", root=None):
    (folder / name).write_text(text)
    return [(row["video"], row["label"], row["split"]) for row in read_list(str(folder / name), root)]


@pytest.mark.parametrize("gap", [" ", "   ", "\t", ",", ", ", ";"])
@pytest.mark.parametrize("label", ["7", "playing guitar", None])
def test_paths_and_labels(folder, gap, label):
    """Blanks and commas in paths, blanks in labels."""
    text = "".join(f"{video}{gap + label if label else ''}\n" for video in VIDEOS)
    assert read(folder, text) == [(video, label, None) for video in VIDEOS]


def test_quoted_paths_as_spreadsheets_write_them(folder):
    text = '"b/x, y.webm",3\na/1.mp4,"4"\n"a/1.mp4","tap, ""dance"""\n'
    assert read(folder, text, "list.csv") == [
        ("b/x, y.webm", "3", None),
        ("a/1.mp4", "4", None),
        ("a/1.mp4", 'tap, "dance"', None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '"video","label"\n"b/x, y.webm","tap, dance"\n"a/1.mp4","4"\n',
        '"","video","label"\n"1","b/x, y.webm","tap, dance"\n"2","a/1.mp4","4"\n',  # of R, with the rows' names
        '"label"  "video"\n"tap, dance" "b/x, y.webm"\n4   "a/1.mp4"\n',
    ],
)
def test_quoted_names_of_columns(folder, text):
    assert read(folder, text, "list.csv") == [("b/x, y.webm", "tap, dance", None), ("a/1.mp4", "4", None)]


@pytest.mark.parametrize("gap", [",", "\t", ";"])
def test_columns_with_names(folder, gap):
    lines = [["Split", "path", "Class", "n"], ["train", "a/1.mp4", "wave", "1"], ["validation", "a/2 two.avi", "", "2"]]
    text = "\ufeff" + "\r\n".join(gap.join(line) for line in lines)
    assert read(folder, text, "list.csv") == [("a/1.mp4", "wave", "train"), ("a/2 two.avi", None, "val")]


def test_labels_as_programs_write_them(folder):
    """Whole numbers became floats, and a missing label a word."""
    assert read(folder, "a/1.mp4 3.0\nb/4.mp4 -1\n") == [("a/1.mp4", "3", None), ("b/4.mp4", "-1", None)]
    text = "video,label\na/1.mp4,10.0\na/1.mp4,1.5\na/1.mp4,\na/1.mp4,NA\na/1.mp4,nan\n"
    assert [label for _, label, _ in read(folder, text)] == ["10", "1.5", None, None, None]


def test_a_single_column_whose_paths_hold_blanks(folder):
    text = 'video\na/2 two.avi\n"b/x, y.webm"\n'
    assert read(folder, text, "list.csv") == [("a/2 two.avi", None, None), ("b/x, y.webm", None, None)]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.txt", "train"),
        ("kinetics400_val_list_videos.txt", "val"),
        ("testlist01.txt", "test"),
        ("train_and_test.txt", None),
        ("videos.txt", None),
    ],
)
def test_a_list_of_one_split_says_so_in_its_name(folder, name, split):
    assert read(folder, "a/1.mp4 0\n", name) == [("a/1.mp4", "0", split)]


def test_kinetics(tmp_path, caplog):
    for name in ("jf7RDuUTrsQ_000325_000335.mp4", "x/-A_b_000001_000011.webm", "val/0123456789a.mkv"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    text = (
        "label,youtube_id,time_start,time_end,split,is_cc\n"
        '"tap, dancing",jf7RDuUTrsQ,325,335,train,0\n'
        "yoga,-A_b,1,11,train,0\n"
        "yoga,0123456789a,20,30,validate,0\n"
        "yoga,gone,5,15,test,0\n"
    )
    (tmp_path / "train.csv").write_text(text)
    rows = list(read_list(str(tmp_path / "train.csv"), tmp_path / "videos"))
    assert [(row["video"], row["label"], row["split"], row["status"]) for row in rows] == [
        ("jf7RDuUTrsQ_000325_000335.mp4", "tap, dancing", "train", None),
        ("x/-A_b_000001_000011.webm", "yoga", "train", None),
        ("val/0123456789a.mkv", "yoga", "val", None),
        ("gone_000005_000015.mp4", "yoga", "test", "missing"),
    ]
    assert "train.csv: 1 of 4 videos are not in" in caplog.text
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match=r"none of its videos is in \S+/none: no jf7RDuUTrsQ_000325_000335\.mp4"):
        list(read_list(str(tmp_path / "train.csv"), tmp_path / "none"))


def test_where_paths_begin(folder, tmp_path):
    """At the list's folder, at another that is named, or at the root of the file system."""
    other = folder / "lists"
    other.mkdir()
    assert read(other, "a/1.mp4 0\n", root=str(folder)) == [("a/1.mp4", "0", None)]
    (row,) = read_list(str(other / "list.txt"), str(folder))
    assert row["root"] == str(folder)
    assert read(other, f"{folder}/a/1.mp4 0\n{folder}/b/x, y.webm 1\n") == [
        ("a/1.mp4", "0", None),
        ("b/x, y.webm", "1", None),
    ]
    assert read(other, "../a/1.mp4 0\n") == [("1.mp4", "0", None)]
    assert read(folder, "a\\1.mp4 0\n") == [("a/1.mp4", "0", None)]
    with pytest.raises(
        ConfigError, match=r"list\.txt: of 1 videos looked for none exists, such as \S+/lists/a/1\.mp4; .*--data"
    ):
        read(other, "a/1.mp4 0\n")
    with pytest.raises(ConfigError, match=r"list\.txt:1: /elsewhere/1\.mp4 is not below \S+ \(data\.root\)"):
        read(other, "/elsewhere/1.mp4 0\n", root=str(folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no lines"),
        ("a/1.mp4 120 3\n", "list.txt:1: more than a path and a label"),
        ("a/1.mp4 0.0 2.5 3\n", "list.txt:1: more than a path and a label"),
        ("a/1.mp4 3,17\n", "list.txt:1: more than a path and a label"),
        ("video,label\n", "list.txt:1: no videos below the names"),
        ("youtube_id,time_start,time_end\n", "list.txt:1: no videos below the names"),
        ("video,label,Label\na/1.mp4,3,wave\n", "list.txt:1: two columns are called 'label'"),
        ("a/1.mp4,0,train\n", "list.txt:1: more than a path and a label"),
        ("a/1.mp4 0\nsomething 1\n", "list.txt:2: expected PATH LABEL, with a path that has a video suffix"),
        ('"a/1.mp4",0\n"a/1.mp4 2",0\n', "list.txt:2: expected PATH LABEL, with a path that has a video suffix"),
        ('"1","a/1.mp4","0"\n', "list.txt:1: neither PATH LABEL nor column names"),
        ("frames/1 120 3\n", "list.txt:1: neither PATH LABEL nor column names"),
        ("video,split\na/1.mp4,holdout\n", "list.txt:2: split 'holdout'; expected train, val or test"),
        ("video,label\na/1.mp4\n", "list.txt:2: 1 column, but the first line names 2"),
        ("video,label\n,3\n", "list.txt:2: no path"),
        ("youtube_id,time_start,time_end\na,b,c\n", "list.txt:2: time_start and time_end must be numbers"),
        ("youtube_id,time_start,time_end\na,0,inf\n", "list.txt:2: time_start and time_end must be numbers"),
        (f"{'x' * 200_000}\n", "list.txt:1: not a line of a list of videos .*limit.*: 'xxx"),
    ],
)
def test_lines_that_are_not_understood(folder, text, message):
    with pytest.raises(ConfigError, match=message):
        read(folder, text)
