"""What every stage stands on: errors, logs, tables, provenance, files that survive a kill."""
