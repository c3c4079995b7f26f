"""Families of random networks: a number means one network in each of them."""

from __future__ import annotations

from collections.abc import Callable

from tests.property import networks, spatial
from tests.property.networks import Network

FAMILIES: dict[str, Callable[[int], Network]] = {"mlp": networks.numbered, "spatial": spatial.numbered}
"""Fully connected layers; convolutions and what comes with them."""
