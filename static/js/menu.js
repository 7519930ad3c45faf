// Menus are native popovers; this places them beside their button and moves with the arrow keys.
(() => {
  const GAP = 6;
  const buttonOf = (menu) => document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"][aria-expanded="true"]`)
    ?? document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`);

  const place = (menu) => {
    const button = buttonOf(menu);
    if (!button) return;
    const at = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = menu;
    const below = at.bottom + GAP + height <= innerHeight || at.top < height + GAP;
    const top = below ? at.bottom + GAP : at.top - GAP - height;
    // Right edges meet when the button sits in the right half, else left edges.
    const left = at.left + at.width / 2 > innerWidth / 2 ? at.right - width : at.left;
    menu.style.top = `${Math.max(8, Math.min(top, innerHeight - height - 8))}px`;
    menu.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
  };
  const items = (menu) => [...menu.querySelectorAll(".menu__item, [role=menuitem], .nav a")].filter((item) => item.offsetParent);

  stepwell.enliven("[data-menu], [data-sheet]", (menu) => {
    menu.addEventListener("toggle", (event) => {
      const open = event.newState === "open";
      for (const button of document.querySelectorAll(`[popovertarget="${CSS.escape(menu.id)}"]`))
        button.setAttribute("aria-expanded", String(open && button.offsetParent !== null));
      if (!open) return;
      if (menu.hasAttribute("data-menu")) place(menu);
      (menu.querySelector("[autofocus]") ?? items(menu)[0])?.focus({ preventScroll: true });
    });
    menu.addEventListener("keydown", (event) => {
      const all = items(menu);
      const now = all.indexOf(document.activeElement);
      const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: all.length - 1 }[event.key];
      if (to === undefined || stepwell.typing(event)) return;
      event.preventDefault();
      all[(to + all.length) % all.length]?.focus();
    });
    menu.addEventListener("click", (event) => {
      if (event.target.closest("a.menu__item, button.menu__item[type=button]")) menu.hidePopover();
    });
  });
  stepwell.enliven("[data-menu-button]", (button) => button.setAttribute("aria-expanded", "false"));
  // A menu must not float where its button no longer is.
  addEventListener("resize", () => {
    for (const menu of document.querySelectorAll("[data-menu]:popover-open")) place(menu);
  });
  addEventListener(
    "scroll",
    (event) => {
      for (const menu of document.querySelectorAll("[data-menu]:popover-open"))
        if (!menu.contains(event.target)) place(menu);
    },
    { capture: true, passive: true },
  );
})();
