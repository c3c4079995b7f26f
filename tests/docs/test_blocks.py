from tests.docs.blocks import blocks, commands


def page(tmp_path, text):
    file = tmp_path / "page.md"
    file.write_text(text)
    return file


def test_commands_and_their_output(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    file = page(tmp_path, "Words\n\n```console\n$ one \\\n    two\nsaid\n$ three\nrtl4ml: no\n```\n")
    (block,) = blocks(file)
    first, second = commands(block)
    assert (first.text, first.output, first.status) == ("one \\\n    two", ("said",), 0)
    assert (second.text, second.where, second.status) == ("three", "page.md:7", 2)


def test_kinds_titles_and_indents(tmp_path):
    file = page(tmp_path, '- item\n\n    ```toml title="a.toml"\n    x = 1\n    ```\n\n````text\n```\n````\n')
    first, second = blocks(file)
    assert (first.kind, first.title, first.text, first.line) == ("toml", "a.toml", "x = 1\n", 4)
    assert (second.kind, second.title, second.text) == ("text", None, "```\n")
