"""From records to token items through a chat template."""
