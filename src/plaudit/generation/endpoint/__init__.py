"""Models behind an OpenAI-compatible server: requests that survive its faults, and what they cost."""
