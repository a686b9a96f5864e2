"""What every app uses and none owns."""

__version__ = "0.1.0"
