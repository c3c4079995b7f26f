import pytest

from tests.simulation.cores import Example, affine, mirror, total


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    """Every shape of wrapper: one beat, many beats, different beats in and out, narrow, wide, free-running."""
    folder = tmp_path_factory.mktemp("examples")
    made = [
        affine(folder, "single", n=11, lanes=11, bits=5, signed=True, out_bits=7),
        affine(folder, "narrow", n=5, lanes=2, bits=3, signed=False, out_bits=8),
        affine(folder, "huge", n=3, lanes=1, bits=4, signed=True, out_bits=40),
        total(folder, "total"),
        mirror(folder, "mirror", n=13, interval=1),
        mirror(folder, "slow_mirror", n=3, interval=3),
    ]
    return {example.name: example for example in made}
