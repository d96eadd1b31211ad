"""Computes the steps of adapters over one frozen base model; knows of no job."""
