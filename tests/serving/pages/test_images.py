"""The page for models that take images, in a real browser: chooser, drop, preview, errors, history, phone, Korean."""

import pytest

from tests.support import gallery
from tests.support.browsing import NARROW, fits, opened, picture, violations
from tests.support.shop import running

pytestmark = pytest.mark.slow
DROP = """
([drop, base64]) => {
  const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0)), dropped = new DataTransfer();
  dropped.items.add(new File([bytes], "dropped.png"));
  for (const type of ["dragenter", "dragover", "drop"])
    drop.dispatchEvent(new DragEvent(type, {dataTransfer: dropped, bubbles: true, cancelable: true}));
}
"""


@pytest.fixture(scope="module")
def service(gallery_project):
    """The service on the model of pictures."""
    with running(gallery_project) as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A picture of each class, a large one, and a file that is none."""
    folder, (made, names) = tmp_path_factory.mktemp("files"), gallery.pictures(3, seed=5)
    for file, name in zip(made, names, strict=True):
        (folder / f"{name}.png").write_bytes(file)
    gallery.large().save(folder / "large.jpg", quality=95)
    (folder / "broken.png").write_bytes(made[0][:60])
    return folder


def predicted(page):
    """The answer to what the button sends."""
    with page.expect_response("**/predict") as answer:
        page.click("#send")
    page.locator("#history tbody tr").first.wait_for()
    return answer.value.status, answer.value.json()


def test_an_image_is_chosen_previewed_and_shown_beside_its_answer(browser, service, files, tmp_path):
    """By keyboard too; a form is sent; the history keeps the image over a reload, and fills the field again."""
    with opened(browser, service.url) as page:
        field, about = page.get_by_label("photo"), page.locator(".drop [role=status]")
        about.filter(has_text="example, 16 × 12").wait_for()
        field.set_input_files(files / "bright.png")
        about.filter(has_text="bright.png, 16 × 12, ").wait_for()
        preview = page.locator(".drop img")
        assert preview.evaluate("image => image.complete && image.naturalWidth") == 16
        with page.expect_request("**/predict") as sent:
            status, said = predicted(page)
        assert status == 200 and "multipart/form-data; boundary" in sent.value.headers["content-type"]
        expected = service.post(
            "/predict", (files / "bright.png").read_bytes(), **{"Content-Type": "image/png"}
        )
        assert said["predictions"] == expected[1]["predictions"]
        assert "level: most likely bright" in page.inner_text("#answer .sentence")
        beside = page.locator("#history tbody tr").first.locator("img")
        assert beside.get_attribute("alt") == "bright.png"
        assert beside.evaluate("image => image.complete && image.naturalWidth") == 16
        picture(page, tmp_path, "image")
        assert violations(page) == []
        page.reload()
        page.get_by_role("button", name="Use again").click()
        about.filter(has_text="bright.png").wait_for()
        assert predicted(page)[1]["predictions"] == said["predictions"]


def test_a_dropped_file_is_chosen_and_removed(browser, service, files):
    """The field has the file as if it had been chosen; without one, it asks for one."""
    import base64

    with opened(browser, service.url) as page:
        drop = page.locator(".drop")
        drop.wait_for()
        drop.evaluate(
            f"(drop, base64) => ({DROP})([drop, base64])",
            base64.b64encode((files / "dim.png").read_bytes()).decode(),
        )
        page.locator(".drop [role=status]", has_text="dropped.png").wait_for()
        assert predicted(page)[0] == 200 and "most likely dim" in page.inner_text("#answer .sentence")
        remove = page.get_by_role("button", name="Remove the image")
        remove.focus()
        page.keyboard.press("Enter")
        assert page.get_by_label("photo").evaluate(
            "input => input === document.activeElement && !input.files.length"
        )
        page.click("#send")
        assert page.inner_text(".field .wrong") == "A value is needed."


def test_a_file_that_is_no_image_is_said_beside_its_field(browser, service, files, tmp_path):
    """With the reason; the browser cannot show it either. A large picture is answered, and kept as a thumbnail."""
    with opened(browser, service.url) as page:
        page.get_by_label("photo").set_input_files(files / "broken.png")
        page.locator(".drop [role=status]", has_text="cannot show it").wait_for()
        assert predicted(page)[0] == 422
        wrong = page.locator(".field .wrong")
        wrong.filter(has_text="broken").wait_for()
        assert page.get_by_label("photo").get_attribute("aria-invalid") == "true"
        picture(page, tmp_path, "image-wrong")
        assert violations(page) == []
        page.get_by_label("photo").set_input_files(files / "large.jpg")
        page.locator(".drop [role=status]", has_text="large.jpg, 3000 × 2000").wait_for()
        assert predicted(page)[0] == 200 and page.inner_text(".field .wrong") == ""
        page.locator("#history tbody tr").first.filter(has_text="large.jpg").wait_for()
        kept = page.evaluate(
            "Object.entries(localStorage).filter(([name]) => name.startsWith('history'))[0][1].length"
        )
        assert kept < 20_000
        page.reload()
        page.get_by_role("button", name="Use again").first.click()
        page.locator(".field .wrong", has_text="Choose the file again").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_korean(browser, service, files, tmp_path, scheme):
    """390 px wide: nothing to scroll sideways; axe-core finds nothing."""
    with opened(browser, service.url, viewport=NARROW, locale="ko-KR", color_scheme=scheme) as page:
        page.get_by_text("파일을 고르거나 여기로 끌어 놓으세요").wait_for()
        page.get_by_label("photo").set_input_files(files / "dark.png")
        page.locator(".drop [role=status]", has_text="dark.png").wait_for()
        assert predicted(page)[0] == 200 and fits(page)
        assert page.get_by_role("button", name="이미지 지우기").is_visible()
        picture(page, tmp_path, f"image-phone-{scheme}")
        assert violations(page) == []


def test_the_description_of_the_api_has_a_file_chooser(browser, service, files):
    """In /docs, for a form and for the bare image: the chosen file is sent and answered."""
    page = browser.new_page()
    page.goto(f"{service.url}/docs")
    operation = page.locator("#operations-inference-predict")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    for content_type in ("multipart/form-data", "image/*"):
        operation.locator("select.content-type").first.select_option(content_type)
        operation.locator("input[type=file]").set_input_files(files / "bright.png")
        with page.expect_response("**/predict") as answer:
            operation.get_by_role("button", name="Execute").click()
        assert answer.value.status == 200
        operation.locator(".live-responses-table", has_text='"predictions"').first.wait_for()
    page.close()
