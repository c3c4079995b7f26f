"""Text from the Jinja2 templates in rtl_templates/."""

import functools

import jinja2

from rtl4ml import resources


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.path("rtl_templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, **variables: object) -> str:
    """Text of a template, named by its path in rtl_templates/; a variable that it names must be given."""
    return _environment().get_template(template).render(**variables)
