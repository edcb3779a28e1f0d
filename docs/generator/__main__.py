"""Write the generated pages into docs/reference."""

from docs.generator.pages import write_pages

write_pages()
