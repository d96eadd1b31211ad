"""What stands in the place of vLLM's parts on CPUs."""
