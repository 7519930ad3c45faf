// The history's page: dragging over the bars ([data-histogram]) chooses a time, Esc lets go; More closes on a press beside it.
(() => {
  const local = (moment) => {
    // As a datetime-local field has it, in the zone in which the page was made (its offset stands in data-since).
    return moment.toISOString().slice(0, 16);
  };

  stepwell.enliven("[data-histogram]", (box) => {
    const form = document.querySelector("[data-run-filters]");
    const chosen = box.querySelector("[data-chosen]");
    const offset = /([+-])(\d\d):(\d\d)$/.exec(box.dataset.since);
    const shift = offset ? (offset[1] === "-" ? -1 : 1) * (Number(offset[2]) * 60 + Number(offset[3])) * 60000 : 0;
    const since = Date.parse(box.dataset.since);
    const step = Number(box.dataset.step) * 1000;
    const count = Math.max(1, Math.round((Date.parse(box.dataset.until) - since) / step));
    let from = null;
    let to = null;

    const place = (event) => {
      const { left, width } = box.getBoundingClientRect();
      return Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * count)));
    };
    const draw = () => {
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      chosen.setAttribute("x", from === null ? 0 : (first * 720) / count);
      chosen.setAttribute("width", from === null ? 0 : ((last - first + 1) * 720) / count);
    };
    const drop = () => {
      from = to = null;
      draw();
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !form) return;
      event.preventDefault();
      box.setPointerCapture(event.pointerId);
      from = to = place(event);
      draw();
    });
    box.addEventListener("pointermove", (event) => {
      if (from === null) return;
      to = place(event);
      draw();
    });
    box.addEventListener("pointercancel", drop);
    document.addEventListener("keydown", (event) => event.key === "Escape" && from !== null && drop());
    box.addEventListener("pointerup", () => {
      if (from === null) return;
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      const moment = (n) => local(new Date(since + n * step + shift));
      form.elements.period.value = "";
      form.elements.since.value = moment(first);
      form.elements.until.value = moment(last + 1);
      from = null;
      form.requestSubmit(form.querySelector("[data-filters-go]"));
    });
  });

  stepwell.enliven("[data-runmore]", (more) => {
    document.addEventListener("pointerdown", (event) => more.open && !more.contains(event.target) && more.removeAttribute("open"));
    more.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !more.open) return;
      event.stopPropagation();
      more.removeAttribute("open");
      more.querySelector("summary").focus();
    });
  });
})();
