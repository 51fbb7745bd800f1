"""A crystal database, in any of the formats people have, to structures, asymmetric units and the training set."""
