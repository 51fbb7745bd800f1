"""Letters one after the other, then cell and coordinates by a flow that sees the atoms: templates of many sites."""
