"""Split training: the roles of both sides, the models, the batches, and the plan that the parties agree on.

`__all__` names the public modules. Nothing is imported here, since most of them load torch. `label` and `feature` have the
two roles, `plan` what the parties agree on, `batches` and `groups` which rows are trained on in which order, `models`
and `training` what is trained and how, `messages` and `traffic` what crosses, `checkpoint` and `runtime` the state of a
training and the settings of torch.
"""

__all__ = [
    "batches",
    "checkpoint",
    "feature",
    "groups",
    "label",
    "messages",
    "models",
    "plan",
    "runtime",
    "traffic",
    "training",
]
