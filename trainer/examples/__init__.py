"""Turns pairs into examples, and says what stands beside them in a step."""
