// List and canvas: switching keeps the chosen step and saves first what is typed; answers keep the tab of the panel.
(() => {
  const BY_KEYS = "stepwell-switched-by-keys";
  // An answer draws the panel as it is at first: as long as it is about the same step, the chosen tab stays.
  const tabNow = () => {
    const about = document.querySelector("#panel-in .h-sm")?.textContent;
    return { about, tab: document.querySelector("#builder-tabs [role=tab][aria-selected=true]")?.id };
  };
  let tabBefore = null;
  document.addEventListener("htmx:before:swap", () => (tabBefore = tabNow()));
  document.addEventListener("htmx:after:swap", () => {
    const now = tabNow();
    if (tabBefore?.tab && tabBefore.about === now.about && tabBefore.tab !== now.tab) document.getElementById(tabBefore.tab)?.click();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-editor]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    const key = stepwell.canvas ? stepwell.canvas.focused() || stepwell.canvas.chosenKey() : stepwell.openCards?.()[0];
    const address = link.getAttribute("href");
    const to = key ? `${address}?open=${encodeURIComponent(key)}#step-${encodeURIComponent(key)}` : address;
    // Who came by the keyboard goes on with it: the step that is chosen gets the focus over there.
    try {
      if (event.detail === 0) sessionStorage.setItem(BY_KEYS, "1");
    } catch {
      // Without storage the page begins at its top.
    }
    stepwell.flush().then(() => location.assign(to));
  });
  const arrive = () => {
    try {
      if (!sessionStorage.getItem(BY_KEYS)) return;
      sessionStorage.removeItem(BY_KEYS);
    } catch {
      return;
    }
    const key = new URLSearchParams(location.search).get("open") ?? "";
    if (stepwell.canvas) stepwell.canvas.focus?.(stepwell.canvas.node(key) ? key : stepwell.canvas.nodes()[0]?.key);
    else (document.querySelector(`[data-toggle="${CSS.escape(key)}"]`) ?? document.querySelector("#steps [data-toggle]"))?.focus();
  };
  addEventListener("load", () => requestAnimationFrame(arrive));
})();
