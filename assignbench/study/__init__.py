"""Studies: from a YAML file to cells."""
