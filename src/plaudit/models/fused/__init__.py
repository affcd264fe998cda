"""Decoder layers of the Llama layout, computed on the CPU with fewer passes over memory."""
