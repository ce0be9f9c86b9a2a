"""The calibration plot: sound SVG, every model in it, nothing loaded from anywhere."""

from xml.etree import ElementTree

from pages.calibration import calibration_svg

SVG = "{http://www.w3.org/2000/svg}"


def tenth(model: str, number: int, promised: float, came: float) -> dict[str, object]:
    return {
        "model": model,
        "tenth": number,
        "promised": promised,
        "came": came,
        "came_low": came * 0.9,
        "came_high": came * 1.05,
    }


ROWS = [tenth(model, number, number / 10, number / 11) for model in ("bgbb", "<rfm>") for number in range(1, 11)]


def test_every_model_is_a_line_with_a_point_for_each_tenth():
    drawn = ElementTree.fromstring(calibration_svg(ROWS, "bgbb"))
    assert len(drawn.findall(f".//{SVG}polyline")) == 2
    assert len(drawn.findall(f".//{SVG}circle")) == 20
    assert {"bgbb", "<rfm>"} <= {text.text for text in drawn.iter(f"{SVG}text")}


def test_a_good_promise_lies_on_the_diagonal():
    drawn = ElementTree.fromstring(calibration_svg([tenth("bgbb", 1, 0.5, 0.5)]))
    point = drawn.find(f".//{SVG}circle")
    (line,) = (element for element in drawn.iter(f"{SVG}line") if element.get("stroke-dasharray"))
    middle = [(float(line.get(f"{axis}1")) + float(line.get(f"{axis}2"))) / 2 for axis in "xy"]
    assert [round(float(point.get(f"c{axis}")), 1) for axis in "xy"] == [round(value, 1) for value in middle]


def test_nothing_is_loaded_from_anywhere():
    assert "href" not in calibration_svg(ROWS)
    assert calibration_svg(ROWS).count("http") == 1  # the name of the SVG language
