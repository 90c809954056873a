"""The scripts: what each file states, and what of it can be checked."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import takewhile

import pytest
from backends.redis.tests.handles import admin

from jobyard_redis.scripts import script
from jobyard_redis.throwaway import Product, ThrowawayServer

FOLDER = files("jobyard_redis") / "lua"
NAMES = sorted(each.name.removesuffix(".lua") for each in FOLDER.iterdir() if each.is_file())
PARTS = sorted(each.name.removesuffix(".lua") for each in (FOLDER / "parts").iterdir())
CALL = re.compile(r"\b(?:call|each_piece|many|redis\.p?call)\(\s*'([A-Z]+)'")
KEY = re.compile(r"""\b(?:call|each_piece|many)\(\s*'[A-Z]+',\s*([^\s,)]+)""")

WRITING = set(
    """APPEND DEL HDEL HINCRBY HSET HSETNX LPOP LTRIM RPUSH SADD SET SREM ZADD ZPOPMIN ZREM
    ZREMRANGEBYRANK ZREMRANGEBYSCORE UNLINK PUBLISH
    """.split()  # noqa: SIM905 - read as a list of words
)
READING = set(
    """EXISTS GET HEXISTS HGET HGETALL HKEYS HLEN HMGET HSCAN LLEN LRANGE SCARD SISMEMBER SMEMBERS
    SMISMEMBER SRANDMEMBER TIME ZCARD ZCOUNT ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZREVRANGE
    ZREVRANGEBYSCORE ZREVRANK ZRANK ZSCORE
    """.split()  # noqa: SIM905
)


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text("utf-8")


def header_of(name: str) -> str:
    return "\n".join(takewhile(lambda line: line.startswith("--"), text_of(name).splitlines()))


@pytest.mark.parametrize("name", NAMES)
def test_a_script_states_its_purpose_arguments_result_and_effect(name: str) -> None:
    header = header_of(name)
    assert header.startswith(f"-- {name}: ")
    for heading in ("flags", "include", "Arguments", "Result", "Effect"):
        assert f"\n-- {heading}: " in header, heading
    assert "now" in header.partition("Arguments: ")[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_script_that_says_it_writes_nothing_writes_nothing(name: str) -> None:
    flags = re.findall(r"^-- flags: (.*)$", text_of(name), re.MULTILINE)
    assert flags in (["none"], ["allow-oom"], ["no-writes"])
    if flags == ["no-writes"]:
        assert "\n-- Effect: none." in header_of(name)
        assert WRITING.isdisjoint(CALL.findall(text_of(name)))


@pytest.mark.parametrize("path", [*NAMES, *(f"parts/{part}" for part in PARTS)])
def test_only_commands_that_are_known_here_are_called_on_keys_of_the_yard(path: str) -> None:
    text = text_of(path)
    assert set(CALL.findall(text)) <= WRITING | READING
    literal = [key for key in KEY.findall(text) if key[0] in "'\""]
    assert literal == [], "a key that does not begin with the yard"
    assert "EXPIRE" not in text
    assert "cjson" not in text


@pytest.mark.parametrize("product", list(Product))
@pytest.mark.parametrize("name", NAMES)
def test_every_script_compiles_on_every_server(
    name: str, product: Product, request: pytest.FixtureRequest
) -> None:
    server: ThrowawayServer = request.getfixturevalue(product)
    wanted = script(name, flagged=product is Product.VALKEY)
    with admin(server) as client:
        assert client.script_load(wanted.text) == wanted.sha
