"""How messages are sent: what the integrations use."""
