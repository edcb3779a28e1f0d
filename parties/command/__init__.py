"""The command `vsplit`: what people type, and the screens that they see."""
