// The picker of kinds of step: opens at a +, asks for the path first where several meet, Enter takes the first that is shown.
(() => {
  const GAP = 8;
  const picker = () => document.getElementById("picker");
  let opener = null;
  const kinds = () => [...picker().querySelectorAll("[data-picker-kinds] .menu__item")].filter((item) => !item.hidden);

  const place = () => {
    const at = opener.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = picker();
    const below = at.bottom + GAP + height <= innerHeight;
    const above = at.top - GAP - height >= 0;
    const top = below ? at.bottom + GAP : above ? at.top - GAP - height : Math.max(8, innerHeight - height - 8);
    picker().style.top = `${top}px`;
    picker().style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  };
  const filter = () => {
    const words = picker().querySelector("[data-picker-search]").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of picker().querySelectorAll("[data-picker-kinds] .menu__item")) item.hidden = !words.every((word) => item.dataset.words.includes(word));
    for (const group of picker().querySelectorAll("[data-picker-group]")) group.hidden = !group.querySelector(".menu__item:not([hidden])");
    picker().querySelector("[data-picker-none]").hidden = kinds().length > 0;
  };
  const onPath = (choice) => {
    const box = picker();
    box.querySelector("[data-picker-paths]").hidden = true;
    box.querySelector("[data-picker-kinds]").hidden = false;
    box.querySelector("[name=place]").value = choice.place;
    const patterns = box.querySelector("[data-picker-patterns]");
    if (patterns) patterns.search = `?place=${encodeURIComponent(choice.place)}`;
    box.querySelector("[data-picker-where]").textContent = choice.label === "there" ? "" : `Goes ${choice.label}`;
    const search = box.querySelector("[data-picker-search]");
    search.value = "";
    filter();
    place();
    search.focus({ preventScroll: true });
  };
  stepwell.pick = (from, choices) => {
    const box = picker();
    opener = from;
    if (!box.matches(":popover-open")) box.showPopover();
    const paths = box.querySelector("[data-picker-paths]");
    if (choices.length === 1) return onPath(choices[0]);
    paths.hidden = false;
    box.querySelector("[data-picker-kinds]").hidden = true;
    box.querySelector("[data-picker-where]").textContent = "";
    box.querySelector("[data-picker-choices]").replaceChildren(
      ...choices.map((choice) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "menu__item";
        button.textContent = choice.label[0].toUpperCase() + choice.label.slice(1);
        button.addEventListener("click", () => onPath(choice));
        return button;
      }),
    );
    place();
    paths.querySelector("button").focus({ preventScroll: true });
  };

  document.addEventListener("click", (event) => {
    const from = event.target.closest("[data-add]");
    if (!from || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    stepwell.pick(from, JSON.parse(from.dataset.choices));
  });
  stepwell.enliven("#picker", (box) => {
    box.addEventListener("input", (event) => event.target.matches("[data-picker-search]") && filter());
    box.addEventListener("keydown", (event) => {
      const items = box.querySelector("[data-picker-kinds]").hidden ? [...box.querySelectorAll("[data-picker-choices] button")] : kinds();
      const now = items.indexOf(document.activeElement);
      if (event.key === "Enter" && event.target.matches("[data-picker-search]")) {
        event.preventDefault();
        items[0]?.click();
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        const to = now + (event.key === "ArrowDown" ? 1 : -1);
        if (to < 0 && now >= 0) box.querySelector("[data-picker-search]").focus();
        else items[(to + items.length) % items.length]?.focus();
      }
    });
    box.addEventListener("toggle", (event) => {
      if (event.newState === "closed" && (box.contains(document.activeElement) || document.activeElement === document.body)) opener?.focus?.({ preventScroll: true });
    });
  });
  addEventListener("resize", () => picker()?.matches(":popover-open") && place());
})();
