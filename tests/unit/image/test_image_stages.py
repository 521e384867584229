"""What the classic builder leaves of a build's earlier stages."""

from __future__ import annotations

from hythe.provider.container.image_build import Stages

SAID = """\
Step 1/9 : ARG BASE
Step 2/9 : FROM ${BASE} AS build
 ---> aaaaaaaaaaaa
Step 3/9 : RUN make
 ---> Running in 0123456789ab
Removing intermediate container 0123456789ab
 ---> bbbbbbbbbbbb
Step 4/9 : FROM ${BASE} AS bare
 ---> aaaaaaaaaaaa
Step 5/9 : FROM build AS tested
 ---> bbbbbbbbbbbb
Step 6/9 : RUN test
 ---> Using cache
 ---> cccccccccccc
Step 7/9 : FROM ${BASE}
 ---> aaaaaaaaaaaa
Step 8/9 : COPY --from=build /x /x
 ---> dddddddddddd
Step 9/9 : LABEL a=b
 ---> eeeeeeeeeeee
Successfully built eeeeeeeeeeee
"""


def test_stages_before_the_last_are_known_and_bases_are_not_ours() -> None:
    stages = Stages()
    for line in SAID.splitlines():
        stages.hear(line)
    assert stages.ended == ["bbbbbbbbbbbb", "cccccccccccc"]
