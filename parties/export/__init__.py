"""A party's part of the model as ONNX: the graphs, the tables of words beside them, and the files of an export."""

__all__: list[str] = []
