"""Split training: the roles of both sides, the models, the batches, and the plan that the parties agree on.

`__all__` names the public modules. Nothing is imported here, since most of them load torch. `label` and `feature` have the
two roles, `plan` what the parties agree on, `batches` and `groups` which rows are trained on in which order, `models`
and `training` what is trained and how, `messages` and `traffic` what crosses, `checkpoint` and `runtime` the state of a
training and the settings of torch. `scoring` has the roles of prediction with a trained model; `party_dropout`,
`embedding_record` and `subset_models` make models for some of the feature parties, and `column_importance` permutes columns.
`onnx_module` exports a bottom module of a party's own.
"""

__all__ = [
    "batches",
    "checkpoint",
    "column_importance",
    "embedding_record",
    "feature",
    "groups",
    "label",
    "messages",
    "models",
    "onnx_module",
    "party_dropout",
    "plan",
    "runtime",
    "scoring",
    "subset_models",
    "traffic",
    "training",
]
