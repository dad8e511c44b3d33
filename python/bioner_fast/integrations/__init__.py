"""Where other libraries meet this one; each module needs its extra."""
