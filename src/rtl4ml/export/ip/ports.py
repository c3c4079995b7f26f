"""A port of an exported module, as datasheet, templates and scripts name it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """Its direction ("input" or "output"), name, bits, and what it is for."""

    direction: str
    name: str
    width: int
    purpose: str
