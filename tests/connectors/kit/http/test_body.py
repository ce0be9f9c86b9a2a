"""What is taken for an answer, where it ends, and whose socket may be used again after it."""

import gzip
import tracemalloc
from contextlib import suppress

import pytest
from pydantic import SecretStr

from connectors.kit.errors import BusyError, ReplyError, UnknownOutcome
from connectors.kit.http import body
from connectors.kit.http.auth import Bearer
from tests.connectors.script import CHUNKED, HEAD, whole


def test_an_answer_in_chunks_is_read_to_its_end(scripted, opened):
    script = scripted(CHUNKED + b"2\r\n[1\r\n3;x=y\r\n,2]\r\n0\r\nTrailer: x\r\n\r\n", whole(b"[3]"))
    http = opened(script.url)
    assert http.get("a").json() == [1, 2]
    assert http.get("b").json() == [3]
    assert [number for number, _ in script.asked] == [0, 0]


@pytest.mark.parametrize("cut", [b"2\r\n[1\r\n", b"9\r\n[1", b"2\r\n[1\r\nzz\r\n", b""])
def test_an_answer_whose_chunks_end_early_is_asked_for_again(scripted, opened, cut):
    script = scripted(CHUNKED + cut, None, whole(b"[2]"))
    assert opened(script.url).get("a").json() == [2]
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Le",
        HEAD + b"Content-Length: 0\r\n",
        HEAD[:-20],
        b"HTTP/1.1 200 OK\r\n",
        HEAD + b"\r\n[1]",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n[1]",
        HEAD + b"no field\r\nContent-Length: 3\r\n\r\n[1]",
        HEAD + b"Content-Length: 3x\r\n\r\n[1]",
        CHUNKED + b"3\r\n[1]\r\n",
        whole(b"[1]")[:-1],
    ],
)
def test_an_answer_whose_end_nobody_vouches_for_is_none(scripted, opened, answer):
    script = scripted(answer, None)
    with pytest.raises(UnknownOutcome, match="connection broken"):
        opened(script.url).delete("a", writes=True)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000]
)
def test_what_speaks_no_http_is_no_answer(scripted, opened, answer):
    script = scripted(answer, None)
    with pytest.raises(BusyError, match=r"no whole answer \(connection broken\)"):
        opened(script.url, attempts=1).get("a")


@pytest.mark.parametrize("interim", [b"100 Continue\r\n", b"103 Early Hints\r\nLink: </x>\r\nContent-Length: 9\r\n"])
def test_an_interim_answer_is_none_and_the_one_behind_it_is(scripted, opened, interim):
    script = scripted(b"HTTP/1.1 " + interim + b"\r\n" + whole(b"[1]"), whole(b"[2]"))
    http = opened(script.url)
    answer = http.post("a", json={}, writes=True)
    assert (answer.status, answer.json(), answer.headers.get("Link")) == (200, [1], None)
    assert http.get("b").json() == [2]
    assert [number for number, _ in script.asked] == [0, 0]


def test_another_protocol_is_no_answer(scripted, opened):
    script = scripted(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", None)
    with pytest.raises(UnknownOutcome, match="connection broken"):
        opened(script.url).post("a", json={}, writes=True)


def test_an_offer_of_another_protocol_changes_nothing(scripted, opened):
    offer = b"Connection: Upgrade, Keep-Alive\r\nUpgrade: h2,h2c\r\nContent-Length: 3\r\n\r\n[1]"
    script = scripted(HEAD + offer, whole(b"[2]"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]
    assert [number for number, _ in script.asked] == [0, 0]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n[1]",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n[1]",
        b"Content-Length: 3x\r\n\r\n[1]",
        b"Content-Length: -3\r\n\r\n[1]",
    ],
)
def test_an_answer_of_two_lengths_or_of_none_that_can_be_is_not_taken(scripted, opened, fields):
    script = scripted(HEAD + fields, None, whole(b"[2]"))
    assert opened(script.url).get("a").json() == [2]


@pytest.mark.parametrize("behind", [b"x", b"HTTP/1.1 200 OK\r\n", whole(b"[7]"), HEAD + b"\r\n"])
def test_what_lies_behind_an_answer_is_nobodys(scripted, opened, behind):
    script = scripted(whole(b"[1]") + behind, None, whole(b"[2]"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x; boundary*=a\0b'en'x\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nx",
        CHUNKED + b"zz\r\n",
    ],
)
def test_an_answer_that_cannot_be_read_is_no_fault_of_the_secret(scripted, opened, answer):
    script = scripted(answer, None)
    with pytest.raises(UnknownOutcome, match="connection broken"):
        opened(script.url, auth=Bearer(SecretStr("x"))).post("a", json={}, writes=True)


