// The inspector: [data-step-link] loads its step into #panel, keeps the chosen tab, and [ and ] go to the next step.
// Buttons of [data-run-form] send without leaving the page; without script links and forms work as they stand.
(() => {
  const panel = () => document.getElementById("panel");
  const shown = () => panel()?.querySelector("[data-panel-of]")?.dataset.panelOf ?? "";
  const linkOf = (key) => document.querySelector(`#run-flow [data-step-link="${CSS.escape(key)}"]`);
  // Where a step or item is loaded from: its link, or, when that is on another page of items, the panel that shows it.
  const urlOf = (key) => (linkOf(key) ?? document.querySelector(`#panel [data-step-link="${CSS.escape(key)}"], #panel [data-panel-of="${CSS.escape(key)}"]`))?.dataset.panelUrl;
  // Items are named by their scope, which ends in a bracket.
  const isItem = (key) => key.endsWith("]");
  const tabOf = () => panel().querySelector('[role="tab"][aria-selected="true"]')?.id.replace(/^step-|-tab$/g, "") ?? "output";
  let asked = 0;
  let revision = "";
  let unseen = 0;

  // While a run is held people change its data, which no row tells of: then every change counts. What can be done with
  // a step is another thing when the run is over.
  const held = () => document.querySelector("#run-controls[data-held]") !== null;
  const revisionOf = (row) =>
    row ? [row.dataset.revision, document.querySelector("[data-run]")?.dataset.runOver, row.querySelector(".bp__set")?.ariaPressed, held() && document.querySelector("[data-run]")?.dataset.runStamp].join() : "";
  const mark = (key) => {
    for (const row of document.querySelectorAll(".runstep.is-selected")) row.classList.remove("is-selected");
    document.querySelectorAll("[data-step-link][aria-current]").forEach((link) => link.removeAttribute("aria-current"));
    const link = linkOf(key);
    if (!isItem(key)) link?.closest(".runstep")?.classList.add("is-selected");
    link?.setAttribute("aria-current", "true");
    revision = revisionOf(link?.closest("[data-revision]"));
  };
  const load = async (key, tab) => {
    const url = urlOf(key);
    if (!url) return;
    const number = ++asked;
    const side = panel();
    const top = shown() === key ? side.querySelector(".insp__body:not([hidden])")?.scrollTop : 0;
    try {
      const answer = await fetch(`${url}?tab=${tab}`, { headers: { "HX-Request": "true" } });
      if (number !== asked) return;
      if (!answer.ok) throw new Error(answer.status);
      side.innerHTML = await answer.text();
      htmx.process(side);
      const body = side.querySelector(".insp__body:not([hidden])");
      if (top && body && !body.matches("[data-follow]")) body.scrollTop = top;
    } catch {
      if (number === asked) stepwell.toast("The step could not be loaded. Try again in a moment.", { kind: "bad" });
    }
  };
  const address = (key, tab) => {
    const url = new URL(location.href);
    if (key) url.searchParams.set("step", key);
    else url.searchParams.delete("step");
    url.searchParams.delete("tab");
    if (key && tab && tab !== "output") url.searchParams.set("tab", tab);
    url.hash = "";
    history.replaceState(null, "", url);
  };
  const choose = (key) => {
    const tab = shown() && panel().querySelector("[role=tab]") ? tabOf() : "output";
    const loading = load(key, tab);
    mark(key);
    address(key, tab);
    return loading;
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("#run-flow [data-step-link], #panel [data-step-link]");
    if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      choose(link.dataset.stepLink);
    } else if (event.target.closest("[data-panel-close]")) {
      mark("");
      address("");
    }
  });
  // The link to this view names step and tab, so that whoever gets it sees the same.
  document.addEventListener("tab:shown", (event) => event.target.closest("#panel") && shown() && address(shown(), tabOf()));
  // What somebody writes in the panel is not taken from under their hands.
  const writing = () => [...(panel()?.querySelectorAll("form textarea, form input:not([type=hidden])") ?? [])].some((field) => (field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue));
  document.addEventListener("run:changed", () => {
    const key = shown();
    if (!key || key === "input" || writing()) return;
    const row = linkOf(key)?.closest("[data-revision]");
    if (!isItem(key)) row?.querySelector(".runstep")?.classList.add("is-selected");
    // An item whose row is not on this page of the table cannot be told to have changed: it is read now and then.
    if (!row && isItem(key)) {
      unseen ||= setTimeout(() => {
        unseen = 0;
        if (shown() === key && !linkOf(key)) load(key, tabOf());
      }, 2000);
    } else if (row && revisionOf(row) !== revision) {
      revision = revisionOf(row);
      load(key, tabOf());
    }
  });
  document.addEventListener("keydown", (event) => {
    if (!stepwell.singleKey(event)) return;
    const links = [...document.querySelectorAll("#run-flow [data-row] h3 [data-step-link]")].filter((link) => link.offsetParent);
    if (event.key === "[" || event.key === "]") {
      const now = links.findIndex((link) => link.dataset.stepLink === shown());
      const next = links[Math.max(0, Math.min(links.length - 1, now + (event.key === "]" ? 1 : -1)))];
      next?.click();
      next?.scrollIntoView({ block: "nearest" });
      event.preventDefault();
    } else if (/^[1-6]$/.test(event.key)) {
      panel()?.querySelectorAll('[role="tab"]')[Number(event.key) - 1]?.click();
    }
  });
  // Controls: the socket brings what they change, so the page need not load anew.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (event.defaultPrevented || !form.matches("[data-run-form]")) return;
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button");
    button?.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form, event.submitter), headers: { "HX-Request": "true" } });
      const told = answer.headers.get("HX-Trigger");
      const elsewhere = answer.headers.get("HX-Redirect");
      if (elsewhere) location.assign(elsewhere);
      else if (answer.status === 204 && form.closest("#panel")) {
        form.reset();
        form.closest("details")?.removeAttribute("open");
        stepwell.toast(told ? JSON.parse(told).toast.text : "Done");
      } else if (answer.status === 204) stepwell.toast(told ? JSON.parse(told).toast.text : "Done");
      else if (answer.status === 401 || answer.redirected) location.reload();
      else stepwell.toast(answer.headers.get("content-type")?.startsWith("text/plain") ? await answer.text() : "That did not work. Reload the page and try again.", { kind: "bad" });
    } catch {
      stepwell.toast("There is no connection. Nothing was changed.", { kind: "bad" });
    } finally {
      button?.removeAttribute("aria-busy");
    }
  });
  stepwell.enliven("[data-run]", () => {
    if (shown()) mark(shown());
  });
})();
