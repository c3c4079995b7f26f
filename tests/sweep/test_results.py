import json

import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.sweep.results import Results


def lines(path):
    return path.read_bytes().splitlines()


def test_what_was_appended_is_there_again(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    with Results(path) as results:
        results.append({"key": "a", "result": 1})
        assert json.loads(path.read_bytes()) == {"key": "a", "result": 1}  # before the file is closed
        results.append({"key": "b", "result": 2})
    with Results(path) as results:
        assert (len(results), results.get("a"), results.get("c")) == (2, {"key": "a", "result": 1}, None)
        results.append({"key": "a", "result": 3})
        assert results.get("a")["result"] == 3
    with Results(path) as results:
        assert results.get("a")["result"] == 3
    assert len(lines(path)) == 3


@pytest.mark.parametrize("half", [b"{", b'{"key":"b","resu', b'{"key":"b"', b"\xc3", b"\0\0\0"])
def test_a_half_written_line_is_cut_off(tmp_path, half):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"key":"a"}\n' + half)
    with Results(path) as results:
        assert len(results) == 1
        results.append({"key": "c"})
    assert lines(path) == [b'{"key":"a"}', b'{"key":"c"}']


def test_a_whole_line_without_its_end_is_kept(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"key":"a"}\n{"key":"b"}')
    with Results(path) as results:
        results.append({"key": "c"})
    assert lines(path) == [b'{"key":"a"}', b'{"key":"b"}', b'{"key":"c"}']


@pytest.mark.parametrize("line", [b"hello", b"[1]", b'{"name": 1}', b"3"])
def test_another_file_is_refused_and_left_alone(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_bytes(line + b"\n" + b'{"key":"a"}\n')
    with pytest.raises(ConfigurationError, match=r"Line 1 of results .* must be a JSON object with a key, not "):
        Results(path)
    assert lines(path)[0] == line


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "results.jsonl"
    with Results(path), pytest.raises(ConfigurationError, match="must be written by one sweep at a time, not by two"):
        Results(path)
    with Results(path):
        pass


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"Results .* must be writable: "):
        Results(tmp_path / "file" / "results.jsonl")
    with pytest.raises(ConfigurationError, match=r"Results .* must be writable: "):
        Results(tmp_path)
