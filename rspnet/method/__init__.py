"""The paper: the pretext task and its networks' heads, the classifier, the optimisation."""
