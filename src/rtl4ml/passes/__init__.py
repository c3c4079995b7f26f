"""Graph to graph: what changes how codes lie on wires, never what they mean."""
