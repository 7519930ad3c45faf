// A form with data-tick-all: the box [data-tick="all"] ticks all others of it, and shows when only some are ticked.
stepwell.enliven("[data-tick-all]", (form) => {
  const all = form.querySelector('[data-tick="all"]');
  if (!all) return;
  const boxes = () => [...form.querySelectorAll('input[type="checkbox"][name]')];
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
  });
  form.addEventListener("change", () => {
    const ticked = boxes().filter((box) => box.checked).length;
    all.checked = ticked > 0 && ticked === boxes().length;
    all.indeterminate = ticked > 0 && !all.checked;
  });
});
