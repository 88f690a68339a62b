"""A screen with the colours that a terminal shows, read as tmux prints it, as SVG: svg.py WIDTH HEIGHT <SCREEN >PICTURE."""

import re
import sys
import unicodedata
from html import escape

CELL, LINE, SIZE, EDGE = 8.43, 16, 14, 12
PAPER, INK = "#16181d", "#d6d9e0"
COLOURS = [
    "#3b3f4a", "#e2686f", "#86c06c", "#e0b65c", "#6aa6e8", "#c58ae0", "#5bc0c7", "#d6d9e0",
    "#767c8c", "#f08a90", "#a6dc8c", "#f2d084", "#94c2f4", "#dcacf0", "#86dce2", "#ffffff",
]


def indexed(number):
    if number < 16:
        return COLOURS[number]
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return f"#{grey:02x}{grey:02x}{grey:02x}"
    number -= 16
    levels = [0, 95, 135, 175, 215, 255]
    return "#" + "".join(f"{levels[number // step % 6]:02x}" for step in (36, 6, 1))


class Pen:
    """How what follows is drawn."""

    def __init__(self):
        self.set([0])

    def set(self, codes):
        codes = list(codes) or [0]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.fg = self.bg = None
                self.bold = self.dim = self.reverse = self.under = False
            elif code in (1, 2, 4, 7):
                setattr(self, {1: "bold", 2: "dim", 4: "under", 7: "reverse"}[code], True)
            elif code == 22:
                self.bold = self.dim = False
            elif code in (24, 27):
                setattr(self, {24: "under", 27: "reverse"}[code], False)
            elif code in (38, 48) and codes:
                kind = codes.pop(0)
                if kind == 5:
                    colour = indexed(codes.pop(0))
                else:
                    colour = "#" + "".join(f"{codes.pop(0):02x}" for _ in range(3))
                setattr(self, "fg" if code == 38 else "bg", colour)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.fg = COLOURS[code - 30 if code < 40 else code - 82]
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self.bg = COLOURS[code - 40 if code < 50 else code - 92]
            elif code == 39:
                self.fg = None
            elif code == 49:
                self.bg = None

    def look(self):
        ink, paper = self.fg or INK, self.bg
        if self.reverse:
            ink, paper = paper or PAPER, ink
        return ink, paper, self.bold, self.dim, self.under


def runs(line, pen):
    """Texts of one look, and the column that each begins in."""
    column = 0
    for part in re.split(r"(\x1b\[[0-9;:]*m)", line):
        if part.startswith("\x1b["):
            pen.set(int(code or 0) for code in re.split("[;:]", part[2:-1]))
            continue
        # Blanks are moved over, so that what is in columns stays there whatever the letters' width.
        for piece in re.finditer(r"\S+(?: \S+)*| +", part):
            text = piece.group()
            yield column, text, pen.look()
            column += sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def main():
    width, height = int(sys.argv[1]), int(sys.argv[2])
    wide, high = round(width * CELL + 2 * EDGE), height * LINE + 2 * EDGE
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-size="{SIZE}" '
        f'font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" fill="{INK}">',
        f'<rect width="{wide}" height="{high}" rx="8" fill="{PAPER}"/>',
    ]
    pen = Pen()
    for row, line in enumerate(sys.stdin.read().split("\n")[:height]):
        y = EDGE + row * LINE
        for column, text, (ink, paper, bold, dim, under) in runs(line, pen):
            x, length = round(EDGE + column * CELL, 1), round(len(text) * CELL, 1)
            if paper:
                out.append(f'<rect x="{x}" y="{y}" width="{length}" height="{LINE}" fill="{paper}"/>')
            if not text.strip():
                continue
            style = "".join([
                "" if ink == INK else f' fill="{ink}"',
                ' font-weight="bold"' if bold else "",
                ' opacity=".6"' if dim else "",
                ' text-decoration="underline"' if under else "",
                f' textLength="{length}"' if len(text) > 1 else "",
            ])
            out.append(f'<text x="{x}" y="{y + 13}"{style}>{escape(text)}</text>')
    print("\n".join([*out, "</svg>"]))


main()
