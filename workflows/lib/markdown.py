"""Safe Markdown: text written by models, people or the web becomes HTML that can do nothing but be read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

# Longer text is shown as it is: nobody reads a book in a card, and parsing time grows with length.
MAX_CHARACTERS = 400_000

_FRAME = '<div class="mdtable" tabindex="0" role="region" aria-label="Table"><table>'
TAGS = {
    *("p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "s", "del", "ins", "sub", "sup", "kbd"),
    *("ul", "ol", "li", "h3", "h4", "h5", "h6", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
# No id, class, style, data-* or hx-*: foreign text must not reach our scripts, styles or anchors.
ATTRIBUTES: dict[str, set[str]] = {"a": {"href", "title"}, "ol": {"start"}}
URL_SCHEMES = {"http", "https", "mailto"}
# Page and section own h1 and h2, so a document's top heading starts at h3.
HEADING_SHIFT = 2


def _image_as_words(
    renderer: RendererProtocol, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """An image would tell its host who reads when, so only its description is kept."""
    return escape(tokens[index].content)


def _heading(renderer: Any, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """A heading of the document within the page: no level is left out, whatever the author began with."""
    token = tokens[index]
    if token.nesting > 0:
        level = min(6, int(token.tag[1]) + HEADING_SHIFT, int(env.get("level", HEADING_SHIFT)) + 1)
        env["level"] = level
    token.tag = f"h{env['level']}"
    return str(renderer.renderToken(tokens, index, options, env))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20})
    parser.enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image_as_words)
    parser.add_render_rule("heading_open", _heading)
    parser.add_render_rule("heading_close", _heading)
    return parser


def render_markdown(text: str) -> str:
    """Render CommonMark with tables to sanitised HTML.

    Raw HTML in the text appears as text, images as their description, links carry
    ``rel="noopener nofollow"`` and only http, https and mailto addresses. Never raises for any string.
    """
    if len(text) > MAX_CHARACTERS:
        return f"<pre>{escape(text)}</pre>"
    # NUL and lone surrogates cannot be encoded by the sanitiser.
    readable = text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
    cleaned = nh3.clean(
        _parser().render(readable),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=URL_SCHEMES,
        link_rel="noopener nofollow",
        strip_comments=True,
    )
    # A wide table scrolls in a frame of its own, with the keyboard too. Tags are all ours here: text is escaped.
    return cleaned.replace("<table>", _FRAME).replace("</table>", "</table></div>")
