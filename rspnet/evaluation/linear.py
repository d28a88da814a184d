"""The linear probe: a linear classifier on frozen features."""

import warnings

import numpy as np
import numpy.typing as npt
import torch

from rspnet.evaluation.neighbours import finite

Floats = npt.NDArray[np.float64]

_MAX_ITER = 2000
_TOLERANCE = 1e-7  # largest component of the gradient at which the solver stops


def linear_probe(
    train_features: torch.Tensor,
    train_labels: torch.Tensor,
    test_features: torch.Tensor,
    *,
    num_classes: int,
    l2: float | None = None,
) -> torch.Tensor:
    """Classify by multinomial logistic regression on frozen features, solved to convergence.

    Features are standardised by the training set's mean and standard deviation, so that one penalty suits networks of
    any feature scale. Minimises mean cross-entropy + l2 / 2 * |weights|^2 (without the biases) by L-BFGS over the whole
    set in float64: this is convex, and needs neither random numbers nor a learning rate.

    Args:
        train_features: (N, D).
        train_labels: (N,) class numbers.
        test_features: (M, D).
        num_classes: Number of classes.
        l2: The penalty. None takes D / N, which gives the most probable weights under a normal prior of variance 1 / D
            (logits then have unit variance for a typical clip), so that nothing is tuned on the test set.

    Returns:
        (M, num_classes) float32 logits of the test features, on their device; -inf for a class without training
        features.

    Raises:
        ValueError: The penalty is not positive (separable features would have no solution), or a feature is not finite.
    """
    if l2 is None:
        l2 = train_features.shape[1] / len(train_features)
    if l2 <= 0:
        raise ValueError(f"the probe's l2 penalty must be positive, not {l2}")
    train, test = (finite(features).double().cpu().numpy() for features in (train_features, test_features))
    mean, std = train.mean(axis=0), train.std(axis=0)
    std[std == 0] = 1
    labels = train_labels.cpu().numpy()
    logits = np.full((len(test), num_classes), -np.inf)
    logits[:, np.unique(labels)] = _logits((train - mean) / std, labels, (test - mean) / std, l2=l2)
    return torch.from_numpy(logits).float().to(test_features.device)


def _logits(train: Floats, labels: npt.NDArray[np.int64], test: Floats, *, l2: float) -> Floats:
    """Return the logits (M, C) of the C classes that occur in the labels."""
    from sklearn.exceptions import ConvergenceWarning  # takes a second
    from sklearn.linear_model import LogisticRegression

    num_classes = len(np.unique(labels))
    if num_classes == 1:
        return np.zeros((len(test), 1))
    # scikit-learn's C is the weight of the sum of the losses. For two classes it has a single weight vector, the
    # difference of the two, whose square is twice the sum of theirs.
    strength = (2 if num_classes == 2 else 1) / (len(train) * l2)
    model = LogisticRegression(C=strength, solver="lbfgs", tol=_TOLERANCE, max_iter=_MAX_ITER)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train, labels)
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            steps = f"{model.n_iter_.max()} iterations"
            warnings.warn(f"the linear probe did not converge in {steps}: its accuracy is not final", stacklevel=3)
        else:
            warnings.warn(warning.message, stacklevel=3)
    scores = model.decision_function(test)
    return np.stack([-scores, scores], axis=1) / 2 if num_classes == 2 else scores
