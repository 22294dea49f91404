"""Markdown of an answer in a real browser, under the page's own policy: elements of text, whatever the text is."""

import pytest

from tests.support.browsing import files_alone

pytestmark = pytest.mark.slow
#: Elements and attributes that an answer may become.
TAGS = {
    "A", "B", "BLOCKQUOTE", "BR", "CODE", "DEL", "DIV", "EM", "H3", "H4", "H5", "H6", "HR", "LI", "OL", "P", "PRE", "STRONG",
    "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "UL", "BUTTON",
}  # fmt: skip
ATTRIBUTES = {"href", "target", "rel", "class", "tabindex", "data-language", "start", "scope"}
#: Texts that must stay texts.
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<svg/onload=window.hacked=1>",
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "<a href='javascript:window.hacked=1'>x</a>",
    "[x](javascript:window.hacked=1)",
    "[x](JaVaScRiPt:window.hacked=1)",
    "[x](  javascript:window.hacked=1)",
    "[x](java\tscript:window.hacked=1)",
    "[x](javascript&#58;window.hacked=1)",
    "[x](\x01javascript:window.hacked=1)",
    "[x](data:text/html,<script>window.hacked=1</script>)",
    "[x](vbscript:msgbox)",
    "[x](//evil.example/x)",
    "[x](file:///etc/passwd)",
    "<javascript:window.hacked=1>",
    "![x](https://evil.example/track.png)",
    "![x](javascript:window.hacked=1)",
    "&lt;script&gt;window.hacked=1&lt;/script&gt;",
    "&#x3c;img src=x onerror=window.hacked=1&#x3e;",
    "```html\n<script>window.hacked=1</script>\n```",
    '```"onmouseover=window.hacked=1\n</code></pre><script>window.hacked=1</script>',
    "`<script>window.hacked=1</script>`",
    "| <script>window.hacked=1</script> | x |\n|---|---|\n| <img src=x onerror=window.hacked=1> | y |",
    "# <style>*{display:none}</style>",
    "- <form action=//evil.example><input name=x autofocus onfocus=window.hacked=1>",
    "[<img src=x onerror=window.hacked=1>](https://example.org)",
    '[x](https://example.org" onclick="window.hacked=1)',
    "[x][1]\n\n[1]: javascript:window.hacked=1",
    "<!-- --><base href=//evil.example>",
    "<math><mtext></p><img src=x onerror=window.hacked=1>",
)
SHOW = """async text => {
  const {show} = await import("/markdown.js"), place = document.querySelector("#place");
  place.replaceChildren();
  place.blocks = undefined;
  show(text, place);
  return place.innerHTML;
}"""


@pytest.fixture(scope="module")
def page(browser):
    with files_alone(browser) as found:
        yield found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(page, text):
    """No element but those of Markdown, no attribute but theirs, no link but to web and mail, and nothing has run."""
    page.evaluate(SHOW, text)
    tags, names, links = page.evaluate(
        """() => {
          const all = [...document.querySelectorAll("#place *")];
          return [all.map(each => each.tagName), all.flatMap(each => each.getAttributeNames()),
                  all.filter(each => each.href).map(each => each.protocol)];
        }"""
    )
    assert set(tags) <= TAGS and set(names) <= ATTRIBUTES, (tags, names)
    assert set(links) <= {"https:", "http:", "mailto:"}
    assert page.evaluate("window.hacked") is None
    assert "evil.example/x" not in page.evaluate("[...document.links].map(each => each.href).join()")


def test_markup_made_from_text_is_refused_by_the_browser(page):
    """Even a mistake in the page's own code could make no HTML of a text: the policy allows no such call."""
    told = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (error) { return error.name; } }"
    )
    assert told == "TypeError"


