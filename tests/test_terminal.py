"""Nothing that a name holds reaches a terminal as a command."""

import json

from rspnet import console
from rspnet.terminal import visible, visible_json

HOSTILE = "a\x1b[31m\a\nb\r\x7f\x9b2J\u202ec\u2028d\ud800.mp4"


def test_what_a_terminal_would_obey_is_escaped():
    assert visible(HOSTILE) == r"a\x1b[31m\x07\nb\r\x7f\x9b2J\u202ec\u2028d\ud800.mp4"
    assert visible("ünï 字 🎬 'x'\\n.mp4") == "ünï 字 🎬 'x'\\n.mp4"


def test_json_stays_what_it_is():
    name = HOSTILE.replace("\ud800", "")
    line = visible_json(json.dumps({"video": name}, ensure_ascii=False))
    assert json.loads(line) == {"video": name}
    assert line.isprintable()


def test_a_name_cannot_speak_in_a_lines_place(capsys):
    console.say(f"could not read {HOSTILE}", "another line")
    said = capsys.readouterr().err
    assert said.splitlines() == [f"could not read {visible(HOSTILE)}", "another line"]
