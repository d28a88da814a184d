"""What is said of a training: what the intervals show, and nothing else."""

from rspnet.evaluation.taught import sentence, table


def probe(top1, fresh, ahead, *, motion=True, number=100):
    """A result with these (value, low, high) of a probe; its controls are behind, or not."""

    def control(value, low):
        return {"top1": value, "interval": {"top1": [value - 5, value + 5]}, "difference_interval": [low, low + 20]}

    def scored(found):
        controls = {"shuffled": control(62.0, 10 if motion else -10), "still": control(47.0, 30)}
        return {"top1": found[0], "interval": {"top1": list(found[1:])}, "controls": controls, "chance_top1": 50.0}

    differences = {"top1": ahead[0], "shuffled": -2.0, "still": 8.0}
    ends = {"top1": list(ahead[1:]), "shuffled": [-9.0, 5.0], "still": [1.0, 15.0]}
    random = scored(fresh) | {"difference": differences, "difference_interval": ends}
    return scored(top1) | {"num_videos": number, "random": random}


LEARNT = probe((98, 95, 100), (78, 70, 86), (20, 12, 28))
NOT_AHEAD = probe((80, 72, 88), (78, 70, 86), (2, -6, 10))
AT_CHANCE = probe((54, 44, 64), (42, 32, 52), (12, 1, 23))
WORSE = probe((60, 50, 70), (80, 72, 88), (-20, -30, -10))


def test_the_table():
    recall = {"recall": {"1": 23.0}, "interval": {"1": [15.0, 31.0]}, "chance": {"1": 12.1}, "num_queries": 120}
    other = recall | {"recall": {"1": 28.0}, "difference": {"1": -5.0}, "difference_interval": {"1": [-12.0, 2.0]}}
    lines = table({"speed": LEARNT, "retrieval": recall | {"random": other}})
    assert [line.split("  ")[0] for line in lines[:2]] == ["percent [95 % interval]", "speed"]
    assert lines[1].split() == ["speed", "98.0", "[95,", "100]", "78.0", "[70,", "86]", "+20.0", "[+12,", "+28]"]
    assert lines[2].startswith("  frames shuffled         62.0 [57, 67]")
    assert lines[3].split()[-3:] == ["+8.0", "[+1,", "+15]"]
    assert lines[4].split()[-6:] == ["28.0", "[15,", "31]", "-5.0", "[-12,", "+2]"]
    assert lines[5] == "chance: 50, 12.1"
    assert all(len(line) <= 100 for line in lines)


def test_what_was_not_measured_is_said():
    lines = table({"speed": {"not_measured": "too short"}, "arrow_of_time": LEARNT})
    assert lines[1] == "speed: not measured: too short"
    assert lines[2].startswith("arrow of time ")
    assert table({"speed": {"not_measured": "too short"}}) == ["speed: not measured: too short"]
    assert sentence({"speed": {"not_measured": "too short"}, "arrow_of_time": LEARNT}).startswith(
        "Training taught arrow"
    )


def test_what_was_taught_is_said():
    text = sentence({"speed": LEARNT, "arrow_of_time": NOT_AHEAD})
    assert text == (
        "Training taught speed (98 %, fresh weights 78 %): better than chance and better than fresh weights. It "
        "recognises speed by motion, not by single pictures."
    )
    pictures = sentence({"speed": probe((98, 95, 100), (78, 70, 86), (20, 12, 28), motion=False)})
    assert pictures.endswith(" That speed is recognised by motion is not shown: frames shuffled may do as well.")
    both = sentence({"speed": LEARNT, "arrow_of_time": LEARNT})
    assert "taught speed (98 %, fresh weights 78 %) and arrow of time (" in both


def test_nothing_is_said_that_an_interval_does_not_show():
    """Above chance as fresh weights are, above fresh weights at chance, and worse than these."""
    nothing = "Nothing shows that training taught anything: no number is above both chance and fresh weights."
    assert sentence({"speed": NOT_AHEAD, "arrow_of_time": AT_CHANCE}) == nothing
    assert sentence({"speed": WORSE}) == f"{nothing} Fresh weights are even better at speed."
    few = sentence({"speed": probe((80, 60, 100), (70, 50, 90), (10, -10, 30), number=12)})
    assert few == f"{nothing} With 12 test videos only large differences show; with more, smaller ones do too."


def test_a_list_of_neighbours_has_no_line():
    listed = {"num_queries": 20, "num_gallery": 20, "random": {"difference": {}, "difference_interval": {}}}
    assert table({"retrieval": listed}) == []
    assert sentence({"retrieval": listed}).endswith("is not known: there was nothing to compare.")