@pytest.mark.parametrize(
    ("text", "shown"),
    {
        "# One": "<h3>One</h3>",
        "a **b** *c* ~~d~~ `e`": "<p>a <strong>b</strong> <em>c</em> <del>d</del> <code>e</code></p>",
        "***both***": "<p><strong><em>both</em></strong></p>",
        "**게이트**는 *새* 버전을": "<p><strong>게이트</strong>는 <em>새</em> 버전을</p>",
        '**"인용"**은': '<p><strong>"인용"</strong>은</p>',
        "a * b * c": "<p>a * b * c</p>",
        "snake_case_name and 2 ** 3": "<p>snake_case_name and 2 ** 3</p>",
        "**open": "<p>**open</p>",
        r"\*not\*": "<p>*not*</p>",
        "- a\n- b\n  - c": "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>",
        "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
        "1. a\n\n   ```\n   x\n   ```\n\n2. b": '<ol><li><p>a</p><pre tabindex="0"><code>x</code></pre></li><li><p>b</p></li></ol>',
        "- [x] done": "<ul><li>☑ done</li></ul>",
        "> a\n> b": "<blockquote><p>a<br>b</p></blockquote>",
        "```py\nx = 1\n": '<pre tabindex="0"><code data-language="py">x = 1\n</code></pre>',
        "a\n\n---\n\nb": "<p>a</p><hr><p>b</p>",
        "| a | b |\n|:-|-:|\n| 1 \\| 2 | `x` |": '<div class="wide" tabindex="0"><table><thead><tr><th class="left" scope="col">a</th>'
        '<th class="right" scope="col">b</th></tr></thead><tbody><tr><td class="left">1 | 2</td><td class="right"><code>x</code></td>'
        "</tr></tbody></table></div>",
        "[a](https://e.org/x_(y))": '<p><a href="https://e.org/x_(y)" target="_blank" rel="noopener noreferrer nofollow">a</a></p>',
        "[https://e.org](https://e.org/b)": '<p><a href="https://e.org/b" target="_blank" rel="noopener noreferrer nofollow">https://e.org</a></p>',
        "see https://e.org/a.": '<p>see <a href="https://e.org/a" target="_blank" rel="noopener noreferrer nofollow">https://e.org/a</a>.</p>',
        "https://e.org/a에서": '<p><a href="https://e.org/a" target="_blank" rel="noopener noreferrer nofollow">https://e.org/a</a>에서</p>',
        "a &lt; b & c": "<p>a &lt; b &amp; c</p>",
        "[1] and [2](x)": "<p>[1] and [2](x)</p>",
        "": "",
        "a\r\nb": "<p>a<br>b</p>",
    }.items(),
)  # fmt: skip
def test_markdown_is_shown_as_it_is_meant(page, text, shown):
    """The forms that models write, with emphasis before a Korean particle, and forms that are no Markdown."""
    assert page.evaluate(SHOW, text) == shown


@pytest.mark.parametrize(
    "part", ["*", "**a ", "[", "[](", "[a](b ", "`", "`` ` ", "> ", "- ", " - a\n", "|", "| - ", "<a", "_a_", "~~", "http://", "\\", "a\n", "# ", "![", "&"]
)  # fmt: skip
def test_a_huge_text_is_shown(page, part):
    """190,000 characters of one mark, which would not end where time grows faster than the length."""
    assert page.evaluate(SHOW, (part * 190_000)[:190_000])


def test_a_longer_text_is_shown_as_it_is(page):
    """Beyond 200,000 characters there is one block of text."""
    assert page.evaluate(SHOW, "**a** " * 40_000).startswith("<pre>**a** ")


def test_a_stream_leaves_finished_blocks_alone(page):
    """A block that is complete stays the same element while the next ones come, so that a selection survives."""
    kept = page.evaluate(
        """async () => {
          const {show} = await import("/markdown.js"), place = document.querySelector("#place");
          place.replaceChildren();
          place.blocks = undefined;
          show("one\\n\\ntw", place);
          const first = place.firstChild;
          show("one\\n\\ntwo\\n\\n- three", place);
          return [first === place.firstChild, place.textContent];
        }"""
    )
    assert kept == [True, "onetwothree"]


def test_sources_are_cited_by_number(page):
    """`[n]` becomes a link where there is such a source, and stays a text elsewhere."""
    shown = page.evaluate(
        """async () => {
          const {show} = await import("/markdown.js"), place = document.querySelector("#place");
          place.replaceChildren();
          place.blocks = undefined;
          show("a [1], b [3] `[1]`", place, label => label === "1" ? document.createElement("hr") : null);
          return place.innerHTML;
        }"""
    )
    assert shown == "<p>a <hr>, b [3] <code>[1]</code></p>"
