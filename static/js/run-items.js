// The table of a container's items: filter and pages without leaving the page; a filtered one is read anew while the run goes.
(() => {
  const PAUSE = 300;
  const AGAIN = 2000;
  const asked = new WeakMap();
  const load = async (table, query) => {
    const number = (asked.get(table) ?? 0) + 1;
    asked.set(table, number);
    try {
      const answer = await fetch(`${table.dataset.itemsUrl}?${query}`, { headers: { "HX-Request": "true" } });
      if (!answer.ok) throw new Error(answer.status);
      const html = await answer.text();
      if (asked.get(table) !== number || !table.isConnected) return;
      const template = document.createElement("template");
      template.innerHTML = html;
      const fresh = template.content.querySelector("[data-items]");
      fresh.dataset.itemsQuery = query;
      // What is being typed stays under the fingers.
      const [field, twin] = [table, fresh].map((root) => root.querySelector("input[type=search]"));
      const typing = document.activeElement === field;
      const select = document.activeElement === table.querySelector("select");
      if (typing) {
        twin.replaceWith(field);
      }
      table.replaceWith(fresh);
      if (typing) field.focus();
      if (select) fresh.querySelector("select").focus();
    } catch {
      stepwell.toast("The items could not be loaded. Try again in a moment.", { kind: "bad" });
    }
  };
  const queryOf = (form) => new URLSearchParams([...new FormData(form)].filter(([, value]) => value)).toString();
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-items-form]")) return;
    event.preventDefault();
    load(event.target.closest("[data-items]"), queryOf(event.target));
  });
  let waiting = 0;
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("[data-items-form]");
    if (!form) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => form.isConnected && load(form.closest("[data-items]"), queryOf(form)), event.target.matches("select") ? 0 : PAUSE);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-items-page]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    load(link.closest("[data-items]"), new URL(link.href).search.slice(1));
  });
  let again = 0;
  document.addEventListener("run:changed", () => {
    again ||= setTimeout(() => {
      again = 0;
      for (const table of document.querySelectorAll("[data-items][data-items-chosen]")) load(table, table.dataset.itemsQuery ?? "");
    }, AGAIN);
  });
})();
