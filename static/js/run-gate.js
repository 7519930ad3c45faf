// A gate: the button says whether the text was edited, and on a run's page the decision is sent without leaving it.
stepwell.enliven("[data-gate-form]", (form) => {
  const text = form.querySelector("[data-gate-text]");
  const verb = form.querySelector("[data-gate-verb]");
  const original = text?.defaultValue;
  const say = () => {
    if (verb) verb.textContent = text && text.value !== original ? verb.dataset.edited : verb.dataset.plain;
  };
  text?.addEventListener("input", say);
  say();
  // A decided gate folds into its row: the focus goes to the next gate, else to where the run goes on.
  const follow = (gate) => {
    if (!document.querySelector("[data-run]")) return;
    const watch = new MutationObserver(() => {
      if (gate.isConnected) return;
      watch.disconnect();
      if (document.activeElement && document.activeElement !== document.body) return;
      const next = document.querySelector("#run-gate .gate a, #run-gate .gate button, #run-gate .gate textarea") ?? document.querySelector("#run-flow [data-step-link]");
      (next ?? document.getElementById("main"))?.focus({ preventScroll: true });
    });
    watch.observe(document.body, { childList: true, subtree: true });
    setTimeout(() => watch.disconnect(), 30000);
  };
  form.addEventListener("submit", async (event) => {
    if (event.defaultPrevented || !document.querySelector("[data-run], [data-desk]")) return;
    const button = event.submitter;
    // Comparing without script is a page of its own; handing over is sent like a decision, to its own address.
    const handsOver = button?.hasAttribute("data-gate-hand");
    if (button?.hasAttribute("formaction") && !handsOver) return;
    event.preventDefault();
    button?.setAttribute("aria-busy", "true");
    form.dataset.sent = "";
    const body = new FormData(form, button);
    try {
      const answer = await fetch(handsOver ? button.formAction : form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
      if (answer.status === 204) {
        const told = answer.headers.get("HX-Trigger");
        if (told) stepwell.toast(JSON.parse(told).toast.text, { topic: "review" });
        form.dispatchEvent(new CustomEvent("gate:decided", { bubbles: true }));
        follow(form.closest(".gate"));
        return;
      }
      delete form.dataset.sent;
      if ([403, 409, 422].includes(answer.status)) {
        const template = document.createElement("template");
        template.innerHTML = await answer.text();
        const fresh = template.content.querySelector(".gate");
        if (fresh) {
          for (const field of fresh.querySelectorAll('input[name="csrfmiddlewaretoken"]')) field.value ||= body.get("csrfmiddlewaretoken");
          const gate = form.closest(".gate");
          if (gate?.isConnected) gate.replaceWith(fresh);
          else document.getElementById("run-gate")?.append(fresh);
          fresh.focus({ preventScroll: true });
          return;
        }
      }
      location.reload();
    } catch {
      delete form.dataset.sent;
      stepwell.toast("There is no connection. Nothing was decided; what you wrote is still here.", { kind: "bad" });
    } finally {
      button?.removeAttribute("aria-busy");
    }
  });
});