@pytest.mark.parametrize("interim", [b"103 Early Hints", b"102 Processing"])
def test_an_interim_answer_is_never_taken_for_the_next_one(scripted, opened, interim):
    script = scripted(b"HTTP/1.1 " + interim + b"\r\n\r\n" + whole(b"[1]"), None, whole(b"[2]"))
    http = opened(script.url)
    with suppress(UnknownOutcome):
        assert http.post("a", json={}, writes=True).json() == [1]
    assert http.get("b").json() == [2]


def test_a_field_that_comes_twice_is_read_whole(scripted, opened):
    script = scripted(HEAD + b'Link: </p>; rel="prev"\r\nLink: </n>; rel="next"\r\nContent-Length: 2\r\n\r\n[]')
    assert opened(script.url).get("a").headers["link"] == '</p>; rel="prev", </n>; rel="next"'


@pytest.mark.parametrize("field", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_what_has_no_content_has_none_to_wait_for(scripted, opened, field):
    script = scripted(b"HTTP/1.1 204 No Content\r\n" + field + b"\r\n", whole(b"[2]"))
    http = opened(script.url, timeout=2, attempts=1)
    assert http.delete("a", writes=True).body == b""
    assert http.get("b").json() == [2]


@pytest.mark.parametrize(
    "content", [b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 3\r\n\r\n", b"content-length: 03\r\n\r\n"]
)
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_content_that_cannot_be_there_is_not_taken_for_the_next_answer(scripted, opened, status, content):
    script = scripted(b"HTTP/1.1 " + status + b"\r\n" + content, whole(b"[2]"))
    http = opened(script.url)
    with suppress(ReplyError):
        http.delete("a")
    assert http.get("b").json() == [2]
    assert [number for number, _ in script.asked] == [0, 1]


def test_a_trailer_is_no_field_of_the_head(scripted, opened):
    trailers = b"Retry-After: 9\r\nContent-Type: text/html\r\n\r\n"
    script = scripted(CHUNKED + b"2\r\n[]\r\n0\r\n" + trailers)
    answer = opened(script.url).get("a")
    assert (answer.json(), dict(answer.headers)) == (
        [],
        {"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
    )


def test_blanks_round_a_value_are_none_of_it(scripted, opened):
    moved = b"HTTP/1.1 301 Moved\r\nLocation:  \t/x \t \r\nContent-Length: 0 \r\n\r\n"
    script = scripted(moved, HEAD + b"Content-Length:  2 \r\n\r\n[]")
    assert opened(script.url).get("a").url == f"{script.url}/x"


@pytest.mark.parametrize("status", [b"050 Odd", b"000 None"])
def test_a_status_that_none_can_be_is_no_answer(scripted, opened, status):
    script = scripted(b"HTTP/1.1 " + status + b"\r\nContent-Length: 3\r\n\r\n[9]" + whole(b"[1]"), None, whole(b"[2]"))
    http = opened(script.url)
    with pytest.raises(UnknownOutcome):
        http.post("a", json={}, writes=True)
    assert http.get("b").json() == [2]


def test_a_body_in_the_smallest_pieces_takes_little_more_room_than_its_bytes():
    class Drops:
        headers: dict[str, str] = {}
        length_remaining = None
        left = 200_000

        def read1(self, most: int, *, decode_content: bool) -> bytes:
            self.left -= 1
            return b"%d" % (self.left % 100) if self.left >= 0 else b""

    tracemalloc.start()
    try:
        assert len(body.whole(Drops(), 1 << 20)) == 380_000
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_packed_texts_without_content_that_never_end_are_refused(little, opened):
    little.say(200, gzip.compress(b"") * 2_000, Content_Encoding="gzip")
    with pytest.raises(BusyError, match="no whole answer"):
        opened(little.url, attempts=1).get("a")


def test_a_packed_body_may_be_no_larger_than_an_unpacked_one(little, opened):
    little.say(200, gzip.compress(b"") * 500, Content_Encoding="gzip")
    with pytest.raises(ReplyError, match="larger than"):
        opened(little.url, max_body=5_000).get("a")


def test_a_head_without_end_is_refused(scripted, opened):
    script = scripted(HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n", None)
    with pytest.raises(BusyError, match="connection broken"):
        opened(script.url, attempts=1).get("a")
