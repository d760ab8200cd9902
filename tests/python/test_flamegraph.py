"""`guaco flamegraph`: its frames, computed from the folded file, and its script in Chromium."""

import html
import os
import random
import re
import subprocess
import xml.etree.ElementTree as ET

import browser
import pytest

SVG = "{http://www.w3.org/2000/svg}"
FULL = 1180.0  # of 1200 pixels, 10 left free on both sides


@pytest.fixture
def draw(exe, tmp_path):
    """draw(folded text, *flags): the SVG as text."""

    def run(*texts, flags=()):
        files = []
        for n, text in enumerate(texts):
            files.append(tmp_path / f"{n}.folded")
            files[-1].write_text(text)
        done = subprocess.run(
            [exe, "flamegraph", *flags, *files], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def frames_of_svg(svg):
    """(y, x, width, samples, name) of each frame, sorted."""
    root = ET.fromstring(svg)
    (group,) = (g for g in root.iter(f"{SVG}g") if g.get("id") == "frames")
    found = []
    for g in group:
        title, rect, _ = g
        name, count = re.fullmatch(r"(.*) \((\d+) samples, .*\)", title.text, re.S).groups()
        y, x, width = (float(rect.get(key)) for key in ("y", "x", "width"))
        found.append((y, x, width, int(count), name))
    return sorted(found)


def frames_of_folded(text, *, icicle=False):
    """The same, by the rules: siblings by name, widths by samples, none under 0.1 px."""
    tree = {}
    for line in text.splitlines():
        stack, count = line.rsplit(" ", 1)
        path = ()
        for frame in ("all", *stack.split(";")):
            path += (frame,)
            tree[path] = tree.get(path, 0) + int(count)
    depth = max(map(len, tree))
    pixels = FULL / tree[("all",)]
    found = []

    def place(path, begin):
        row = len(path) - 1 if icicle else depth - len(path)
        width = tree[path] * pixels
        if width >= 0.1:
            found.append((64.0 + 18 * row, 10 + begin * pixels, width, tree[path], path[-1]))
        children = (p for p in tree if p[:-1] == path)
        for child in sorted(children, key=lambda p: p[-1].encode()):
            place(child, begin)
            begin += tree[child]

    place(("all",), 0)  # a caller's own samples lie to the right of what it calls
    return sorted(found)


def random_folded(seed):
    pick = random.Random(seed)
    names = [f"/srv/app{n}.py:f{n}:{n + 1}" for n in range(6)]
    names += ["/usr/lib/python3.11/json.py:load:3", "été", "malloc", "a<b>&c"]
    stacks = {}
    for _ in range(300):
        stack = ";".join(pick.choices(names, k=pick.randint(1, 9)))
        stacks[stack] = stacks.get(stack, 0) + pick.choice([1, 1, 2, 30, 4000])
    return "".join(f"{stack} {count}\n" for stack, count in stacks.items())


@pytest.mark.parametrize("icicle", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_frames_are_those_of_the_folded_file(draw, seed, icicle):
    text = random_folded(seed)
    found = frames_of_svg(draw(text, flags=["--inverted"] if icicle else []))
    wanted = frames_of_folded(text, icicle=icicle)
    assert len(found) == len(wanted) > 50
    for a, b in zip(found, wanted, strict=True):
        assert (a[0], *a[3:]) == (b[0], *b[3:])
        assert a[1:3] == pytest.approx(b[1:3], abs=0.001)


def colour_of(svg, name):
    match = re.search(rf"<title>{re.escape(html.escape(name))} \(.*?fill=\"rgb\((\d+),(\d+),(\d+)\)", svg)
    return tuple(map(int, match.groups()))


def test_colours_tell_where_code_comes_from(draw):
    rows = {
        "/srv/app.py:run:3": (0, 2),  # the channel that is highest, and that is lowest
        "/v/lib/python3.12/site-packages/x.py:f:1": (1, None),
        "/usr/lib/python3.12/json/decoder.py:decode:9": (2, 0),
        "/lib/x86_64-linux-gnu/libc.so.6:malloc": (2, 1),
    }
    svg = draw("".join(f"{name} 5\n" for name in rows))
    for name, (most, least) in rows.items():
        colour = colour_of(svg, name)
        assert colour[most] == max(colour), name
        assert least is None or colour[least] == min(colour), name


def test_a_diff_is_red_where_more_and_blue_where_less(draw):
    before = "a;same 50\na;less 40\na;gone 10\n"
    after = "a;same 100\na;less 20\na;more 80\n"
    svg = draw(before, after, flags=["--diff"])
    red, blue, grey = (colour_of(svg, name) for name in ("more", "less", "same"))
    assert red[0] > red[2] + 100
    assert blue[2] > blue[0] + 100
    assert max(grey) - min(grey) < 10
    assert "more (80 samples, 40.00%, before 0.00%; own +40.00%)" in svg
    assert "less (20 samples, 10.00%, before 40.00%; own -30.00%)" in svg
    assert "10.0% of those before are in stacks that are gone" in svg
    assert "gone (" not in svg


def test_bytes_that_are_no_text_are_replaced(exe, tmp_path):
    odd = tmp_path / "odd"
    odd.write_bytes(b"a\xff\xc3;b\x01 3\n")
    done = subprocess.run([exe, "flamegraph", odd], capture_output=True)
    assert done.returncode == 0
    found = frames_of_svg(done.stdout.decode())
    assert {row[-1] for row in found} == {"all", "a\ufffd\ufffd", "b?"}


def test_standard_input_and_a_file_for_output(exe, tmp_path):
    out = tmp_path / "x.svg"
    done = subprocess.run(
        [exe, "flamegraph", "-", "-o", out, "--title", "Nights & days"],
        input="a;b 3\n", capture_output=True, text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "Nights &amp; days" in out.read_text()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], "one file of folded stacks"),
        (["--diff", "x"], "--diff takes two files"),
        (["a", "b", "c"], "left over"),
        (["--width", "12", "x"], "--width is 300 to 100000"),
        (["--invert", "x"], "the nearest is --inverted"),
    ],
)
def test_wrong_words_are_refused(exe, args, text):
    done = subprocess.run([exe, "flamegraph", *args], capture_output=True, text=True)
    assert done.returncode == 2
    assert text in done.stderr


