"""The model ``general``: one tagger of eight types from corpora that each label a few."""
