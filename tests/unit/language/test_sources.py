"""What the argument ``source`` of a module may say."""

from __future__ import annotations

import pytest

from hythe.modules.sources import ModuleSource, SourceError, parse_source

COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("./a", ModuleSource("local", "./a")),
        ("../a//b", ModuleSource("local", "../a//b")),
        ("/srv/modules/a", ModuleSource("local", "/srv/modules/a")),
        ("hythe//docker-fleet", ModuleSource("library", "docker-fleet")),
        ("git::https://h/n.git", ModuleSource("git", "https://h/n.git")),
        ("git::https://h/n.git//a/b?ref=v1.2", ModuleSource("git", "https://h/n.git", "a/b", "v1.2")),
        ("git::https://h/n.git?ref=x&depth=3", ModuleSource("git", "https://h/n.git", "", "x", 3)),
        ("git::https://h/n.git?a=b&ref=x", ModuleSource("git", "https://h/n.git?a=b", "", "x")),
        ("git::ssh://git@h/n.git", ModuleSource("git", "ssh://git@h/n.git")),
        ("git@h:o/n.git//sub", ModuleSource("git", "ssh://git@h/o/n.git", "sub")),
        ("git::git@h:o/n.git", ModuleSource("git", "ssh://git@h/o/n.git")),
        ("github.com/o/n", ModuleSource("git", "https://github.com/o/n.git")),
        ("github.com/o/n//sub?ref=v1", ModuleSource("git", "https://github.com/o/n.git", "sub", "v1")),
        (f"git::http://h/n.git?ref={COMMIT}", ModuleSource("git", "http://h/n.git", "", COMMIT)),
        ("https://h/a.tar.gz//x", ModuleSource("archive", "https://h/a.tar.gz", "x", archive=".tar.gz")),
        ("https://h/get?v=1&archive=zip", ModuleSource("archive", "https://h/get?v=1", archive=".zip")),
        (
            "http://h/a.zip?checksum=sha256:ab",
            ModuleSource("archive", "http://h/a.zip", checksum="sha256:ab", archive=".zip"),
        ),
        ("./a.tgz//sub", ModuleSource("archive", "./a.tgz", "sub", archive=".tgz")),
    ],
)
def test_forms(text: str, expected: ModuleSource) -> None:
    assert parse_source(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must not be empty"),
        ("modules/a", 'write "./modules/a"'),
        ("hashicorp/consul/aws", "no module registry"),
        ("hythe//", "no name of a ready-made module"),
        ("hythe//../x", "no name of a ready-made module"),
        ("s3::https://h/a", "cannot come from S3"),
        ("git::ext::sh -c x", "no address of a git repository"),
        ("git::https://u:secret@h/n.git", "password"),
        ("git::https://h/n.git?sshkey=abc", "readable by everyone"),
        ("git::https://h/n.git?ref=-x", "no name of a branch"),
        ("git::https://h/n.git?depth=0", "1 or more"),
        ("git::http://h/n.git?ref=v1", "changed on the way"),
        ("git::https://h/n.git//../x", "cannot lead out"),
        ("https://h/page", "names no archive"),
        ("http://h/a.zip", "use https"),
        ("https://h/a?archive=rar", 'no form of archive "rar"'),
        ("github.com/o", "needs the owner and the repository"),
        ("ssh://h/n.git", 'Write "git::ssh://h/n.git"'),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert words in str(caught.value)
