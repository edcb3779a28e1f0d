"""A party's own data: sources, the table with its columns by use, labels, preparation, images."""
