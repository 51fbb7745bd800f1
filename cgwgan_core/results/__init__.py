"""What a run found: stores, counts, pictures, report."""
