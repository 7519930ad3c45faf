// Toasts: gone after six seconds, kept while looked at. stepwell.toast(text, {kind, action, onAction, topic}) or the event "toast".
(() => {
  const STAY = 6000;
  const leave = (toast) => {
    if (toast.contains(document.activeElement)) document.getElementById("main")?.focus({ preventScroll: true });
    toast.remove();
  };
  stepwell.enliven("[data-toast]", (toast) => {
    let timer;
    const start = () => {
      clearTimeout(timer);
      if (!toast.hasAttribute("data-toast-stays")) timer = setTimeout(() => leave(toast), STAY);
    };
    const hold = () => clearTimeout(timer);
    toast.addEventListener("pointerenter", hold);
    toast.addEventListener("focusin", hold);
    toast.addEventListener("pointerleave", start);
    toast.addEventListener("focusout", start);
    toast.addEventListener("click", (event) => event.target.closest("[data-toast-close]") && leave(toast));
    start();
  });

  stepwell.toast = (text, { kind = "ok", action, onAction, topic } = {}) => {
    const region = document.getElementById("toasts");
    if (!region) return;
    // One at a time of what follows quickly on itself, such as decisions at the desk.
    for (const other of [...region.children]) if (other.dataset.text === text || (topic && other.dataset.topic === topic)) other.remove();
    const toast = document.createElement("div");
    toast.className = `toast toast--${kind}`;
    toast.dataset.toast = "";
    toast.dataset.text = text;
    if (topic) toast.dataset.topic = topic;
    if (kind === "bad") toast.setAttribute("role", "alert");
    const words = document.createElement("span");
    words.textContent = text;
    toast.append(words);
    const button = (label, className, run) => {
      const element = document.createElement("button");
      element.type = "button";
      element.className = `btn btn--sm ${className}`;
      element.textContent = label;
      element.addEventListener("click", run);
      toast.append(element);
    };
    if (action) button(action, "", () => (onAction?.(), leave(toast)));
    button("Close", "", () => leave(toast));
    region.append(toast);
  };
  // An answer may carry HX-Trigger: {"toast": {"text": "Saved"}}.
  // With {action, post, values} its button sends the values there.
  document.addEventListener("toast", ({ detail }) => {
    const { text, post, values } = detail;
    const act = () => {
      // What the answer asks goes where dialogs stand; elsewhere it has only events.
      const box = document.getElementById("dialogs");
      return htmx.ajax("POST", post, { values, target: box ?? document.body, swap: box ? "innerHTML settle:0" : "none" });
    };
    const onAction = post ? act : undefined;
    stepwell.toast(text, { ...detail, onAction });
  });
})();
