"""A party's own data: sources, the table with its columns by use, labels, images, preparation, and the aligned rows."""

__all__: list[str] = []
