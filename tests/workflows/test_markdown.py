"""Markdown that others wrote is shown, never obeyed."""

from html.parser import HTMLParser

import pytest

from workflows.lib.markdown import ATTRIBUTES, MAX_CHARACTERS, TAGS, render_markdown

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "<javascript:alert(1)>",
    '[x](https://a.example "onmouseover=alert(1)")',
    '[x](https://a.example"onclick="alert(1))',
    "![x](https://tracker.example/pixel.png)",
    '![x" onerror="alert(1)](https://a.example/x.png)',
    "[![x](https://tracker.example/p.png)](https://a.example)",
    '<div hx-get="/api/v1/workflows" hx-trigger="load">x</div>',
    '<button data-confirm="x" data-hx-post="/delete">x</button>',
    '<p style="position:fixed">x</p>',
    '<form action="/sign-out" method="post"><button>x</button></form>',
    '<iframe src="https://a.example"></iframe>',
    "<style>body{display:none}</style>",
    '<meta http-equiv="refresh" content="0;url=https://a.example">',
    '<p id="main" class="vh">x</p>',
    "<!-- --><script>alert(1)</script><!-- -->",
    '```"><script>alert(1)</script>\nx\n```',
    "`<script>alert(1)</script>`",
    "<<script>script>alert(1)</script>",
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "\x00<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\ud800<script>alert(1)</script>",
]


# What the renderer itself puts around a table.
FRAME = {"class": "mdtable", "tabindex": "0", "role": "region", "aria-label": "Table"}


class Elements(HTMLParser):
    """Collects what a browser would build: elements and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(render_markdown(text))
    return parser.found


@pytest.mark.parametrize("attack", ATTACKS)
def test_foreign_text_builds_only_harmless_elements(attack: str) -> None:
    for tag, attributes in elements(attack):
        if tag == "div":
            assert attributes == FRAME, "only the frame of a table is a div"
            continue
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set()) | ({"rel"} if tag == "a" else set())
        href = attributes.get("href") or "https:"
        assert href.split(":")[0] in {"http", "https", "mailto"} or not href.partition(":")[1]


def test_raw_html_appears_as_text() -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in render_markdown("<script>alert(1)</script>")


def test_an_image_is_its_description() -> None:
    assert render_markdown("See ![a chart](https://a.example/x.png).") == "<p>See a chart.</p>\n"


def test_links_give_away_nothing() -> None:
    assert elements("[site](https://a.example/?q=1)") == [
        ("p", {}),
        ("a", {"href": "https://a.example/?q=1", "rel": "noopener nofollow"}),
    ]


def test_headings_start_below_those_of_the_page() -> None:
    assert [tag for tag, _ in elements("# One\n\n## Two\n\n##### Five")] == ["h3", "h4", "h5"]


def test_tables_lists_and_code_keep_their_shape() -> None:
    tags = [tag for tag, _ in elements("| a |\n|---|\n| 1 |\n\n3. x\n\n```py\n1 < 2\n```\n\n~~no~~ **yes**")]
    assert tags == [
        "div",
        "table",
        "thead",
        "tr",
        "th",
        "tbody",
        "tr",
        "td",
        "ol",
        "li",
        "pre",
        "code",
        "p",
        "s",
        "strong",
    ]


def test_an_ordered_list_keeps_its_first_number() -> None:
    assert ("ol", {"start": "3"}) in elements("3. third")


def test_the_same_text_is_rendered_the_same_again() -> None:
    assert render_markdown("# a") == render_markdown("# a") == "<h3>a</h3>\n"


@pytest.mark.parametrize("text", ["[" * 5000, "*" * 5000, "> " * 3000, "- " * 3000, "`" * 5000, "![" * 3000])
def test_hostile_nesting_ends(text: str) -> None:
    assert isinstance(render_markdown(text), str)


def test_a_book_is_shown_as_it_is() -> None:
    text = "<b>" + "x" * MAX_CHARACTERS
    assert render_markdown(text) == "<pre>&lt;b&gt;" + "x" * MAX_CHARACTERS + "</pre>"
