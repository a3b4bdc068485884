"""A labelled data set plays the people: whole campaigns without Label Studio, baselines, and the comparison with the paper."""
