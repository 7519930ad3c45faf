// The panel of a workbench: [data-panel-open] shows it, [data-panel-close] and Esc put it away, focus comes back;
// [data-panel-wide] gives it the whole width for reading, and takes it back.
// Wide: the list takes the free width. Narrow: a drawer, on phones a sheet, above a scrim. stepwell: openPanel(from), closePanel().
(() => {
  const narrow = matchMedia("(max-width: 1080px)");
  const parts = () => ({ bench: document.querySelector("[data-bench]"), side: document.querySelector(".bench__side") });
  let opener = null;

  const isOpen = ({ side }) => side?.classList.contains("is-open");
  const open = (from) => {
    const { bench, side } = parts();
    if (!side) return;
    opener = from;
    bench.classList.remove("is-wide");
    if (!narrow.matches) return;
    side.classList.add("is-open");
    side.setAttribute("role", "dialog");
    side.setAttribute("aria-modal", "true");
    side.focus({ preventScroll: true });
  };
  const close = () => {
    const { bench, side } = parts();
    if (!side) return;
    const drawer = isOpen({ side });
    side.classList.remove("is-open");
    bench.classList.remove("is-reading");
    side.setAttribute("role", "complementary");
    side.removeAttribute("aria-modal");
    if (!drawer && !narrow.matches) bench.classList.add("is-wide");
    (opener?.isConnected ? opener : document.getElementById(opener?.id))?.focus({ preventScroll: true });
    opener = null;
  };
  stepwell.openPanel = open;
  stepwell.closePanel = close;
  document.addEventListener("click", (event) => {
    const from = event.target.closest("[data-panel-open]");
    if (from) open(from);
    else if (event.target.closest("[data-panel-close]")) close();
    else if (event.target.closest("[data-panel-wide]")) {
      const { bench } = parts();
      bench.classList.toggle("is-reading");
      document.querySelectorAll("[data-panel-wide]").forEach(nameWide);
    }
  });
  const nameWide = (button) => {
    const reading = parts().bench?.classList.contains("is-reading");
    (button.querySelector("[data-panel-wide-word]") ?? button).textContent = reading ? "Beside the steps" : "Read full width";
  };
  stepwell.enliven("[data-panel-wide]", nameWide);
  document.addEventListener("keydown", (event) => {
    const { bench, side } = parts();
    if (event.key === "Escape" && bench?.classList.contains("is-reading") && !document.querySelector("dialog[open], :popover-open")) {
      document.querySelector("[data-panel-wide]")?.click();
      return event.preventDefault();
    }
    if (!isOpen({ side })) return;
    if (event.key === "Escape" && !document.querySelector("dialog[open], :popover-open")) close();
    if (event.key !== "Tab") return;
    // A modal drawer keeps the focus, as a dialog does.
    const stops = [...side.querySelectorAll("a[href], button, input, select, textarea, [tabindex='0']")].filter(
      (stop) => !stop.disabled && stop.offsetParent && stop.tabIndex >= 0,
    );
    const [first, last] = [stops[0], stops.at(-1)];
    if (!first) return event.preventDefault();
    if (event.shiftKey && (document.activeElement === first || document.activeElement === side)) {
      event.preventDefault();
      last.focus();
    } else if (!event.shiftKey && document.activeElement === last) {
      event.preventDefault();
      first.focus();
    }
  });
  narrow.addEventListener("change", () => {
    const { side } = parts();
    if (narrow.matches || !isOpen({ side })) return;
    side.classList.remove("is-open");
    side.setAttribute("role", "complementary");
    side.removeAttribute("aria-modal");
  });
})();
