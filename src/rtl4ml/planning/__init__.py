"""From a graph and what the user asked for to a plan: tiles, lanes, forms, schedule."""