def test_failures_have_a_text_and_a_code(exe, tmp_path):
    folded = tmp_path / "x"
    folded.write_text("a 1\n")

    def run(*args, **options):
        done = subprocess.run(
            [exe, "flamegraph", *args], stderr=subprocess.PIPE, text=True, **options
        )
        return done.returncode, done.stderr

    assert run(tmp_path / "none")[0] == 1
    assert "No such file" in run(tmp_path / "none")[1]
    code, text = run(folded, "-o", "/dev/full")
    assert (code, "No space left" in text) == (1, True)
    code, text = run(folded, "-o", tmp_path)
    assert (code, "Is a directory" in text) == (1, True)
    reader, writer = os.pipe()
    os.close(reader)
    code, text = run(folded, stdout=writer)
    os.close(writer)
    assert (code, "Broken pipe" in text) == (1, True)


# ---- the script, in a browser ----------------------------------------------------------

STACKS = """/srv/app.py:main:1;/srv/app.py:load:2;/usr/lib/python3.11/json.py:loads:5 30
/srv/app.py:main:1;/srv/app.py:load:2;/usr/lib/python3.11/re.py:match:7 10
/srv/app.py:main:1;/srv/app.py:work:9 60
"""
SHOWN = """return Object.fromEntries(
    Array.from(document.querySelectorAll("#frames > g:not(.hide)")).map((g) => {
        const box = g.children[0];
        return [g.children[1].textContent, [Number(box.getAttribute("x")),
                Number(box.getAttribute("y")), Number(box.getAttribute("width"))]];
    }));"""
LOAD, WORK, JSON = 3, 6, 4  # nth-child of the frames, callers first


