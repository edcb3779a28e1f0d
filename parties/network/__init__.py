"""The way between the parties: messages as bytes, frames, links, TLS, and a network in memory."""
