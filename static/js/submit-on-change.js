// A form that only chooses what is shown asks at once; its button is for pages without script. Who goes through a drop-down by
// arrows has not chosen yet: then Enter asks, or leaving the field, and the page that comes gives the focus back to it.
stepwell.enliven("[data-submit-on-change]", (form) => {
  const PLACE = "stepwell-focus-after";
  const buttons = [...form.querySelectorAll("[data-submit]")];
  const show = (on) => buttons.forEach((button) => (button.hidden = !on));
  show(false);
  let byKeys = false;
  const ask = () => {
    try {
      if (byKeys && document.activeElement?.id) sessionStorage.setItem(PLACE, `${location.pathname} ${document.activeElement.id}`);
    } catch {
      // Without storage the page begins at its top.
    }
    form.requestSubmit();
  };
  form.addEventListener("keydown", (event) => {
    if (!event.target.matches("select")) return;
    byKeys = event.key !== "Tab";
    if (event.key !== "Enter" || event.target.dataset.changed === undefined) return;
    event.preventDefault();
    ask();
  });
  form.addEventListener("pointerdown", () => (byKeys = false));
  form.addEventListener("change", ({ target }) => {
    if (!byKeys || !target.matches("select")) return ask();
    target.dataset.changed = "";
    show(true);
  });
  form.addEventListener("focusout", ({ target, relatedTarget }) => {
    if (target.dataset.changed !== undefined && !form.contains(relatedTarget)) ask();
  });
  try {
    const [path, id] = (sessionStorage.getItem(PLACE) ?? "").split(" ");
    const field = path === location.pathname ? document.getElementById(id) : null;
    if (field) sessionStorage.removeItem(PLACE);
    if (field && form.contains(field)) field.focus();
  } catch {
    // Nothing was kept.
  }
});