@pytest.fixture(scope="module")
def window():
    """One browser for all tests: it takes seconds to start."""
    if not browser.is_here():
        pytest.skip("no chromium and chromedriver here")
    with browser.browser() as one:
        yield one


@pytest.fixture
def page(window, draw, tmp_path):
    path = tmp_path / "graph.svg"
    path.write_text(draw(STACKS))
    window.open("about:blank")
    window.open(path.as_uri())
    return window


def url_hash(page):
    return page.run("return location.hash")


def test_a_click_zooms_and_reset_undoes_it(page):
    before = page.run(SHOWN)
    assert before["load app.py:2"][2] == pytest.approx(0.4 * FULL)
    page.click(f"#frames > g:nth-child({LOAD})")
    shown = page.run(SHOWN)
    assert "work app.py:9" not in shown
    assert shown["load app.py:2"][2] == pytest.approx(FULL)
    assert shown["main app.py:1"][2] == pytest.approx(FULL)
    assert shown["loads json.py:5"][2] == pytest.approx(0.75 * FULL)
    assert shown["match re.py:7"][0] == pytest.approx(10 + 0.75 * FULL)
    assert url_hash(page) == "#z=2"
    page.click("#unzoom")
    assert page.run(SHOWN) == before
    assert url_hash(page) == ""


def test_a_search_marks_and_says_how_much(page):
    page.click("#search")
    page.answer("LOAD")
    assert page.run("return document.querySelectorAll('#frames > g.match').length") == 0
    assert page.run("return document.getElementById('matched').textContent") == "Matched: 0.0%"
    page.click("#search")  # "Reset search" is for a found text
    page.press("/")
    page.answer("load")
    assert page.run("return document.querySelectorAll('#frames > g.match').length") == 2
    assert page.run("return document.getElementById('matched').textContent") == "Matched: 40.0%"
    assert url_hash(page) == "#s=load"
    page.click("#search")
    assert page.run("return document.querySelectorAll('#frames > g.match').length") == 0
    assert url_hash(page) == ""
    page.press("/")
    page.answer("(")
    assert "Not a regular expression" in page.run("return document.getElementById('matched').textContent")


def test_the_picture_turns_over(page):
    before = page.run(SHOWN)
    page.click("#icicle")
    shown = page.run(SHOWN)
    assert shown["all"][1] == 64
    assert shown["loads json.py:5"][1] == 64 + 3 * 18
    assert before["all"][1] == 64 + 3 * 18
    assert url_hash(page) == "#i=1"


def test_the_url_brings_all_of_it_back(page):
    address = page.run("return location.href")
    page.open("about:blank")
    page.open(address + "#z=5&s=match&i=1")
    shown = page.run(SHOWN)
    assert shown["all"][1] == 64
    assert shown["work app.py:9"][2] == pytest.approx(FULL)
    assert page.run("return document.getElementById('matched').textContent") == "Matched: 10.0%"


def test_keys_choose_zoom_and_reset(page):
    page.press("\ue015")  # down: the first frame is chosen
    page.press("\ue013", "\ue013")  # up, twice: main, then the widest that it calls
    page.press("\ue007")  # enter
    assert page.run(SHOWN)["work app.py:9"][2] == pytest.approx(FULL)
    page.press("\ue00c")  # escape
    assert page.run(SHOWN)["load app.py:2"][2] == pytest.approx(0.4 * FULL)
    page.press("i")
    assert page.run(SHOWN)["all"][1] == 64


def test_a_tip_follows_the_mouse(page):
    page.run(
        "document.querySelectorAll('#frames > g')[arguments[0]].children[0].dispatchEvent("
        "new MouseEvent('mousemove', {bubbles: true, clientX: 50, clientY: 90}))",
        JSON - 1,
    )
    text = page.run("return document.getElementById('tip').textContent")
    assert text == "/usr/lib/python3.11/json.py:loads:530 samples, 30.00%"
    details = page.run("return document.getElementById('details').textContent")
    assert details == "/usr/lib/python3.11/json.py:loads:5 (30 samples, 30.00%)"
