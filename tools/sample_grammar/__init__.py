"""Templates, word pieces and name builders of the bundled sample corpora."""
