// Tabs over panels on the same page: arrow keys move, the selection follows. Event "tab:shown" on the panel.
stepwell.enliven("[data-tabs]", (list) => {
  const tabs = () => [...list.querySelectorAll("[role=tab]")];
  const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));
  const select = (chosen) => {
    for (const tab of tabs()) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      const panel = panelOf(tab);
      if (panel) panel.hidden = !on;
    }
    panelOf(chosen)?.dispatchEvent(new CustomEvent("tab:shown", { bubbles: true }));
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) select(tab);
  });
  list.addEventListener("keydown", (event) => {
    const all = tabs();
    const now = all.indexOf(document.activeElement);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || now < 0) return;
    event.preventDefault();
    const tab = all[(to + all.length) % all.length];
    select(tab);
    tab.focus();
  });
  const first = tabs().find((tab) => tab.getAttribute("aria-selected") === "true") ?? tabs()[0];
  if (first) select(first);
});
