"""Settings are typed, unknown keys are answered with the most similar name, and secrets are never shown."""

from __future__ import annotations

from datetime import timedelta

import pytest

from data.errors import ConfigError, HomeError, KeyFileError
from data.settings.home import Home
from data.settings.settings import load_settings

_MAIL = '[channels.x]\nkind = "email"\nurl = "{url}"\nsender = "t@h"\nrecipients = ["{to}"]\n'


def load(tmp_path, text="", **environ):
    file = tmp_path / "tocsin.toml"
    file.write_text(text)
    return load_settings(file, environ)


def test_spans_and_sizes_are_read(tmp_path):
    settings = load(tmp_path, '[crawl]\ntimeout = "90s"\nmax_bytes = "8MB"\n[daemon]\nremind_every = "2h"\n')
    assert settings.crawl.timeout == timedelta(seconds=90)
    assert settings.crawl.max_bytes == 8_000_000
    assert settings.daemon.remind_every == timedelta(hours=2)


@pytest.mark.parametrize("more", ['timeout = "9999999999d"', f'max_bytes = "{"9" * 400}MB"'])
def test_spans_and_sizes_beyond_what_can_be_represented_are_wrong_values(tmp_path, more):
    with pytest.raises(ConfigError):
        load(tmp_path, f"[crawl]\n{more}\n")


def test_the_environment_wins_over_the_file(tmp_path):
    settings = load(tmp_path, "[crawl]\nconcurrency = 2\n", TOCSIN_CRAWL__CONCURRENCY="5", TOCSIN_HOME="x")
    assert settings.crawl.concurrency == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[crawl]\ntimout = 5\n", "crawl.timout: no such setting; did you mean 'timeout'?"),
        ("[crwal]\n", "crwal: no such setting; did you mean 'crawl'?"),
        ('[channels.x]\nkind = "slack"\nurl = "http://x/"\ntokn = "a"\n', "did you mean 'token'?"),
        ('[channels.x]\nkind = "matrix"\nurl = "http://x/"\n', "needs `room` and `token`"),
        ('[channels.x]\nkind = "generic"\nurl = "http://x/"\n', "`secret`"),
        ('[channels.x]\nkind = "slack"\nurl = "x"\n', "complete http(s) address"),
        (_MAIL.format(url="smtp://u:SECRET@h", to="a@b.example"), "as `user` and `token`"),
        (_MAIL.format(url="https://h", to="a@b.example"), "complete smtp(s) address"),
        (_MAIL.format(url="smtp://h", to="a,b@b.example"), "must be e-mail addresses"),
        (_MAIL.format(url="smtp://h", to="a..b@b.example"), "must be e-mail addresses"),
        ('[[routes]]\nchannels = ["teem"]\n', "'teem', which does not exist"),
        ('[[routes]]\nchannels = []\nkinds = ["canaryhit"]\n', "canary_hit"),
        ("[crawl\n", "tocsin.toml"),
    ],
)
def test_the_message_about_an_invalid_setting_names_it_and_has_a_hint(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.hint


def test_secrets_are_not_shown(tmp_path):
    settings = load(tmp_path, '[channels.x]\nkind = "slack"\nurl = "https://hooks.example/SECRET"\n')
    assert "SECRET" not in repr(settings)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, '[channels.x]\nkind = "slak"\nurl = "https://hooks.example/SECRET"\n')
    assert "SECRET" not in str(caught.value)


def test_a_credential_of_systemd_is_read(tmp_path):
    (tmp_path / "hook").write_text("https://hooks.example/x\n")
    text = '[channels.x]\nkind = "slack"\nurl = "cred:hook"\n'
    settings = load(tmp_path, text, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert settings.channels["x"].url.get_secret_value() == "https://hooks.example/x"
    with pytest.raises(ConfigError, match="systemd passed no credentials"):
        load(tmp_path, text)


def test_the_match_key_comes_from_the_environment_a_credential_or_the_file(tmp_path):
    home = Home(tmp_path, {})
    with pytest.raises(KeyFileError, match="cannot be read"):
        home.match_key_text()
    home.keys_dir.mkdir()
    home.match_key_path.write_text("file")
    assert home.match_key_text().view == b"file"
    (tmp_path / "match.key").write_text("credential")
    assert Home(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).match_key_text().view == b"credential"
    assert Home(tmp_path, {"TOCSIN_MATCH_KEY": "variable"}).match_key_text().view == b"variable"


def test_the_message_about_a_folder_that_is_no_home_says_how_to_create_one(tmp_path):
    with pytest.raises(HomeError, match="contains no tocsin") as caught:
        Home(tmp_path, {}).require()
    assert "tocsin init" in caught.value.hint


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_settings_that_other_users_may_write_are_refused(tmp_path, mode):
    file = tmp_path / "tocsin.toml"
    file.write_text("")
    load_settings(file, {})
    file.chmod(mode)
    with pytest.raises(ConfigError, match="can be written by other users") as caught:
        load_settings(file, {})
    assert f"chmod go-w {file}" in caught.value.hint


def test_a_home_that_other_users_may_write_is_refused(tmp_path):
    (tmp_path / "tocsin.toml").write_text("")
    Home(tmp_path, {}).require()
    tmp_path.chmod(0o770)
    with pytest.raises(HomeError, match="can be written by other users") as caught:
        Home(tmp_path, {}).require()
    assert "chmod go-w" in caught.value.hint
