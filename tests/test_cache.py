import concurrent.futures
import os
import threading
import time

import pytest

from rtl4ml import cache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path / "with space"))
    return tmp_path / "with space"


def test_built_once(folder):
    calls = []

    def build(path):
        calls.append(path)
        (path / "result").write_text("x")

    first = cache.cached("kind", "key", build)
    assert cache.cached("kind", "key", build) == first == folder / "kind" / "key"
    assert len(calls) == 1
    assert os.listdir(folder / "kind") == ["key"]


def test_a_failed_build_leaves_nothing(folder):
    def build(path):
        (path / "half").write_text("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match=r"^no$"):
        cache.cached("kind", "key", build)
    assert os.listdir(folder / "kind") == []


def test_builders_side_by_side_get_one_result(folder):
    together = threading.Barrier(4)

    def build(path):
        together.wait()  # all four found nothing, all four build
        (path / "result").write_text("x")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cache.cached("kind", "key", build), range(4)))
    assert found == [folder / "kind" / "key"] * 4
    assert os.listdir(folder / "kind") == ["key"]
    assert (folder / "kind" / "key" / "result").read_text() == "x"


def test_builds_that_nobody_used_are_removed(folder):
    for age, key in ((cache.UNUSED_DAYS + 1, "old"), (cache.UNUSED_DAYS - 1, "young")):
        path = cache.cached("kind", key, lambda path: (path / "result").write_text("x"))
        then = time.time() - age * 24 * 3600
        os.utime(path, (then, then))
    cache.cached("kind", "new", lambda path: (path / "result").write_text("x"))
    assert sorted(os.listdir(folder / "kind")) == ["new", "young"]


def test_the_key_knows_where_parts_end():
    keys = {cache.key_of(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], [b"abc", ""], ["c", "ab"])}
    assert len(keys) == 5
    assert cache.key_of(["a"]) == cache.key_of([b"a"])


def test_the_default_folder_is_the_users(monkeypatch):
    monkeypatch.delenv("RTL4ML_CACHE")
    assert cache.cache_folder().name == "rtl4ml"
