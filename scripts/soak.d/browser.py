"""Chromium without a window, with its sandbox and without."""
import shutil

from application import Application

PAGE = """<!doctype html><title>soak</title><style>p { margin: 1px } .b { transform: rotate(3deg) }</style><div id=d></div><canvas id=c></canvas>
<script>
const list = Array.from({ length: 3000 }, (_, i) => ({ i, word: 'word ' + (i * 7919 % 1009), copy: new Uint8Array(500).fill(i) }));
for (const one of list.slice(0, 500)) { const p = document.createElement('p'); p.className = one.i % 2 ? 'a' : 'b'; p.textContent = one.word; d.append(p); }
c.getContext('2d').fillRect(1, 2, 30, 40);
document.title = 'sum ' + list.reduce((s, one) => s + one.copy[0], 0) + ' ' + d.children.length + ' ' + JSON.stringify(list).length;
</script>"""


def browser(*options):
    def run(stage):
        page = stage.write("page.html", PAGE)
        words = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={stage.path('profile')}", *options]
        # What it says on standard error has times and process ids.
        text = stage.run(NAME, *words, "--virtual-time-budget=5000", "--dump-dom", f"file://{page}", quiet=True)
        stage.say(text)

    return run


NAME = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), "chromium")
APPLICATIONS = [
    Application("chromium", [NAME], browser(), ["chromium"], processes=4, user=True, namespaces=True),
    Application("chromium-no-sandbox", [NAME], browser("--no-sandbox"), ["chromium"], processes=4, user=True),
]
