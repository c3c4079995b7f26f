"""Parts with state: Amaranth components that know shapes and numbers and nothing of graphs."""
