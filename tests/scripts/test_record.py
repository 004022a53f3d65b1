"""scripts/record: the picture that it draws of screens. That it records a real terminal is seen when it is run."""

from xml.etree import ElementTree as ET

from scripts.record import Screen, draw

SVG = "{http://www.w3.org/2000/svg}"
FIRST = Screen(rows=("$ loop", "", "\x1b[36mloop\x1b[39m  1 < 2 & done"), ms=100)
SECOND = Screen(rows=("$ loop", "ready"), ms=300)


def texts(picture: str) -> dict[str, str]:
    rows = ET.fromstring(picture).iter(f"{SVG}text")
    return {f"#{row.attrib['id']}": "".join(row.itertext()) for row in rows}


def test_a_picture_has_the_text_of_every_screen_as_it_was_printed():
    picture = draw([FIRST, SECOND])
    shown = [texts(picture)[use.attrib["href"]] for use in ET.fromstring(picture).iter(f"{SVG}use")]
    assert shown == ["$ loop", "loop  1 < 2 & done", "$ loop", "ready"]


def test_a_row_that_several_screens_show_is_drawn_once():
    assert len(texts(draw([FIRST, SECOND]))) == 3


def test_a_picture_without_animation_shows_the_last_screen():
    style = next(ET.fromstring(draw([FIRST, SECOND])).iter(f"{SVG}style")).text or ""
    still = style.partition(".strip{")[2].partition(";")[0]
    assert style.partition("25.000%{")[2].partition("}")[0] == still  # the second begins after 100 of 400 ms


def test_a_piece_in_a_colour_stands_at_its_column():
    pieces = list(ET.fromstring(draw([FIRST])).iter(f"{SVG}tspan"))
    coloured = [piece for piece in pieces if "fill" in piece.attrib]
    assert [piece.text for piece in coloured] == ["loop"]
    after = pieces[pieces.index(coloured[0]) + 1]
    assert float(after.attrib["x"]) - float(coloured[0].attrib["x"]) == float(coloured[0].attrib["textLength"])
