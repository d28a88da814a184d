"""Pushing a folder, to a stand-in for the Hub; no network."""

import re
from types import SimpleNamespace

import pytest

from rspnet.errors import ConfigError, HubError
from rspnet.weights.hub import check_repo, push
from tests.support.hub_server import TOKEN, hub_server

# huggingface_hub's own way to hand a file to its http library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import constants

    with hub_server() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # whose servers have no stand-in
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def folder(tmp_path):
    files = {"model.safetensors": bytes(range(256)) * 50, "config.json": b"{}", "README.md": b"---\ntags: [a]\n---\n"}
    for name, content in files.items():
        (tmp_path / "net" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "net" / name).write_bytes(content)
    return tmp_path / "net"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_files_come_there_in_one_commit(hub, folder, capsys):
    before = contents(folder)
    assert push(folder, "org/net") == f"{hub.url}/org/net/commit/1"
    assert hub.files["org/net"] == before == contents(folder)
    (folder / "config.json").write_text('{"again": 1}')
    push(folder, "org/net")  # which is there by now
    assert hub.files["org/net"]["config.json"] == b'{"again": 1}'
    assert sum(path.endswith("/commit/main") for path in hub.asked) == 2
    assert capsys.readouterr().err == ""  # no bars where there is no terminal


@pytest.mark.parametrize("where", ["/api/repos/create", "/commit/main"])
def test_what_is_refused_loses_nothing_and_is_said_in_one_line(hub, folder, where):
    hub.refuse, before = where, contents(folder)
    with pytest.raises(HubError, match=rf"^org/net: was not pushed \(.*403.*\); {re.escape(str(folder))} is complete"):
        push(folder, "org/net")
    assert contents(folder) == before
    assert not hub.files.get("org/net")
    hub.refuse = "nothing"
    push(folder, "org/net")
    assert hub.files["org/net"] == before


@pytest.mark.parametrize(("status", "said"), [(503, "503, Service Unavailable"), (520, "520, without a reason")])
def test_what_a_hub_or_a_proxy_answers(folder, monkeypatch, status, said):
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    def refused(*_, **__):
        raise HfHubHTTPError("refused", response=SimpleNamespace(status_code=status, headers={}, request=None))

    monkeypatch.setattr(HfApi, "create_repo", refused)
    with pytest.raises(HubError, match=rf"^org/net: was not pushed \(the Hub answers {said}\); "):
        push(folder, "org/net")


def test_without_a_token_and_without_a_hub(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(HubError, match=r"^org/net: was not pushed \(.*401") as caught:
        push(folder, "org/net")
    assert "`hf auth login`" in str(caught.value)
    assert "\n" not in str(caught.value)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"^org/net: was not pushed \("):
        push(folder, "org/net")


@pytest.mark.parametrize(
    "repo", ["net", "a/b/c", "/net", "org/", "org/ne t", "org/-net", "o..g/net", "org/net.git", "x/" * 60]
)
def test_names_that_the_hub_cannot_have(repo):
    with pytest.raises(ConfigError, match=r"^push: .* is no name on the Hub; give ORG/NAME"):
        check_repo(repo)
    check_repo("my-org/c3d_ucf101.v2")
