"""Encoders that learn from raw text: masked words."""
