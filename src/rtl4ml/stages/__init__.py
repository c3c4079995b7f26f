"""How operators are built: stages take a stream in and give a stream out, with numbers that fix their schedule."""
