// What every request shows: the pressed button is busy, a failed connection says so, an expired session goes to sign-in.
(() => {
  const WORDS = {
    offline: "No connection. Try again when you are back online.",
    unsaved: "No connection, so this was not saved. Try again when you are back online.",
    timeout: "The server takes longer than a minute. Reload the page to see where things stand.",
    server: "Something broke on our side, so nothing was changed. Try again in a moment.",
    forbidden: "Your role does not allow this, or the page is too old. Reload and try again.",
  };
  const buttonsOf = (element, event) => {
    const pressed = event?.submitter ?? element?.closest?.("button, .btn");
    const own = element?.matches?.("form") ? element.querySelector("button:not([type=button]), [type=submit]") : null;
    return [pressed ?? own].filter(Boolean);
  };
  const busy = new WeakMap();

  document.addEventListener("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    const buttons = buttonsOf(ctx.sourceElement, ctx.sourceEvent);
    for (const button of buttons) button.setAttribute("aria-busy", "true");
    busy.set(ctx, buttons);
  });
  document.addEventListener("htmx:finally:request", (event) => {
    for (const button of busy.get(event.detail.ctx) ?? []) button.removeAttribute("aria-busy");
  });
  document.addEventListener("htmx:error", (event) => {
    if (!event.detail.ctx) return;
    const { request } = event.detail.ctx;
    const reads = (request?.method ?? "GET").toUpperCase() === "GET";
    const words = request?.signal?.reason === "timeout" ? "timeout" : reads ? "offline" : "unsaved";
    stepwell.toast?.(WORDS[words], { kind: "bad" });
  });
  document.addEventListener("htmx:response:error", (event) => {
    const { ctx } = event.detail;
    const { status } = ctx.response ?? {};
    if (ctx.hx?.retarget) return; // the answer says it itself, above the content
    if (status === 401) location.reload();
    else if (status === 403) stepwell.toast?.(WORDS.forbidden, { kind: "bad" });
    else if (status >= 500) stepwell.toast?.(WORDS.server, { kind: "bad" });
  });
  // An error page is not a fragment: it would be swapped into a row. Answers that name their own place stay, and 4xx of forms.
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail;
    const raw = ctx?.response?.raw;
    // The session ended: fetch has followed the way to sign-in, whose page is no fragment. Reloading leads there and back.
    if (raw?.redirected && new URL(raw.url).pathname === document.body.dataset.signIn) {
      event.preventDefault();
      location.reload();
      return;
    }
    const status = ctx?.response?.status;
    if (ctx?.hx?.retarget) return;
    if (status >= 500 || [401, 403, 404].includes(status)) event.preventDefault();
  });

  // Plain forms: a second press must not send twice.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    const form = event.target;
    if (form.matches("[hx-post], [hx-put], [hx-patch], [hx-delete], [hx-get], [method=dialog]")) return;
    const button = event.submitter;
    if (!button) return;
    button.setAttribute("aria-busy", "true");
    // Back from the next page brings the old document with it.
    addEventListener("pageshow", () => button.removeAttribute("aria-busy"), { once: true });
  });
})();
