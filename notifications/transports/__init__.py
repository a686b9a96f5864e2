"""How messages leave: what the kinds of channels send with."""
