"""Finds what can be asked about a sentence, and asks for it, by rules of English."""
