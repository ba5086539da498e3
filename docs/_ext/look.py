"""Open every page of the built site in Chromium, at the widths of a screen and of a phone.

Fails where a line of code is cut, a page is wider than the window, or a heading has no text.
After ``make docs browser``: ``make look``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from selenium import webdriver

SITE = Path(__file__).parents[1] / "_build" / "html"
WIDTHS = (1280, 400)
LOOK = """
const wide = element => element.scrollWidth > element.clientWidth + 2;
return [
  [...document.querySelectorAll("main pre")].filter(wide).length,
  wide(document.documentElement) ? 1 : 0,
  [...document.querySelectorAll("main section")].filter(s => s.children.length < 2).length,
];
"""


def main() -> int:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    pages = [
        path
        for path in sorted(SITE.rglob("*.html"))
        if not {"_modules", "_static", "generated"} & set(path.parts)
        and path.name not in ("search.html", "genindex.html")
    ]
    n_bad = 0
    browser = webdriver.Chrome(options=options)
    try:
        for width in WIDTHS:
            browser.set_window_size(width, 1000)
            for path in pages:
                browser.get(path.as_uri())
                cut, page, empty = browser.execute_script(LOOK)
                if cut or page or empty:
                    n_bad += 1
                    print(
                        f"{path.relative_to(SITE)} at {width} px: {cut} blocks cut, page too "
                        f"wide: {bool(page)}, {empty} headings without text"
                    )
    finally:
        browser.quit()
    print(f"{len(pages)} pages, {n_bad} with a fault")
    return int(n_bad > 0 or not pages)


if __name__ == "__main__":
    sys.exit(main())
