"""The HTML pages that commands write: self-contained, without scripts, from jinja2 templates."""
